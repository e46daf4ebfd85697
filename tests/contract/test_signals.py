# mypy: disable-error-code="func-returns-value"
"""Signals: not latched, first come first woken, kept for nobody but a subscription."""

import inspect
from collections import deque
from collections.abc import Hashable
from functools import partial
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import fail, nobody_waits, raises_group, turns


class TestGiving:
    def test_to_nobody(self, world: World) -> None:
        def main() -> None:
            assert signal_one("s") is False
            assert signal_all("s") == 0
            nobody_waits()

        world.run(main)

    def test_is_not_kept(self, world: World) -> None:
        def main() -> None:
            signal_one("s")
            signal_all("s")
            with pytest.raises(TimeoutError, match="signal 's'"):
                wait_signal("s", timeout=1)
            nobody_waits()

        world.run(main)

    def test_one_wakes_the_longest_waiter(self, world: World) -> None:
        log: list[Any] = []

        def main() -> None:
            for number in range(3):
                spawn(lambda number=number: log.append((number, wait_signal("s"))))
            yield_()
            for value in "xyz":
                assert signal_one("s", value) is True
            assert signal_one("s", "late") is False
            nobody_waits()

        world.run(main)
        assert log == [(0, "x"), (1, "y"), (2, "z")]

    def test_all_wakes_everybody_in_order(self, world: World) -> None:
        log: list[Any] = []

        def main() -> None:
            for number in range(5):
                spawn(lambda number=number: log.append((number, wait_signal("s"))))
            yield_()
            assert signal_all("s", "v") == 5
            assert signal_all("s", "v") == 0
            assert log == []  # giving never gives way
            nobody_waits()

        world.run(main)
        assert log == [(number, "v") for number in range(5)]

    def test_who_waits_again_stands_at_the_end(self, world: World) -> None:
        log: list[str] = []

        def waiter(name: str) -> None:
            for _ in range(3):
                wait_signal("s")
                log.append(name)

        def main() -> None:
            spawn(waiter, "a")
            spawn(waiter, "b")
            for _ in range(6):
                turns()
                signal_one("s")

        world.run(main)
        assert log == ["a", "b"] * 3

    def test_waiters_woken_by_all_can_wait_for_it_again(self, world: World) -> None:
        counts: list[int] = []

        def waiter() -> None:
            for _ in range(4):
                wait_signal("s")

        def main() -> None:
            for _ in range(3):
                spawn(waiter)
            for _ in range(5):
                turns()
                counts.append(signal_all("s"))

        world.run(main)
        assert counts == [3, 3, 3, 3, 0]

    def test_a_waiter_that_timed_out_or_was_cancelled_is_passed_over(self, world: World) -> None:
        log: list[Any] = []

        def main() -> None:
            late = spawn(lambda: wait_signal("s", timeout=1))
            cancelled = spawn(wait_signal, "s")
            spawn(lambda: log.append(wait_signal("s")))
            with pytest.raises(TimeoutError):
                late.join()
            cancelled.cancel()
            assert signal_one("s", 1)
            assert signal_one("s", 2) is False
            nobody_waits()

        world.run(main)
        assert log == [1]


@pytest.mark.parametrize("name", [None, 0, -1, 1.5, "", "s", b"s", (), ("a", 1), frozenset({1}), int, print, object()])
def test_any_hashable_is_a_name(name: Hashable) -> None:
    def main() -> Any:
        fiber = spawn(wait_signal, name)
        yield_()
        assert fiber.waits_for == f"signal {name!r}"
        assert signal_one(object()) is False
        assert signal_one(name, "value")
        return fiber.join()

    assert simulate(main) == "value"


@pytest.mark.parametrize("name", [[], {}, set(), ([],), bytearray()])
@pytest.mark.parametrize("word", [wait_signal, signal_one, signal_all, partial(on_signal, turns)])
def test_what_is_not_hashable_is_refused(world: World, word: Any, name: Any) -> None:
    def main() -> None:
        with pytest.raises(TypeError, match="hashable"):
            word(name)
        assert fibers() == [current()]
        nobody_waits()

    world.run(main)


class TestOnSignal:
    def test_waits_from_the_moment_of_the_call(self, world: World) -> None:
        log: list[Any] = []

        def main() -> None:
            fiber = on_signal(lambda value: log.append(value) or "result", "s")
            assert signal_one("s", 1) is True
            assert signal_one("s", 2) is False
            assert log == []
            assert fiber.join() == "result"
            nobody_waits()

        world.run(main)
        assert log == [1]

    def test_stands_in_line_with_the_fibers(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: wait_signal("s") and log.append("a"))
            yield_()
            on_signal(lambda: log.append("b"), "s")
            spawn(lambda: wait_signal("s") and log.append("c"))
            yield_()
            for count in range(3):
                signal_one("s", True)
                turns()
                assert log == [*"abc"][: count + 1]

        world.run(main)

    @pytest.mark.parametrize(
        ("fn", "takes"),
        [
            (lambda: "none", False),
            (lambda value: value, True),
            (lambda value, /: value, True),
            (lambda value=5: value, False),
            (lambda *args: args, False),
            (lambda **kwargs: kwargs, False),
            (lambda *, key=1: key, False),
            (partial(lambda a: a, 1), False),
            (partial(lambda a, b: b, 1), True),
            (dict, False),
            (len, True),
        ],
    )
    def test_the_value_goes_to_who_asks_for_it(self, fn: Any, takes: bool) -> None:
        def main() -> Any:
            fiber = on_signal(fn, "s")
            signal_one("s", "value")
            return fiber.join()

        expected = fn("value") if takes else fn()
        assert simulate(main) == expected

    def test_cancelled_before(self, world: World) -> None:
        def main() -> None:
            fiber = on_signal(turns, "s")
            fiber.cancel()
            assert signal_one("s") is False
            nobody_waits()
            with pytest.raises(FiberCancelled):
                fiber.join()

        world.run(main)

    def test_its_error(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            on_signal(lambda: fail(error), "s")
            signal_one("s")

        with raises_group(error):
            world.run(main)

    def test_a_function_that_does_not_tell_what_it_takes_is_refused(self, world: World) -> None:
        """Guessing wrong would show only when the signal comes. Classes make their empty value."""
        append = deque[Any]().append
        try:
            inspect.signature(append)
        except ValueError:
            pass
        else:
            pytest.skip("here it tells")

        def main() -> None:
            for every in (False, True):
                with pytest.raises(TypeError, match=r"on_signal: .*append.* wrap it in a lambda"):
                    on_signal(append, "s", every=every)
                assert signal_one("s") is False
            nobody_waits()
            made = [on_signal(kind, "s") for kind in (int, str, deque)]
            assert signal_all("s", 5) == 3
            assert [fiber.join() for fiber in made] == [0, "", deque()]

        world.run(main)
