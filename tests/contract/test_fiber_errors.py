# mypy: disable-error-code="func-returns-value"
"""Where the errors of fibers go (law 3)."""

import weakref
from collections.abc import Callable
from contextlib import suppress
from traceback import walk_tb
from typing import NoReturn

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import fail, forever, raises_group, turns, without_the_collector
from tests.contract.test_streams import pair


class TestErrors:
    """To whoever waits; else to the scope; never nowhere, never to both."""

    def test_to_the_joiner_only(self, world: World) -> None:
        error = ValueError()

        def main() -> str:
            with pytest.raises(ValueError) as caught:
                spawn(lambda: sleep(1) or fail(error)).join()
            assert caught.value is error
            return "fine"

        assert world.run(main) == "fine"

    def test_to_every_joiner(self, world: World) -> None:
        caught: list[BaseException] = []
        error = ValueError()

        def joiner(fiber: Fiber) -> None:
            try:
                fiber.join()
            except ValueError as reason:
                caught.append(reason)

        def main() -> None:
            fiber = spawn(lambda: sleep(1) or fail(error))
            for _ in range(3):
                spawn(joiner, fiber)

        world.run(main)
        assert caught == [error] * 3

    def test_through_select_it_is_claimed_too(self, world: World) -> None:
        def main() -> str:
            fiber = spawn(lambda: sleep(1) or fail(ValueError()))
            with pytest.raises(ValueError):
                select(Channel(0), fiber)
            return "fine"

        assert world.run(main) == "fine"

    def test_a_joiner_that_gave_up_does_not_claim(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            fiber = spawn(lambda: sleep(5) or fail(error))
            with pytest.raises(TimeoutError):
                fiber.join(1)
            with move_on_after(1):
                fiber.join()
            with pytest.raises(TimeoutError):
                select(fiber, timeout=1)

        with raises_group(error):
            world.run(main)

    def test_a_cancelled_joiner_does_not_claim(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            fiber = spawn(lambda: sleep(5) or fail(error))
            joiner = spawn(fiber.join)
            sleep(1)
            joiner.cancel()

        with raises_group(error):
            world.run(main)

    def test_a_joiner_that_comes_too_late_gets_it_as_well_as_the_scope(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            with raises_group(error), scope() as s:
                fiber = s.spawn(fail, error)
            with pytest.raises(ValueError):
                fiber.join()

        world.run(main)

    def test_the_joiners_own_failure_goes_on_to_its_scope(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            with scope() as s:
                fiber = s.spawn(lambda: sleep(1) or fail(error))
                s.spawn(fiber.join)

        with raises_group(error):
            world.run(main)

    def test_its_traceback_does_not_grow_with_each_joiner(self, world: World) -> None:
        def main() -> None:
            fiber = spawn(fail, ValueError())
            traces: list[list[str]] = []
            for _ in range(3):
                with pytest.raises(ValueError) as caught:
                    fiber.join()
                traces.append([entry.name for entry in caught.traceback])
            assert traces[0] == traces[1] == traces[2]

        world.run(main)

    def test_the_traceback_begins_in_the_programs_own_code(self, world: World) -> None:
        def main() -> None:
            fiber = spawn(fail, ValueError())
            turns()
            assert fiber.error is not None
            trace = fiber.error.__traceback__
            assert trace is not None
            assert trace.tb_frame.f_code is fail.__code__

        with pytest.raises(ExceptionGroup):
            world.run(main)

    @pytest.mark.parametrize("kind", [GeneratorExit, KeyError, type("Odd", (BaseException,), {})])
    def test_of_any_kind(self, world: World, kind: type[BaseException]) -> None:
        error = kind()
        with raises_group(error):
            world.run(lambda: spawn(fail, error))

    def test_of_one_that_minds_its_traceback(self, world: World) -> None:
        """Nobody asks the error itself to carry it: what it would raise would stand in its place."""

        class Minding(Exception):
            def with_traceback(self, trace: object) -> NoReturn:
                raise KeyError

        error = Minding()

        def main() -> None:
            with pytest.raises(Minding) as caught:
                spawn(fail, error).join()
            assert caught.value is error
            with raises_group(error), scope() as s:
                s.spawn(fail, error)

        world.run(main)


# A finished fiber keeps its error, and the error the program's variables; but there is no circle.


def reading_more_than_comes() -> None:
    with pair() as (near, far):
        near.send_eof()
        far.read_exactly(1)


def waiting_too_long() -> None:
    wait_signal("never", timeout=1)


def taking_too_long() -> None:
    with fail_after(1):
        forever()


def leaving_a_scope() -> None:
    with scope():
        spawn(waiting_too_long)
        spawn(fail, ValueError())


def at_work(word: Callable[[], None]) -> None:
    kept = "kept"
    word()
    del kept


def variables(fiber: Fiber) -> dict[str, object]:
    """What `at_work` has left, as a debugger shows it."""
    assert fiber.error is not None
    (found,) = [frame for frame, _line in walk_tb(fiber.error.__traceback__) if frame.f_code is at_work.__code__]
    return dict(found.f_locals)


@pytest.mark.parametrize("word", [reading_more_than_comes, waiting_too_long, taking_too_long, leaving_a_scope])
@pytest.mark.parametrize("joined", [True, False])
def test_one_that_failed_in_a_word_goes_when_it_is_dropped(
    world: World, word: Callable[[], None], joined: bool
) -> None:
    def main() -> None:
        with suppress(Exception), scope():
            fiber = spawn(at_work, word)
            if joined:
                fiber.join()
        assert variables(fiber) == {"kept": "kept", "word": word}
        gone = weakref.ref(fiber)
        del fiber
        assert gone() is None

    with without_the_collector():
        world.run(main)
