"""join checks its timeout before it does anything; words that need not wait count, all of them."""

import math
from decimal import Decimal
from typing import Any

import pytest

from computicle import *
from tests.conftest import World


@pytest.mark.parametrize("timeout", ["x", True, [1]])
def test_a_timeout_of_the_wrong_kind_leaves_nothing_behind(world: World, timeout: Any) -> None:
    def main() -> None:
        fiber = spawn(lambda: 42)
        with pytest.raises(TypeError, match="join: timeout must be a number of seconds"):
            fiber.join(timeout=timeout)
        sleep(0)
        assert fiber.join() == 42

    world.run(main)


@pytest.mark.parametrize("timeout", [-1, math.nan])
def test_a_timeout_out_of_range_leaves_nothing_behind(world: World, timeout: float) -> None:
    def main() -> None:
        fiber = spawn(lambda: 42)
        with pytest.raises(ValueError, match="join: timeout must be zero or more"):
            fiber.join(timeout=timeout)
        assert fiber.join() == 42

    world.run(main)


@pytest.mark.parametrize("timeout", [math.inf, Decimal(3600), 3600])
def test_long_timeouts(world: World, timeout: Any) -> None:
    assert world.run(lambda: spawn(lambda: 42).join(timeout=timeout)) == 42


@pytest.mark.parametrize("make", [fail_after, move_on_after])
def test_deadlines_take_any_number(world: World, make: Any) -> None:
    def main() -> None:
        with make(Decimal(1)):
            sleep(Decimal("0.5"))  # type: ignore[arg-type]

    world.run(main)


def test_gather_of_nothing_gives_way_in_the_end(world: World) -> None:
    def main() -> None:
        other = spawn(lambda: None)
        for _ in range(65):
            gather()
        assert other.done

    world.run(main)


def test_listen_gives_way_in_the_end(world: World) -> None:
    def main() -> None:
        other = spawn(lambda: None)
        for _ in range(65):
            listen(0).close()
        assert other.done

    world.run(main)


def test_what_a_fiber_local_holds_ends_with_the_fiber(world: World) -> None:
    def main() -> None:
        place = FiberLocal()

        def body() -> None:
            place.value = 1

        fiber = spawn(body)
        fiber.join()
        assert not current().kernel.locals

    world.run(main)
