"""Crew: the carriers of one kernel, busy and idle.

A carrier that has finished its fiber is kept for the next. A program that has
needed many often needs as many again, and to take an idle one costs a tenth
of making one and ending it; but a burst must not hold its memory for good. So
those that nobody has needed for a while are ended.

To end one is slow, so it is done when there is nothing else to do, and some
at a time: 100,000 at once held up the kernel for half a second. And they are
ended in the order they were made: their stacks lie in that order, and giving
memory back at random costs the system twice as much.

Rules:
  1. Those too many are counted whenever the kernel looks outside. What has
     been too many for KEEP_S is ended when the kernel sleeps next, so within
     twice that if it does.
  2. The kernel is never held up for more than SLICE of them.
  3. Only the hub makes carriers and ends them, until the kernel is closed.

Not here: what a carrier runs (kernel.py).
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from computicle.scheduler.carrier import Carrier, end_in_turn

__all__ = ["Crew"]

IDLE_MIN = 512  # always kept, some 7 KiB each
SPARE_MIN = 256  # so many more are not worth ending
KEEP_S = 10.0  # as jemalloc keeps what has been freed (its dirty_decay_ms)
SLICE = 64  # ended in one go: some 0.5 ms


class Crew:
    """Who carries."""

    __slots__ = ("_carry", "_dismissed", "_made", "_spare", "_until", "counting", "idle")

    def __init__(self, carry: Callable[[Any], None]) -> None:
        self._carry = carry  # is given what the carrier is first switched to with
        self._made = 0
        self.idle: list[Carrier] = []  # the last to become idle, whose memory is warm, is taken first
        self._dismissed: list[Carrier] = []  # idle ones that are to be ended, the next one last
        self.counting = False
        self._spare = 0  # the fewest that were too many since the count began
        self._until = 0.0  # when it ends

    def make(self) -> Carrier:
        """One more, busy from the start: for when none is idle. The next to be ended is still as good as a new one."""
        if self._dismissed:
            return self._dismissed.pop()
        self._made += 1
        carrier = Carrier(self._carry)
        carrier.number = self._made
        return carrier

    def is_large(self) -> bool:
        """True if the hub must tend it before it sleeps."""
        return self.counting or len(self.idle) > IDLE_MIN + SPARE_MIN

    def tend(self, now: float) -> float | None:
        """Count those too many, or end some; when to come here again at the latest. None: as far as it goes, never."""
        if self._dismissed:
            self._end(SLICE)
            return now
        spare = len(self.idle) - IDLE_MIN
        if spare <= SPARE_MIN:
            self.counting = False
            return None
        if not self.counting:
            self._begin_count(now)
        self.count()
        if now < self._until:
            return self._until
        if self._spare > 0:
            self._dismiss(self._spare)
        self._begin_count(now)
        return now

    def count(self) -> None:
        """See how many are too many now."""
        self._spare = min(len(self.idle) - IDLE_MIN, self._spare)

    def close(self) -> None:
        """End them all. None is busy."""
        self._dismiss(len(self.idle))
        self._end(len(self._dismissed))

    def _begin_count(self, now: float) -> None:
        self.counting = True
        self._spare = len(self.idle) - IDLE_MIN
        self._until = now + KEEP_S

    def _dismiss(self, count: int) -> None:
        """So many idle ones shall be ended, the first made stay."""
        self.idle.sort(key=attrgetter("number"))
        kept = len(self.idle) - count
        self._dismissed += reversed(self.idle[kept:])
        del self.idle[kept:]

    def _end(self, count: int) -> None:
        ending = self._dismissed[-count:]
        del self._dismissed[-count:]
        ending.reverse()
        end_in_turn(ending)

    def check(self) -> None:
        """Assert that everybody is in one place. O(n): for tests."""
        assert not {*self.idle} & {*self._dismissed}
