"""Turn: how far the fibers run before the kernel looks around.

Fibers hand over to each other without asking anybody, so each counts down
`left` as it gives way. At zero, or with nothing ready, it calls `end`, still
on its own stack: mostly that finds that it is not yet time to look outside,
and passes on; only else it enters the hub. (An entry of the kernel's own in
the ready queue would need no count, but costs 0.4 us each time it comes by,
which with few fibers ready is every time.)

Rules:
  1. A turn is the fibers that were ready when it began, at most TURN_MAX.
     After it, predicates are asked, if there are any. If there are none, its
     end matters to nobody, and `left` counts a stride: until the clock is read.
  2. Timers and engine are looked at after TURNS_MAX turns, or once LOOK_S has
     gone by as far as the fibers give way, whichever comes first; and at once
     when nothing is ready.
  3. The clock is read after each turn that predicates follow, else every
     STRIDE resumptions, and more often as soon as they take longer than a
     fraction of LOOK_S.

Not here: what the hub does (kernel.py).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel

__all__ = ["Turn"]

TURN_MAX = 64  # fibers in a turn
TURNS_MAX = 16  # turns between two looks at timers and engine
LOOK_S = 0.001  # and this much time at most
STRIDE = 16  # resumptions between two looks at the clock; TURNS_MAX turns of one fiber each


class Turn:
    """The turn that is on."""

    __slots__ = ("_began", "_hub", "_looked", "_now", "_stride", "_strode", "_until_look", "_watches", "left", "ready")

    def __init__(self, kernel: "Kernel") -> None:
        self.ready = kernel.ready
        self._now = kernel.now
        self._hub = kernel.hub
        self._watches = kernel.predicates.watches
        self._stride = 1
        self._strode = 1  # what `left` began with
        self._until_look = TURNS_MAX  # resumptions until timers and engine must be looked at
        self._looked = kernel.now()  # when they were looked at
        self._began = self._looked  # when the clock was last read
        self.left = 1  # resumptions until somebody must call `end`

    def pass_on(self) -> None:
        """Let somebody else run: the whole act of giving way. Returns when the caller is run again."""
        self.left -= 1
        if self.left > 0 and self.ready:
            self._switch_to_next()
        else:
            self.end()

    def end(self) -> None:
        """The count is at zero, or nobody is ready: count anew and pass on, or have the hub look around."""
        ready = self.ready
        self._until_look -= self._strode
        if ready and not self._watches and self._until_look > 0:
            now = self._now()
            if now - self._looked < LOOK_S:
                self._stride_on(now)
                self._switch_to_next()
                return
        self._hub.switch()

    def _switch_to_next(self) -> None:
        runner = self.ready.popleft()
        try:
            runner.switch()
        except RecursionError:
            self.ready.appendleft(runner)
            raise

    def begin(self) -> None:
        """By the hub, which goes on to run somebody."""
        self.left = min(len(self.ready), TURN_MAX) if self._watches else min(self._stride, self._until_look)
        self.left = self._strode = max(1, self.left)

    def _stride_on(self, now: float) -> None:
        """The next stride: one resumption if this one took long, else twice as many."""
        if now - self._began > LOOK_S / 2:
            self._stride = 1
        elif self._stride < STRIDE:
            self._stride *= 2
        self._began = now
        self.left = self._strode = min(self._stride, self._until_look)

    def watch(self) -> None:
        """The first predicate has come: this turn ends with the fibers that are ready now."""
        turn = min(len(self.ready) + 1, TURN_MAX)
        self._strode += turn - self.left
        self.left = turn

    def look_due(self) -> bool:
        """True if timers and engine must be looked at although fibers are ready."""
        return self._until_look <= 0 or self._now() - self._looked >= LOOK_S

    def has_looked(self) -> None:
        """They have been."""
        now = self._now()
        if now - self._looked > LOOK_S * 2:
            self._stride = max(1, self._stride // 2)
        self._looked = self._began = now
        self._until_look = TURNS_MAX * max(1, min(len(self.ready), TURN_MAX))
