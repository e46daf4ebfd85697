"""Timers: what is due when.

Most timeouts never come due: they are cancelled when what they guard has
happened, and most of them lie far ahead. So deadlines beyond the horizon are
kept unsorted, in one dict per second, where adding and cancelling cost one
dict operation each. When the horizon reaches a second its dict is sorted at
once, and then eaten from the end, at a tenth of what a heap costs. Only what
is added within the horizon goes into a heap. In both a cancelled timer is
left to rot until its turn comes, or until half of them are rot.

Rules:
  1. A timer fires once, or never if it was cancelled. When it has fired it
     may be set again; one that was cancelled not, for it may still lie here.
  2. Deadlines are kept in order; equal ones in the order of `tie`.
  3. Nothing here reads a clock or waits: the time is passed in.

Not here: the clock (engine), what fibers do with timers (timeouts.py).
"""

import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from itertools import pairwise
from operator import attrgetter
from typing import Any

__all__ = ["Timer", "Timers"]

HORIZON_S = 1.0  # how far ahead the heap may be filled
ROT_MIN = 64  # heaps with fewer cancelled timers are not worth cleaning


class Timer:
    """A deadline and what happens then. Subclasses say what."""

    __slots__ = ("deadline", "key", "timers")

    deadline: float
    key: Any
    timers: "Timers | None"  # None: not set, fired or cancelled

    def fire(self) -> None:
        raise NotImplementedError

    def cancel(self) -> None:
        """Forget it. Does nothing if it has fired."""
        if self.timers is not None:
            self.timers.cancel(self)


by_deadline = attrgetter("deadline")
by_key = attrgetter("key")


class Timers:
    """The timers of one kernel."""

    def __init__(self, tie: Callable[[], Any], now: float) -> None:
        self._tie = tie
        self._sorted: list[Timer] = []  # deadlines before _horizon, the next one last
        self._heap: list[tuple[float, Any, Timer]] = []  # deadlines before _horizon that were added since
        self._far: dict[int, dict[Any, Timer]] = {}  # second -> tie -> timer
        self._seconds: list[int] = []  # a heap: the keys of _far
        self._far_max = ROT_MIN  # with so many seconds, the empty ones are dropped
        self._horizon = now + HORIZON_S
        self._rot = 0  # cancelled timers still in _sorted or _heap

    def add(self, deadline: float, timer: Timer) -> None:
        """Have `timer` fire at `deadline`, which is finite."""
        timer.deadline = deadline
        timer.timers = self
        key = timer.key = self._tie()
        if deadline < self._horizon:
            heappush(self._heap, (deadline, key, timer))
            return
        second = int(deadline)
        bucket = self._far.get(second)
        if bucket is None:
            if len(self._far) >= self._far_max:
                self._drop_empty()
            self._far[second] = {key: timer}
            heappush(self._seconds, second)
        else:
            bucket[key] = timer

    def cancel(self, timer: Timer) -> None:
        timer.timers = None
        if timer.deadline >= self._horizon:
            del self._far[int(timer.deadline)][timer.key]
            return
        self._rot += 1
        if self._rot > ROT_MIN and self._rot * 2 > len(self._sorted) + len(self._heap):
            self._sorted = [timer for timer in self._sorted if timer.timers is not None]
            self._heap = [entry for entry in self._heap if entry[2].timers is not None]
            heapify(self._heap)
            self._rot = 0

    def _drop_empty(self) -> None:
        """Forget the seconds whose timers have all been cancelled."""
        self._far = {second: bucket for second, bucket in self._far.items() if bucket}
        self._seconds = sorted(self._far)
        self._far_max = len(self._far) * 2 + ROT_MIN

    def next_deadline(self) -> float | None:
        """When to look again; None: nothing is set. May be early, never late."""
        timer = self._next()
        if timer is not None:
            return timer.deadline
        while self._seconds:
            if self._far[self._seconds[0]]:
                return max(self._horizon, float(self._seconds[0]))
            del self._far[heappop(self._seconds)]
        return None

    def fire(self, now: float) -> None:
        """Fire everything due at `now`, in order."""
        if now >= self._horizon:
            self._advance(now)
        while (timer := self._next()) is not None and timer.deadline <= now:
            if self._sorted and timer is self._sorted[-1]:
                self._sorted.pop()
            else:
                heappop(self._heap)
            timer.timers = None
            timer.fire()

    def _next(self) -> Timer | None:
        """The next one that has not been cancelled, left where it is."""
        line, heap = self._sorted, self._heap
        while line and line[-1].timers is None:
            line.pop()
            self._rot -= 1
        while heap and heap[0][2].timers is None:
            heappop(heap)
            self._rot -= 1
        if not heap:
            return line[-1] if line else None
        if line and (line[-1].deadline, line[-1].key) < heap[0]:
            return line[-1]
        return heap[0][2]

    def _advance(self, now: float) -> None:
        """Move the horizon beyond `now`, sorting in what lies before it."""
        self._horizon = horizon = max(float(int(now)) + HORIZON_S, math.nextafter(now, math.inf))
        near = [*self._sorted, *(timer for _deadline, _key, timer in self._heap)]
        while self._seconds and self._seconds[0] < horizon:
            near += self._far.pop(heappop(self._seconds)).values()
        # Twice by one attribute rather than once by a tuple of both: keys come nearly in order, and floats sort fast.
        near.sort(key=by_key, reverse=True)
        near.sort(key=by_deadline, reverse=True)
        self._sorted = near
        self._heap = []

    def check(self) -> None:
        """Assert the rules. O(n): for tests and the simulator."""
        near = [*self._sorted, *(timer for _deadline, _key, timer in self._heap)]
        assert all(timer.deadline < self._horizon for timer in near)
        assert all((a.deadline, a.key) > (b.deadline, b.key) for a, b in pairwise(self._sorted))
        assert sum(timer.timers is None for timer in near) == self._rot
        assert sorted(self._seconds) == sorted(self._far)
        for second, bucket in self._far.items():
            assert all(int(timer.deadline) == second for timer in bucket.values())
            assert all(timer.deadline >= self._horizon for timer in bucket.values())
