"""Idleness: a fiber that waits until its kernel has had nothing to do for a while.

Rules:
  1. Only time in which the kernel sleeps counts; whatever makes somebody ready
     begins it anew.
  2. One fiber of a kernel at a time.

Not here: sleeping otherwise (kernel.py).
"""

from typing import TYPE_CHECKING

from computicle.scheduler.park import park, wake

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = ["Idler", "await_idle"]


class Idler:
    """Who waits, and for how long a sleep."""

    __slots__ = ("_fiber", "_seconds", "_since")

    def __init__(self, fiber: "Fiber", seconds: float) -> None:
        self._fiber = fiber
        self._seconds = seconds
        self._since: float | None = None  # when the kernel fell asleep

    def limit(self, now: float, timeout: float | None) -> float:
        """How long the kernel may sleep now, of the `timeout` seconds that it would otherwise (None: for ever)."""
        if self._since is None:
            self._since = now
        left = max(0.0, self._since + self._seconds - now)
        return left if timeout is None else min(left, timeout)

    def has_slept(self, now: float, *, woken: bool) -> None:
        """It has slept. `woken`: somebody is ready, so the time begins anew."""
        if woken:
            self._since = None
        elif self._since is not None and now - self._since >= self._seconds:
            self.call_off(self._fiber)
            wake(self._fiber)

    def call_off(self, fiber: "Fiber") -> None:
        if fiber.kernel.idler is self:
            fiber.kernel.idler = None

    def __str__(self) -> str:
        return f"{self._seconds:g} s in which nothing happens"


def await_idle(me: "Fiber", seconds: float) -> None:
    """Wait until the kernel has slept for `seconds`."""
    me.why = me.kernel.idler = Idler(me, seconds)
    park(me)
