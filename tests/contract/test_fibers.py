# mypy: disable-error-code="func-returns-value"
"""Fibers: spawn, join, cancel, names, and where their errors go."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, assert_type

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import fail, failing, forever, turns


class TestSpawn:
    def test_passes_everything_on(self, world: World) -> None:
        def target(*args: Any, **kwargs: Any) -> Any:
            return args, kwargs, current().name

        def main() -> Any:
            return spawn(target, 1, 2, name="n", key=3).join()

        assert world.run(main) == ((1, 2), {"key": 3}, "n")

    @pytest.mark.parametrize("count", range(5))
    def test_any_number_of_arguments(self, world: World, count: int) -> None:
        def main() -> Any:
            return spawn(lambda *args: args, *range(count)).join()

        assert world.run(main) == tuple(range(count))

    def test_keywords_may_be_called_like_its_own_parameters(self, world: World) -> None:
        words: list[Callable[..., Any]] = [
            lambda *args, **kwargs: spawn(*args, **kwargs).join(),
            lambda *args, **kwargs: current().scope.spawn(*args, **kwargs).join(),
        ]

        def main() -> None:
            for word in words:
                assert word(dict, fn=1, main=2, self=3) == {"fn": 1, "main": 2, "self": 3}
            assert offload(dict, fn=1, main=2, self=3) == {"fn": 1, "main": 2, "self": 3}

        world.run(main)
        assert run(dict, fn=1, main=2, self=3) == {"fn": 1, "main": 2, "self": 3}

    def test_never_gives_way_and_starts_in_order(self, world: World) -> None:
        log: list[int] = []

        def main() -> None:
            for number in range(5):
                spawn(log.append, number)
                assert log == []
            yield_()
            assert log == [0, 1, 2, 3, 4]

        world.run(main)

    def test_goes_to_the_nearest_enclosing_scope(self, world: World) -> None:
        def main() -> None:
            log: list[str] = []
            outer = spawn(wait_signal, "end")
            with scope():
                inner = spawn(lambda: sleep(1) or log.append("inner"))
                with move_on_after(9), shield():
                    deeper = spawn(lambda: sleep(2) or log.append("deeper"))
            assert log == ["inner", "deeper"]
            assert (outer.done, inner.done, deeper.done) == (False, True, True)
            signal_all("end")

        world.run(main)

    def test_a_fibers_own_fibers_belong_to_the_same_scope(self, world: World) -> None:
        log: list[str] = []

        def parent() -> None:
            spawn(lambda: sleep(5) or log.append("child"))

        def main() -> None:
            with scope() as s:
                s.spawn(parent).join()
                assert log == []
            assert log == ["child"]

        world.run(main)


class TestNames:
    def test_given_or_the_functions(self, world: World) -> None:
        class Callable_:
            def __call__(self) -> None: ...

        def main() -> None:
            assert spawn(turns).name == "turns"
            assert spawn(turns, name="mine").name == "mine"
            assert spawn(turns, name="").name == ""
            assert "lambda" in spawn(lambda: None).name
            assert "partial" in spawn(partial(turns, 1)).name
            assert "Callable_" in spawn(Callable_()).name

        world.run(main)

    def test_of_the_words_like_spawn(self, world: World) -> None:
        def main() -> None:
            made = [
                delay(turns, 1),
                periodic(turns, 1),
                on_signal(turns, "s"),
                on_signal(turns, "s", every=True),
                when(lambda: False, turns),
                whenever(lambda: False, turns),
            ]
            assert [fiber.name for fiber in made] == ["turns"] * 6
            stop()

        world.run(main)

    def test_repr_tells_the_state(self, world: World) -> None:
        def main() -> None:
            waiting, ready = spawn(wait_signal, "s", name="w"), spawn(turns, name="r")
            assert "ready" in repr(ready)
            yield_()
            assert "waiting for signal 's'" in repr(waiting)
            assert "running" in repr(current())
            assert str(ready) == repr(ready)
            waiting.cancel()
            turns(9)
            assert repr(waiting) == "<Fiber 'w' cancelled>"
            assert repr(ready) == "<Fiber 'r' done>"
            failed = spawn(fail, ValueError("no"), name="f")
            with pytest.raises(ValueError):
                failed.join()
            assert repr(failed) == "<Fiber 'f' failed: ValueError('no')>"

        world.run(main)


class TestJoin:
    def test_value_before_and_after_the_end(self, world: World) -> None:
        def main() -> Any:
            fiber = spawn(lambda: sleep(1) or 5)
            return fiber.join(), fiber.join(), fiber.done

        assert world.run(main) == (5, 5, True)

    def test_many_joiners_in_order(self, world: World) -> None:
        log: list[int] = []

        def main() -> None:
            fiber = spawn(lambda: sleep(1) or 5)
            for number in range(5):
                spawn(lambda number=number: log.append(number + fiber.join()))

        world.run(main)
        assert log == [5, 6, 7, 8, 9]

    def test_itself(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(RuntimeError, match="join itself"):
                current().join()
            with pytest.raises(RuntimeError, match="join itself"):
                spawn(lambda: current().join()).join()
            with pytest.raises(RuntimeError, match="join itself"):
                select(current())

        world.run(main)

    def test_timeout(self, world: World) -> None:
        def main() -> None:
            fiber = spawn(lambda: sleep(10) or 5)
            with pytest.raises(TimeoutError, match=r"waited 1 s for the end of fiber '"):
                fiber.join(timeout=1)
            joiner = spawn(fiber.join)
            yield_()
            assert joiner.waits_for == f"the end of fiber {fiber.name!r}"
            assert f"waiting for the end of fiber {fiber.name!r}" in repr(joiner)
            with pytest.raises(TimeoutError):
                fiber.join(0)
            assert not fiber.done
            assert fiber.join(timeout=100) == 5
            assert fiber.join(timeout=0) == 5

        world.run(main)

    def test_cancelled_one(self, world: World) -> None:
        def main() -> None:
            begun, unbegun = spawn(forever, name="one"), spawn(forever)
            yield_()
            fresh = spawn(forever)
            for fiber in (begun, unbegun, fresh):
                fiber.cancel()
                with pytest.raises(FiberCancelled) as caught:
                    fiber.join()
                assert isinstance(caught.value, Exception)
                assert not isinstance(caught.value, Cancelled)

        world.run(main)

    def test_one_that_swallows_its_cancellation_returns(self, world: World) -> None:
        def stubborn() -> str:
            try:
                forever()
            except Cancelled:
                pass
            return "done"

        def main() -> Any:
            fiber = spawn(stubborn)
            yield_()
            fiber.cancel()
            return fiber.join()

        assert world.run(main) == "done"

    def test_in_another_thread(self) -> None:
        caught: list[BaseException] = []
        fiber = spawn(forever)
        yield_()

        def elsewhere() -> None:
            for word in (fiber.join, fiber.cancel):
                try:
                    word()
                except RuntimeError as error:
                    caught.append(error)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        assert len(caught) == 2
        assert all("another thread" in str(error) for error in caught)
        fiber.cancel()
        with pytest.raises(FiberCancelled):
            fiber.join()


def test_current_and_fibers(world: World) -> None:
    def main() -> None:
        me = current()
        seen = [spawn(current).join() for _ in range(2)]
        assert me not in seen
        assert fibers() == [me]
        waiting = spawn(wait_signal, "s")
        with scope() as s:
            inner = s.spawn(forever)
            yield_()
            assert set(fibers()) == {me, waiting, inner}
            assert fibers()[0] is me
            assert waiting.waits_for == "signal 's'"
            assert inner.waits_for is not None
            assert me.waits_for is None
            assert "test_fibers.py" in me.where
            assert "helpers.py" in inner.where
            s.cancel()
        assert current() is me
        assert set(fibers()) == {me, waiting}

    world.run(main)


def test_cancel_of_what_has_ended_does_nothing(world: World) -> None:
    def main() -> Any:
        fiber = spawn(lambda: 5)
        fiber.join()
        fiber.cancel()
        failed = spawn(failing(ValueError()))
        with pytest.raises(ValueError):
            failed.join()
        failed.cancel()
        with pytest.raises(ValueError):
            failed.join()
        return fiber.join()

    assert world.run(main) == 5


def test_a_fiber_is_typed_by_its_value(world: World) -> None:
    """What is asserted here is asserted by the type checkers."""

    def twice(number: int) -> int:
        return number * 2

    def main() -> int:
        fiber = spawn(twice, 2)
        assert_type(fiber, Fiber[int])
        assert_type(when(lambda: True, lambda: "seen"), Fiber[str])
        assert_type(offload(twice, 3), int)
        with scope() as s:
            assert_type(s.spawn(twice, 1).join(), int)
        anybody: Fiber = fiber
        assert anybody is fiber
        return fiber.join()

    assert world.run(main) == 4
