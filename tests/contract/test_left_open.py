"""A fiber that ends inside a region it has not left, for a generator of it that is kept elsewhere is still in there."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, TypeAlias

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import fail, forever, raises_group, turns

MESSAGE = "ended inside a .* that it had entered and not left"

Generators: TypeAlias = list[Iterator[None]]


def inside(region: Callable[[], Any], *work: Callable[[], Any]) -> Iterator[None]:
    with region():
        for fn in work:
            spawn(fn)
        yield


def nested() -> Iterator[None]:
    with scope(), move_on_after(5), shield():
        yield


def keep(kept: Generators, generator: Iterator[None]) -> None:
    """Have it enter its region; nobody resumes it."""
    kept.append(generator)
    next(generator)
    turns()  # what it has spawned begins


@pytest.fixture
def kept() -> Generators:
    """The generators, which outlive the fibers."""
    return []


@pytest.fixture(autouse=True)
def _nothing_unraisable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is said in passing, when a generator is dropped."""
    said: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: said.append(unraisable.exc_value))
    yield
    assert said == []


class Cleaning:
    """Work that waits until it is cancelled, and then cleans up for a while."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def __call__(self) -> None:
        try:
            forever()
        finally:
            with shield():
                sleep(5)
            self.log.append("clean")


REGIONS: dict[str, Callable[[], Any]] = {
    "scope": scope,
    "move_on_after": lambda: move_on_after(5),
    "a far move_on_after": lambda: move_on_after(5000),
    "fail_after": lambda: fail_after(5),
    "shield": shield,
}

ENDS: dict[str, Callable[[Generators], Any]] = {
    "dropped": lambda kept: kept.clear(),
    "closed": lambda kept: [generator.close() for generator in kept],  # type: ignore[attr-defined]
    "resumed": lambda kept: [next(generator, None) for generator in kept],
}


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("late", [False, True])
def test_it_fails_and_the_generators_end_says_nothing(
    world: World, kept: Generators, region: str, end: str, late: bool
) -> None:
    def main() -> None:
        fiber = spawn(keep, kept, inside(REGIONS[region]))
        with pytest.raises(RuntimeError, match=MESSAGE):
            fiber.join()
        assert fibers() == [current()]
        assert current().kernel.timers.next_deadline() is None
        if not late:
            ENDS[end](kept)
        sleep(10000)
        turns()

    world.run(main)
    ENDS[end](kept)


def test_all_of_them_are_named_the_innermost_first(world: World, kept: Generators) -> None:
    def main() -> None:
        with pytest.raises(RuntimeError, match="'keep' ended inside a shield in a move_on_after in a scope that"):
            spawn(keep, kept, nested()).join()

    world.run(main)


def test_its_fibers_are_cancelled_and_waited_for_by_the_scope_around(world: World, kept: Generators) -> None:
    work = Cleaning()

    def main() -> None:
        with scope() as s:
            fiber = s.spawn(keep, kept, inside(scope, work, work))
            with pytest.raises(RuntimeError, match=MESSAGE):
                fiber.join()
            assert work.log == []
            assert len(s.fibers) == 2
        assert work.log == ["clean"] * 2

    world.run(main)


def test_nobody_joins_it_the_scope_around_fails(world: World, kept: Generators) -> None:
    work = Cleaning()

    def main() -> None:
        with pytest.raises(ExceptionGroup) as caught, scope() as s:
            s.spawn(keep, kept, inside(scope, work))
            forever()
        assert work.log == ["clean"]
        assert caught.group_contains(RuntimeError, match=MESSAGE)

    world.run(main)


def test_what_its_fibers_spawn_on_their_way_out_goes_to_the_scope_around(world: World, kept: Generators) -> None:
    log: list[str] = []

    def work() -> None:
        try:
            with scope():
                forever()
        finally:
            spawn(log.append, "spawned")

    def main() -> None:
        with scope() as s:
            with pytest.raises(RuntimeError, match=MESSAGE):
                s.spawn(keep, kept, inside(scope, work)).join()
        assert log == ["spawned"]

    world.run(main)


def test_an_error_that_is_there_already_is_not_lost(world: World, kept: Generators) -> None:
    error = ValueError()

    def ending() -> None:
        with suppress(Cancelled):  # the error cancels whoever is in the scope
            keep(kept, inside(scope, lambda: fail(error)))
            forever()

    def main() -> None:
        with pytest.raises(ExceptionGroup) as caught, scope() as s:
            s.spawn(ending)
        assert error in caught.value.exceptions
        assert caught.group_contains(RuntimeError, match=MESSAGE)

    world.run(main)


def test_an_error_of_the_clean_up_is_not_lost(world: World, kept: Generators) -> None:
    error = ValueError()

    def failing_late() -> None:
        try:
            forever()
        finally:
            raise error

    def main() -> None:
        with raises_group(error), scope() as s:
            with pytest.raises(RuntimeError, match=MESSAGE):
                s.spawn(keep, kept, inside(scope, failing_late)).join()

    world.run(main)


@pytest.mark.parametrize("region", REGIONS)
def test_its_own_error_is_told_of_it(world: World, kept: Generators, region: str) -> None:
    error = KeyError()

    def ending() -> None:
        keep(kept, inside(REGIONS[region]))
        raise error

    def main() -> None:
        with pytest.raises(KeyError) as caught:
            spawn(ending).join()
        assert caught.value is error
        assert re.search(MESSAGE, error.__notes__[0])

    world.run(main)


def test_a_cancelled_one_is_cancelled_all_the_same(world: World, kept: Generators) -> None:
    work = Cleaning()

    def ending() -> None:
        keep(kept, inside(scope, work))
        forever()

    def main() -> None:
        fiber = spawn(ending)
        turns()
        fiber.cancel()
        with pytest.raises(FiberCancelled):
            fiber.join()

    world.run(main)
    assert work.log == ["clean"]


def test_system_exit_of_a_fiber_passes(world: World, kept: Generators) -> None:
    work = Cleaning()

    def ending() -> None:
        keep(kept, inside(scope, work))
        raise SystemExit(3)

    def main() -> None:
        spawn(ending)
        forever()

    with pytest.raises(SystemExit) as caught:
        world.run(main)
    assert caught.value.code == 3
    assert work.log == ["clean"]


class TestMain:
    def test_run_fails(self, world: World, kept: Generators) -> None:
        work = Cleaning()
        with pytest.raises(RuntimeError, match=MESSAGE) as caught:
            world.run(keep, kept, inside(scope, work))
        assert work.log == ["clean"]
        assert caught.value.__cause__ is None

    @pytest.mark.parametrize("region", REGIONS)
    def test_its_own_error_is_told_of_it(self, world: World, kept: Generators, region: str) -> None:
        error = KeyError()
        work = Cleaning()

        def main() -> None:
            keep(kept, inside(REGIONS[region], work))
            raise error

        with pytest.raises(KeyError) as caught:
            world.run(main)
        assert caught.value is error
        assert re.search(MESSAGE, error.__notes__[0])
        assert work.log == ["clean"]

    def test_an_error_that_is_there_already_stands_beside_it(self, world: World, kept: Generators) -> None:
        error = ValueError()

        def main() -> None:
            with suppress(Cancelled):
                keep(kept, inside(scope, lambda: fail(error)))
                forever()

        with pytest.raises(ExceptionGroup) as caught:
            world.run(main)
        assert caught.group_contains(RuntimeError, match=MESSAGE)
        assert error in caught.value.exceptions

    @pytest.mark.parametrize("wish", [SystemExit(3), KeyboardInterrupt()])
    def test_a_wish_to_end_the_program_passes(self, world: World, kept: Generators, wish: BaseException) -> None:
        work = Cleaning()

        def main() -> None:
            keep(kept, inside(scope, work))
            raise wish

        with pytest.raises(type(wish)) as caught:
            world.run(main)
        assert caught.value is wish
        assert work.log == ["clean"]

    @pytest.mark.parametrize("end", ENDS)
    def test_the_generators_end_says_nothing(self, kept: Generators, end: str) -> None:
        with pytest.raises(RuntimeError, match=MESSAGE):
            simulate(lambda: keep(kept, nested()))
        ENDS[end](kept)
