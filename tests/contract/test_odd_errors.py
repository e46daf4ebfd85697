"""Errors that refuse to be changed, proxies that refuse to be named, causes that lead in a circle."""

import dataclasses
from collections.abc import Callable
from typing import NoReturn

import pytest

from computicle import *
from computicle.scheduler.traces import set_cause
from tests.conftest import World
from tests.contract.helpers import fail, forever, raises_group


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    """Its attributes cannot be set, the traceback neither."""

    number: int


class FrozenCancelled(Cancelled):
    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(name)


class Deaf(Exception):
    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"no {name}")


class Unnamed:
    """A proxy that is not there yet."""

    def __call__(self) -> None:
        raise ValueError("called")

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(f"no {name} yet")


class TestFrozen:
    def test_reaches_who_joins(self, world: World) -> None:
        def main() -> None:
            fiber = spawn(fail, Frozen(1))
            for _ in range(2):
                with pytest.raises(Frozen) as caught:
                    fiber.join()
                assert caught.value == Frozen(1)

        world.run(main)

    def test_reaches_the_scope(self, world: World) -> None:
        error = Frozen(2)

        def main() -> None:
            spawn(fail, error)
            forever()

        with raises_group(error):
            world.run(main)

    def test_as_cancelled(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(FiberCancelled):
                spawn(fail, FrozenCancelled()).join()
            sleep(1)

        world.run(main)

    @pytest.mark.parametrize("kind", [lambda: Frozen(3), lambda: Deaf()])  # made late: pytest asks for its name
    def test_in_a_scope_left_open(self, world: World, kind: Callable[[], Exception]) -> None:
        def main() -> None:
            def body() -> None:
                scopes.append(scope())
                scopes[0].__enter__()
                raise kind()

            with pytest.raises((Frozen, Deaf)) as caught:
                spawn(body).join()
            assert "had entered and not left" in caught.value.__notes__[-1]

        scopes: list[Scope] = []
        world.run(main)


def test_one_that_cannot_be_named_fails_like_any_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def main() -> None:
        with pytest.raises(ValueError, match="called"):
            spawn(Unnamed()).join()
        assert "Unnamed" in spawn(Unnamed()).name
        sleep(1)

    with pytest.raises(ExceptionGroup):
        world.run(main)


class TestCauses:
    @pytest.mark.parametrize("caught_by_main", [True, False])
    def test_a_wish_to_end_keeps_its_own(self, world: World, caught_by_main: bool) -> None:
        cause = ValueError()

        def ends() -> None:
            raise SystemExit(3) from cause

        def main() -> None:
            spawn(ends)
            if caught_by_main:
                with pytest.raises(SystemExit):
                    forever()

        with pytest.raises(SystemExit) as caught:
            world.run(main)
        assert caught.value.__cause__ is cause

    def test_no_error_is_its_own(self, world: World) -> None:
        def late(fiber: Fiber) -> None:
            try:
                fiber.join()
            finally:
                with shield():
                    sleep(1)

        def another() -> None:
            try:
                forever()
            finally:
                raise SystemExit(2)

        def main() -> None:
            spawn(late, spawn(fail, SystemExit(1)))
            with scope():
                spawn(another)
                forever()

        with pytest.raises(SystemExit) as caught:
            world.run(main)
        error: BaseException | None = caught.value
        seen = []
        while error is not None:
            assert error not in seen
            seen.append(error)
            error = error.__cause__

    def test_nor_what_it_comes_from(self) -> None:
        first, second, third = ValueError(1), ValueError(2), ValueError(3)
        set_cause(second, first)
        set_cause(third, second)
        set_cause(first, third)
        assert first.__cause__ is None
        assert third.__cause__ is second
        set_cause(third, ValueError(4))
        assert third.__cause__ is second
