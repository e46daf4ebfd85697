"""Crew: the carriers of one kernel, busy and idle.

A carrier that has finished its fiber is kept for the next. How many are kept
follows from how many are busy, so that a burst does not hold its memory for
good. Those too many are ended when nothing else is to be done, many at once,
and in the order they were made: their stacks lie in that order, and giving
memory back at random costs the system twice as much. For 100,000 fibers that
end one by one this is a fifth of all their time (bench/sleepers.py).

Rules:
  1. When the kernel sleeps, idle carriers are at most three times the busy
     ones, or 768 if that is more.
  2. Only the hub makes carriers and ends them, until the kernel is closed.

Not here: what a carrier runs (kernel.py).
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any

from computicle.scheduler.carrier import Carrier, end_in_turn

__all__ = ["Crew"]

IDLE_MIN = 512  # always kept, some 7 KiB each
SURPLUS_MIN = 256  # a surplus below this is not worth ending
IDLE_SHARE = 3  # idle ones to a busy one, at most


class Crew:
    """Who carries."""

    __slots__ = ("_carry", "_made", "_total", "idle", "idle_max")

    def __init__(self, carry: Callable[[Any], None]) -> None:
        self._carry = carry  # is given what the carrier is first switched to with
        self._made = 0
        self._total = 0  # made and not ended
        self.idle: list[Carrier] = []  # the last to become idle, whose memory is warm, is taken first
        self.idle_max = IDLE_MIN + SURPLUS_MIN  # with more, the hub calls `trim` before it sleeps

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
        if len(idle) > max(IDLE_MIN + SURPLUS_MIN, IDLE_SHARE * busy):
            self._end_all_but(IDLE_MIN + busy // 2)
        # While nobody makes more, fewer busy ones are as many more idle ones: the share is reached here.
        self.idle_max = max(IDLE_MIN + SURPLUS_MIN, self._total * IDLE_SHARE // (IDLE_SHARE + 1))

    def close(self) -> None:
        """End them all. None is busy."""
        self._end_all_but(0)

    def _end_all_but(self, kept: int) -> None:
        idle = self.idle
        idle.sort(key=attrgetter("number"))
        surplus = idle[kept:]
        del idle[kept:]
        self._total -= len(surplus)
        end_in_turn(surplus)

    def check(self) -> None:
        """Assert the rules. O(n): for tests."""
        busy = self._total - len(self.idle)
        assert busy >= 0
        assert len(self.idle) <= max(IDLE_SHARE * busy, IDLE_MIN + SURPLUS_MIN)
