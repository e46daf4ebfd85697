"""Crew: the carriers of one kernel, busy and idle.

A carrier that has finished its fiber is kept for the next. How many are kept
follows from how many are busy, so that a burst does not hold its memory for
good. Those too many are ended when nothing else is to be done, and in the
order they were made: their stacks lie in that order, and giving memory back
at random costs the system twice as much.

Rules:
  1. When the kernel sleeps, idle carriers are at most three times the busy
     ones, and a thousand.
  2. Only the hub makes carriers and ends them, until the kernel is closed.

Not here: what a carrier runs (kernel.py).
"""

from collections.abc import Callable

from computicle.scheduler.carrier import Carrier

__all__ = ["Crew"]

IDLE_MIN = 512  # always kept, some 7 KiB each
RECHECK_MIN = 256  # how many more must become idle before we look again


class Crew:
    """Who carries."""

    __slots__ = ("_carry", "_made", "_total", "idle", "idle_max")

    def __init__(self, carry: Callable[[], None]) -> None:
        self._carry = carry
        self._made = 0
        self._total = 0  # made and not ended
        self.idle: list[Carrier] = []  # the last to become idle, whose memory is warm, is taken first
        self.idle_max = IDLE_MIN  # with more, the hub calls `trim` before it sleeps

    def make(self) -> Carrier:
        """A new carrier, busy from the start."""
        self._made += 1
        self._total += 1
        carrier = Carrier(self._carry)
        carrier.number = self._made
        return carrier

    def trim(self) -> None:
        """End the idle carriers there are too many of."""
        idle = self.idle
        busy = self._total - len(idle)
        if len(idle) > IDLE_MIN + busy:
            idle.sort(key=lambda carrier: carrier.number)
            keep = IDLE_MIN + busy // 2
            surplus = idle[keep:]
            del idle[keep:]
            self._end(surplus)
        self.idle_max = len(idle) + max(RECHECK_MIN, busy // 2)

    def close(self) -> None:
        """End them all. None is busy."""
        self.idle.sort(key=lambda carrier: carrier.number)
        self._end(self.idle)
        self.idle.clear()

    def _end(self, carriers: list[Carrier]) -> None:
        self._total -= len(carriers)
        for index, carrier in enumerate(carriers):
            carrier.end()
            carriers[index] = None  # type: ignore[call-overload]  # let its memory go now, in this order

    def check(self) -> None:
        """Assert the rules. O(n): for tests."""
        busy = self._total - len(self.idle)
        assert busy >= 0
        assert len(self.idle) <= IDLE_MIN + 2 * RECHECK_MIN + 3 * busy
