"""Fibers that wait before they begin, made in a scope that is cancelled already: nobody will come to cancel them."""

from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import forever, nobody_waits, turns

LONG_S = 1000.0

STANDING: dict[str, Callable[[Callable[[], Any]], Fiber]] = {
    "delay": lambda fn: delay(fn, LONG_S),
    "periodic": lambda fn: periodic(fn, LONG_S),
    "when": lambda fn: when(lambda: False, fn, every=LONG_S),
    "whenever": lambda fn: whenever(lambda: False, fn, every=LONG_S),
    "on_signal": lambda fn: on_signal(fn, "s"),
    "on_signal every": lambda fn: on_signal(fn, "s", every=True),
}


class Making:
    """Makes one, and sees to it that it was never there, as far as anybody can tell."""

    def __init__(self, word: str) -> None:
        self.log: list[str] = []
        self.fibers: list[Fiber] = []
        self._word = word

    def __call__(self) -> None:
        fiber = STANDING[self._word](lambda: self.log.append("begun"))
        self.fibers.append(fiber)
        assert signal_one("s") is False
        assert signal_all("s") == 0

    def check(self) -> None:
        assert self.log == []
        (fiber,) = self.fibers
        assert fiber.done
        with pytest.raises(FiberCancelled):
            fiber.join()

    def in_finally(self) -> None:
        try:
            forever()
        finally:
            self()


@pytest.fixture(params=STANDING)
def making(request: pytest.FixtureRequest) -> Making:
    return Making(request.param)


def left_in_no_time(region: Callable[[], None]) -> None:
    """Call it: that takes less time than they would wait, and leaves nothing behind."""
    kernel = current().kernel
    start = kernel.now()
    region()
    assert kernel.now() - start < LONG_S / 2
    assert kernel.timers.next_deadline() is None
    assert not kernel.predicates.watches
    assert fibers() == [current()]
    nobody_waits()


def test_by_cancel(world: World, making: Making) -> None:
    def leave() -> None:
        with scope() as s:
            s.cancel()
            making()

    world.run(left_in_no_time, leave)
    making.check()


def test_in_a_finally_as_the_scope_is_cancelled(world: World, making: Making) -> None:
    def leave() -> None:
        with scope() as s:
            s.spawn(making.in_finally)
            turns()
            s.cancel()

    world.run(left_in_no_time, leave)
    making.check()


def test_in_a_fiber_that_stop_has_cancelled(world: World, making: Making) -> None:
    times: list[float] = []

    def main() -> Callable[[], float]:
        spawn(making.in_finally)
        turns()
        stop()
        clock = current().kernel.now
        times.append(clock())
        return clock

    clock = world.run(main)
    assert clock() - times[0] < LONG_S / 2
    making.check()


def test_in_a_scope_inside_the_cancelled_one(world: World, making: Making) -> None:
    def leave() -> None:
        with scope() as outer:
            outer.cancel()
            with scope():
                making()

    world.run(left_in_no_time, leave)
    making.check()


def test_a_shield_keeps_away_what_is_cancelled_outside_it_only(world: World, making: Making) -> None:
    log: list[str] = []

    def leave() -> None:
        with scope() as outer:
            outer.cancel()
            with shield(), scope() as inner:
                fiber = on_signal(lambda: log.append("begun"), "s")
                assert signal_one("s")
                fiber.join()
                inner.cancel()
                making()

    world.run(left_in_no_time, leave)
    assert log == ["begun"]
    making.check()
