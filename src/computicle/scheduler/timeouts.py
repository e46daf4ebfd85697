"""Timeouts: waits that time ends: sleeping, and waiting for at most so long.

Rules:
  1. A timer that comes due while its fiber is parked for it wakes the fiber,
     or interrupts it with TimeoutError. If the fiber has been woken already,
     that wake stands.
  2. A wait that is over leaves no timer set.
  3. A wait for at most 0 seconds is over before it begins, and nobody gives
     way; unless the fiber is out of credit. Then it waits like any other.

Not here: when timers are due (timers.py), deadlines of a stretch of code
(deadlines.py).
"""

from typing import TYPE_CHECKING, Any

from computicle.scheduler.park import Why, interrupt, park, wake
from computicle.scheduler.timers import Timer

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = ["Alarm", "Expiry", "park_until", "sleep_for"]


class Alarm(Timer):
    """Wakes one fiber: the timer of `sleep`."""

    __slots__ = ("fiber",)

    def __init__(self, fiber: "Fiber") -> None:
        self.fiber = fiber

    def fire(self) -> None:
        wake(self.fiber)

    def call_off(self, _fiber: "Fiber") -> None:
        self.cancel()

    def __str__(self) -> str:
        return f"time {self.deadline:.3f}"


class Expiry(Timer):
    """Ends one fiber's wait with TimeoutError, `timeout` seconds from now. For 0 that is raised here (rule 3)."""

    __slots__ = ("fiber", "timeout", "why")

    def __init__(self, fiber: "Fiber", why: Why, timeout: float) -> None:
        self.fiber = fiber
        self.why = why
        self.timeout = timeout
        if timeout == 0 and fiber.credit >= 0:
            raise self.error()
        kernel = fiber.kernel
        kernel.timers.add(kernel.now() + timeout, self)

    def fire(self) -> None:
        if self.fiber.why is self.why:
            interrupt(self.fiber, self.error())

    def error(self) -> TimeoutError:
        """What the waiter is told."""
        return TimeoutError(f"waited {self.timeout:g} s for {self.fiber.waits_for or self.why}")


def sleep_for(me: "Fiber", seconds: float) -> None:
    """Park for `seconds`."""
    alarm = Alarm(me)
    me.kernel.timers.add(me.kernel.now() + seconds, alarm)
    me.why = alarm
    park(me)


def park_until(me: "Fiber", expiry: Expiry) -> Any:
    """Park for the `why` it has, until it expires. Raises TimeoutError."""
    try:
        return park(me)
    finally:
        expiry.cancel()
