"""Turn: the kernel's own entry of the ready queue, which comes by once a turn.

A turn is the fibers that were ready when it began, at most TURN_MAX of them.
Mostly the tick finds that it is not yet time to look outside, and passes on,
still on the stack of the fiber that gave way; only else it enters the hub.

Rules:
  1. The tick is in the ready queue whenever the hub is not running; so the
     queue is never empty for who gives way.
  2. The hub is entered when nothing is ready, when predicates are to be asked
     (each turn), after TURNS_MAX turns, and after LOOK_S seconds as far as the
     fibers give way. Turns that take too long are made shorter.

Not here: what the hub does (kernel.py).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel

__all__ = ["Tick"]

TURN_MAX = 64  # fibers in a turn
TURNS_MAX = 16  # turns between two looks at timers and engine
LOOK_S = 0.001  # and this much time at most, as far as the fibers give way


class Tick:
    """The kernel's own entry of the ready queue: pass on, or let the hub look around.

    It comes by every turn, so what it looks at lies in its own slots.
    """

    __slots__ = ("hub", "looked", "now", "ready", "turn_max", "turns_left", "watches")

    def __init__(self, kernel: "Kernel") -> None:
        self.ready = kernel.ready
        self.now = kernel.now
        self.watches = kernel.predicates.watches
        self.hub = kernel.hub
        self.turns_left = TURNS_MAX  # until the next look
        self.turn_max = TURN_MAX
        self.looked = kernel.now()  # when timers and engine were last looked at

    def switch(self) -> None:
        """End one turn and begin the next."""
        ready = self.ready
        self.turns_left -= 1
        if ready and self.turns_left > 0 and not self.watches and self.now() - self.looked < LOOK_S:
            if len(ready) > self.turn_max:
                ready.insert(self.turn_max, self)
            else:
                ready.append(self)
            ready.popleft().switch()
        else:
            self.hub.switch()

    def begin_turn(self) -> None:
        """Come back after at most `turn_max` fibers."""
        if len(self.ready) > self.turn_max:
            self.ready.insert(self.turn_max, self)
        else:
            self.ready.append(self)

    def look_due(self, now: float) -> bool:
        """True if timers and engine must be looked at although fibers are ready."""
        return self.turns_left <= 0 or now - self.looked >= LOOK_S

    def has_looked(self, now: float) -> None:
        """They have been. If this was later than promised, turns are made shorter."""
        if now - self.looked > LOOK_S * 2 and self.turns_left == TURNS_MAX - 1:
            self.turn_max = max(1, self.turn_max // 2)
        else:
            self.turn_max = min(TURN_MAX, self.turn_max * 2)
        self.turns_left = TURNS_MAX
        self.looked = now
