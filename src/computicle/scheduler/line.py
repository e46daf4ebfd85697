"""Line: fibers that wait for one thing, the longest waiting first.

Rules:
  1. A fiber stands in a line only while it is parked for it (`why` is the
     line, or a choice that includes the line).
  2. First come, first served; leaving from the middle is cheap.
  3. A line belongs to the kernel of those who stand in it.

Not here: what there is to hand out (channel.py, locks.py, fiber.py); signals
have lines of their own (signals.py).
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.park import park, wake
from computicle.scheduler.timeouts import Expiry, park_until

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = ["Choice", "Line", "Taken"]


class Taken(NamedTuple):
    """Something that was taken at once, without standing in line."""

    value: Any


class Line:
    """A first-in, first-out line of parked fibers, each with something it brought."""

    __slots__ = ("fibers", "label")

    def __init__(self, label: str) -> None:
        self.label = label
        self.fibers: dict[Fiber, Any] = OrderedDict()  # a plain dict is slow to pop from the front

    def wait(self, me: "Fiber", timeout: float | None = None, brought: Any = None) -> Any:
        """Stand in line; the value handed over. Raises TimeoutError."""
        expiry = None if timeout is None else Expiry(me, self, timeout)
        me.why = self
        self.fibers[me] = brought
        return park(me) if expiry is None else park_until(me, expiry)

    def pop(self) -> "tuple[Fiber, Any]":
        """Take the longest waiter out, to wake it; it and what it brought."""
        fiber = next(iter(self.fibers))
        me = fiber_here()
        if me is None or me.ready is not fiber.ready:
            raise RuntimeError(
                f"a fiber of another thread waits for {self.label}: it can only be woken there "
                "(use one thread, or bring results over with offload)"
            )
        brought = self.fibers[fiber]
        if fiber.why is not self:
            self.take_from_choice(fiber)
        else:
            del self.fibers[fiber]
        return fiber, brought

    def take_from_choice(self, fiber: "Fiber") -> None:
        """It stood in other lines as well: it has been chosen here."""
        assert isinstance(fiber.why, Choice)
        fiber.why.chosen(self, fiber)

    def wake_first(self, value: Any = None) -> bool:
        """Wake the longest waiter. False: nobody waits."""
        if not self.fibers:
            return False
        wake(self.pop()[0], value)
        return True

    def raise_all(self, error: Callable[[], BaseException]) -> None:
        """Wake everybody with an error each."""
        while self.fibers:
            fiber, _brought = self.pop()
            fiber.error = error()
            wake(fiber)

    def call_off(self, fiber: "Fiber") -> None:
        del self.fibers[fiber]

    def __str__(self) -> str:
        return self.label


class Choice:
    """One fiber standing in several lines: the first to wake it takes it out of the others."""

    __slots__ = ("lines", "winner")

    def __init__(self, lines: list[Line]) -> None:
        self.lines = lines
        self.winner: Line | None = None

    def wait(self, me: "Fiber", timeout: float | None) -> Any:
        """Stand in all of them; the value handed over by `winner`. Raises TimeoutError."""
        expiry = None if timeout is None else Expiry(me, self, timeout)
        me.why = self
        for line in self.lines:
            line.fibers[me] = None
        return park(me) if expiry is None else park_until(me, expiry)

    def chosen(self, winner: Line, fiber: "Fiber") -> None:
        self.winner = winner
        self.call_off(fiber)

    def call_off(self, fiber: "Fiber") -> None:
        for line in self.lines:
            line.fibers.pop(fiber, None)

    def __str__(self) -> str:
        return " or ".join(map(str, self.lines))
