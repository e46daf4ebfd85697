# mypy: disable-error-code="func-returns-value"
"""Who is called off quietly, and whom shields hold back (law 5)."""

from typing import Any

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import fail, forever, turns


class TestQuietly:
    """Waiters for signals and predicates are called off when their scope is left and nothing else can run."""

    def test_all_kinds(self, world: World) -> None:
        log: list[str] = []

        def waiter() -> None:
            try:
                wait_signal("s")
            finally:
                log.append("clean")

        def main() -> str:
            spawn(waiter)
            spawn(wait_for, lambda: False)
            for begin in (on_signal, lambda fn, name: on_signal(fn, name, every=True)):
                begin(turns, "s")
            when(lambda: False, turns)
            whenever(lambda: False, turns)
            return "value"

        assert world.run(main) == "value"
        assert log == ["clean"]

    def test_of_the_inner_scope_only(self, world: World) -> None:
        def main() -> None:
            outer = on_signal(lambda: "woken", "s")
            with scope():
                inner = on_signal(turns, "s")
            assert inner.done
            assert not outer.done
            assert signal_all("s") == 1
            assert outer.join() == "woken"

        world.run(main)

    def test_not_while_another_kind_is_stuck_beside_them(self, world: World) -> None:
        def main() -> None:
            on_signal(turns, "s")
            spawn(Channel[int](0).receive)

        with pytest.raises(Deadlock, match=r"signal 's'"):
            world.run(main)

    def test_not_while_something_can_come(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            on_signal(lambda: log.append("signalled"), "s")
            delay(lambda: signal_one("s"), 1000)

        world.run(main)
        assert log == ["signalled"]

    def test_predicates_get_one_last_look(self, world: World) -> None:
        """Their answer may hang on something that no fiber did."""
        log: list[str] = []
        asked = iter([False, True, True])

        def main() -> None:
            yield_()
            fiber = when(lambda: next(asked, True), lambda: log.append("found"))
            assert not fiber.done

        world.run(main)
        assert log == ["found"]

    def test_clean_up_may_wake_others(self, world: World) -> None:
        log: list[str] = []

        def waiter() -> None:
            try:
                wait_signal("s")
            finally:
                with shield():
                    sleep(5)
                    log.append("clean")

        def main() -> None:
            spawn(waiter)

        world.run(main)
        assert log == ["clean"]

    def test_their_errors_on_the_way_are_not_lost(self, world: World) -> None:
        error = ValueError()

        def waiter() -> None:
            try:
                wait_signal("s")
            finally:
                fail(error)

        with pytest.raises(ExceptionGroup) as caught:
            world.run(lambda: spawn(waiter))
        assert list(caught.value.exceptions) == [error]


class TestShielded:
    @pytest.mark.parametrize(
        "wait", [lambda: wait_signal("s"), lambda: Channel[int](0).receive(), forever, lambda: wait_for(lambda: False)]
    )
    @pytest.mark.parametrize("depth", [0, 1, 3])
    def test_it_is_told_in_the_end(self, world: World, wait: Any, depth: int) -> None:
        log: list[str] = []

        def stuck(level: int) -> None:
            if level:
                with scope() as s:
                    s.spawn(stuck, level - 1)
                return
            try:
                with shield():
                    wait()
            finally:
                log.append("clean")

        with pytest.raises(Deadlock):
            world.run(lambda: spawn(stuck, depth))
        assert log == ["clean"]

    def test_while_its_scope_is_cancelled(self, world: World) -> None:
        log: list[str] = []

        def stuck() -> None:
            try:
                with shield():
                    Channel[int](0).receive()
            finally:
                log.append("clean")

        def main() -> None:
            with scope() as s:
                s.spawn(stuck)
                yield_()
                s.cancel()
            log.append("left")

        world.run(main)
        assert log == ["clean", "left"]
