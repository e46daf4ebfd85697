# mypy: disable-error-code="func-returns-value"
"""Scopes: left when their fibers have ended; and what comes out of them (law 3)."""

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import fail, forever, raises_group, turns


class TestLeaving:
    def test_waits_for_its_fibers_and_theirs(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s:
                s.spawn(lambda: spawn(lambda: sleep(5) or log.append("grandchild")) and sleep(1) or log.append("child"))
                log.append("body")
            log.append("left")

        world.run(main)
        assert log == ["body", "child", "grandchild", "left"]

    def test_without_fibers_it_does_not_give_way(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: log.append("other"))
            with scope():
                pass
            assert log == []

        world.run(main)

    def test_does_not_wait_for_others(self, world: World) -> None:
        def main() -> None:
            outside = spawn(wait_signal, "s")
            with scope() as s:
                s.spawn(turns)
            assert not outside.done

        world.run(main)

    def test_fibers_may_be_spawned_while_it_is_left(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s:
                s.spawn(lambda: sleep(1) or s.spawn(lambda: sleep(1) or log.append("late")))
            log.append("left")

        world.run(main)
        assert log == ["late", "left"]


class TestErrors:
    def test_the_bodys_alone_is_bare(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            with pytest.raises(ValueError) as caught, scope() as s:
                s.spawn(forever)
                yield_()
                raise error
            assert caught.value is error

        world.run(main)

    def test_a_fibers_is_a_group(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            with raises_group(error), scope() as s:
                s.spawn(fail, error)
                forever()

        world.run(main)

    def test_the_bodys_is_the_first_of_the_group(self, world: World) -> None:
        own, other = KeyError(), ValueError()

        def main() -> None:
            with raises_group(own, other), scope() as s:
                s.spawn(fail, other)
                try:
                    forever()
                finally:
                    raise own

        world.run(main)

    def test_all_that_fail_in_one_turn(self, world: World) -> None:
        errors = [ValueError(number) for number in range(5)]

        def main() -> None:
            with raises_group(*errors[:1]), scope() as s:  # the first cancels the others before they begin
                for error in errors:
                    s.spawn(fail, error)
            with raises_group(*errors), scope() as s:
                for error in errors:
                    s.spawn(lambda error=error: wait_signal("go") or fail(error))
                turns()
                signal_all("go")

        world.run(main)

    def test_errors_of_clean_up_are_all_there(self, world: World) -> None:
        first = ValueError("first")
        late = [KeyError(number) for number in range(3)]

        def cleaning(error: BaseException) -> None:
            try:
                forever()
            finally:
                with shield():
                    sleep(1)
                raise error

        def main() -> None:
            with pytest.raises(ExceptionGroup) as caught, scope() as s:
                for error in late:
                    s.spawn(cleaning, error)
                s.spawn(fail, first)
            assert caught.value.exceptions[0] is first
            assert set(caught.value.exceptions) == {first, *late}

        world.run(main)

    def test_cancelled_alone_is_no_error(self, world: World) -> None:
        def main() -> None:
            with scope() as s:
                s.spawn(forever).cancel()
                fiber = s.spawn(forever)
                yield_()
                fiber.cancel()

        world.run(main)

    def test_nested_groups_are_nested(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            with scope(), scope() as inner:
                inner.spawn(fail, error)

        with pytest.raises(ExceptionGroup) as caught:
            world.run(main)
        # Each scope it passed bare: as the body's own error, alone.
        assert list(caught.value.exceptions) == [error]

    def test_an_inner_group_is_the_bodys_error_outside(self, world: World) -> None:
        inner_error, outer_error = ValueError("inner"), KeyError("outer")

        def cleaning() -> None:
            try:
                forever()
            finally:
                raise outer_error

        def main() -> None:
            with scope() as outer:
                outer.spawn(cleaning)
                with scope() as inner:
                    inner.spawn(fail, inner_error)

        with pytest.raises(ExceptionGroup) as caught:
            world.run(main)
        group, other = caught.value.exceptions
        assert isinstance(group, ExceptionGroup)
        assert list(group.exceptions) == [inner_error]
        assert other is outer_error

    def test_of_a_scope_inside_a_fiber(self, world: World) -> None:
        error = ValueError()

        def child() -> None:
            with scope() as s:
                s.spawn(fail, error)

        def main() -> None:
            with pytest.raises(ExceptionGroup) as caught:
                spawn(child).join()
            assert list(caught.value.exceptions) == [error]

        world.run(main)

    def test_fibers_errors_and_cancellation_from_outside(self, world: World) -> None:
        """The errors come out; the cancellation is still there at the next wait."""
        error = ValueError()
        log: list[str] = []

        def cleaning() -> None:
            try:
                forever()
            finally:
                raise error

        def child() -> None:
            try:
                with scope() as s:
                    s.spawn(cleaning)
                    forever()
            except ExceptionGroup as group:
                log.append(repr(group.exceptions))
            sleep(1)
            log.append("unreached")

        def main() -> None:
            fiber = spawn(child)
            turns()
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()

        world.run(main)
        assert log == ["(ValueError(),)"]

    def test_beside_deadlock_they_are_kept(self, world: World) -> None:
        error = ValueError()

        def stuck() -> None:
            try:
                Channel(0).receive()
            finally:
                raise error

        def main() -> None:
            with pytest.raises(ExceptionGroup) as caught, scope() as s:
                s.spawn(stuck)
            deadlock, other = caught.value.exceptions
            assert isinstance(deadlock, Deadlock)
            assert other is error

        world.run(main)
