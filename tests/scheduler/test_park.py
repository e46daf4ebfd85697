"""Park: the one suspend and the one wake, without a word around them."""

from typing import Any

import pytest

from computicle import *
from computicle.scheduler.park import (
    CREDIT,
    arrive,
    being_asked,
    interrupt,
    look_around,
    park,
    wake,
)
from computicle.testing import simulate
from tests.contract.helpers import turns


class Reason:
    """Something to wait for."""

    def __init__(self) -> None:
        self.called_off: list[Fiber] = []

    def call_off(self, fiber: Fiber) -> None:
        assert fiber.why is self
        self.called_off.append(fiber)

    def __str__(self) -> str:
        return "a reason"


def park_for(reason: Reason) -> Any:
    me = current()
    me.why = reason
    return park(me)


def test_wake_brings_a_value() -> None:
    def main() -> None:
        reason = Reason()
        fiber = spawn(park_for, reason)
        yield_()
        assert fiber.waits_for == "a reason"
        wake(fiber, "value")
        assert not fiber.why
        assert fiber.join() == "value"
        assert reason.called_off == []

    simulate(main)


def test_interrupt_calls_off_and_raises() -> None:
    def main() -> None:
        reason, error = Reason(), ValueError()
        fiber = spawn(park_for, reason)
        yield_()
        assert interrupt(fiber, error)
        assert reason.called_off == [fiber]
        with pytest.raises(ValueError) as caught:
            fiber.join()
        assert caught.value is error

    simulate(main)


def test_a_fiber_is_woken_once() -> None:
    def main() -> None:
        fiber = spawn(park_for, Reason())
        yield_()
        wake(fiber)
        assert not interrupt(fiber, ValueError())
        fiber.join()

    simulate(main)


def test_what_a_wake_brought_is_not_kept() -> None:
    """Neither the value nor the error of one wait is there at the next."""

    def main() -> None:
        def twice() -> Any:
            first = park_for(Reason())
            assert (current().value, current().error) == (None, None)
            with pytest.raises(ValueError):
                park_for(Reason())
            assert (current().value, current().error) == (None, None)
            return first, park_for(Reason()), arrive(current())

        fiber = spawn(twice)
        yield_()
        wake(fiber, 1)
        yield_()
        interrupt(fiber, ValueError())
        yield_()
        wake(fiber)
        assert fiber.join() == (1, None, None)

    simulate(main)


def test_a_wait_refills_the_credit() -> None:
    def main() -> None:
        me = current()
        me.credit = 3
        sleep(1)
        assert me.credit == me.limit == CREDIT
        me.credit = 3
        yield_()
        assert me.credit == 3  # a turn is no wait
        me.credit = 0
        look_around(me)
        assert me.credit == CREDIT

    simulate(main)


def test_leaving_a_region_refills_nothing() -> None:
    def main() -> None:
        me = current()
        for make in (shield, lambda: move_on_after(1)):
            for credit in (0, 1, 63):
                me.credit = credit
                with make():
                    assert me.credit == credit
                assert me.credit == credit
        wait_for(lambda: True)  # at credit 63
        assert me.credit == 62

    simulate(main)


def test_being_cancelled_neither_takes_credit_nor_gives_any() -> None:
    def main() -> None:
        me = current()
        me.credit = 5
        with scope() as s:
            s.cancel()
            s.cancel()
            assert me.limit == 0
            assert me.credit <= 0
            with shield():
                assert me.limit == CREDIT
                assert me.credit == 5
            assert me.limit == 0
            assert me.credit <= 0
        assert me.limit == CREDIT
        assert me.credit == 4  # leaving the scope counts

    simulate(main)


def test_who_gives_way_to_be_cancelled_begins_afresh() -> None:
    def main() -> None:
        me = current()
        for wait in (yield_, lambda: sleep(1), lambda: wait_for(lambda: True)):
            me.credit = 5
            with move_on_after(1) as region:
                region.cancel()
                wait()
            assert me.credit == me.limit == CREDIT

    simulate(main)


def test_being_asked() -> None:
    seen: list[bool] = []

    def main() -> None:
        assert not being_asked(current())
        spawn(turns)
        wait_for(lambda: seen.append(being_asked(current())) or len(seen) > 2)  # type: ignore[func-returns-value]
        assert being_asked(current().kernel.nobody)

    simulate(main)
    assert set(seen) == {True}
