"""A wake given stands, and a word does all its work or none of it (law 4): word by word, in both orders.

In each case a fiber waits, and in one and the same turn its wait comes true and it is cancelled, or times out.
"""

from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate
from tests.contract.helpers import turns
from tests.contract.waits import (
    CASES,
    UNTIMED,
    Case,
    call,
    hand_over,
    join,
    pass_time,
    select_fiber,
    signal,
    signal_to_all,
    time,
    truth,
    waiting,
)


@pytest.mark.parametrize("make", [*CASES, *UNTIMED])
class TestWakeAndCancel:
    def test_woken_first(self, make: Callable[[], Case]) -> None:
        """It stands; the cancellation comes at the next wait."""
        log: list[Any] = []

        def main() -> None:
            case = make()
            fiber = waiting(case, log)
            case.wake()
            assert fiber.waits_for is None
            fiber.cancel()
            assert log == []
            with pytest.raises(FiberCancelled):
                fiber.join()
            assert case.taken()
            assert log == [case.value]

        simulate(main)

    def test_cancelled_first(self, make: Callable[[], Case]) -> None:
        """The wake finds nobody: what it brought is there for the next one."""
        log: list[Any] = []

        def main() -> None:
            case = make()
            fiber = waiting(case, log)
            fiber.cancel()
            case.wake()
            with pytest.raises(FiberCancelled):
                fiber.join()
            if make not in (join, select_fiber, truth, time, call):
                assert not case.taken()
            assert log == []

        simulate(main)

    def test_cancelled_twice_with_the_wake_between(self, make: Callable[[], Case]) -> None:
        log: list[Any] = []

        def main() -> None:
            case = make()
            fiber = waiting(case, log)
            case.wake()
            fiber.cancel()
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()
            assert log == [case.value]

        simulate(main)

    def test_its_deadline_comes_when_it_is_woken(self, make: Callable[[], Case]) -> None:
        log: list[Any] = []

        def body(case: Case) -> None:
            with move_on_after(10) as deadline:
                log.append(case.wait())
            log.append(deadline.expired)

        def main() -> None:
            case = make()
            fiber = spawn(body, case)
            turns(3)
            if make in UNTIMED:
                current().kernel.engine.time += 0.5  # type: ignore[attr-defined]
            else:
                case.wake()
            pass_time()
            fiber.join()
            if make not in UNTIMED:
                assert case.taken()
                assert log == [case.value, False]

        simulate(main)


@pytest.mark.parametrize("make", CASES)
class TestWakeAndTimeout:
    def test_woken_first(self, make: Callable[[], Case]) -> None:
        log: list[Any] = []

        def main() -> None:
            case = make()
            fiber = waiting(case, log, timeout=5)
            case.wake()
            pass_time()
            turns(2)
            assert log == [case.value]
            assert case.taken()
            fiber.cancel()

        simulate(main)

    def test_timed_out_first(self, make: Callable[[], Case]) -> None:
        log: list[Any] = []

        def main() -> None:
            case = make()
            fiber = waiting(case, log, timeout=5)
            pass_time()
            case.wake()
            turns(2)
            assert log == ["timeout"]
            if make not in (join, select_fiber, truth):
                assert not case.taken()
            fiber.cancel()

        simulate(main)

    def test_timed_out_then_cancelled(self, make: Callable[[], Case]) -> None:
        """The timeout stands; the cancellation comes at the next wait."""
        log: list[Any] = []

        def main() -> None:
            fiber = waiting(make(), log, timeout=5)
            pass_time()
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()
            assert log == ["timeout"]

        simulate(main)

    def test_a_timeout_of_zero_lets_what_is_there_be_taken(self, make: Callable[[], Case]) -> None:
        def main() -> None:
            case = make()
            if make in (signal, signal_to_all, hand_over):
                return  # these are not kept
            case.wake()
            turns()
            assert case.wait(timeout=0) == case.value
            assert case.taken()

        simulate(main)

    def test_it_leaves_no_timer_behind(self, make: Callable[[], Case]) -> None:
        def main() -> None:
            case = make()
            fiber = waiting(case, [], timeout=5)
            case.wake()
            turns(2)
            fiber.cancel()
            turns(2)
            assert current().kernel.timers.next_deadline() is None

        simulate(main)
