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

    def wake_first(self, value: Any = None) -> "tuple[Fiber, Any] | None":
        """Wake the longest waiter; it and what it brought. None: nobody waits.

        A handler of the program's own may strike anywhere here, and cancel it: then the next one is the longest waiter.
        """
        while self.fibers:
            try:
                fiber, brought = next(iter(self.fibers.items()))
            except (RuntimeError, StopIteration):  # a handler has changed the line between iter and next
                continue
            me = fiber_here()
            if me is None or me.ready is not fiber.ready:
                raise RuntimeError(
                    f"a fiber of another thread waits for {self.label}: it can only be woken there "
                    "(use one thread, or bring results over with offload)"
                )
            self.call_off(fiber)
            if fiber.why is not self and not self.take_from_choice(fiber):
                continue  # it stands here in vain
            if wake(fiber, value):
                return fiber, brought
        return None

    def wake_all(self, value: Any = None) -> None:
        """Wake everybody."""
        while self.wake_first(value) is not None:
            pass

    def take_from_choice(self, fiber: "Fiber") -> bool:
        """It stood in other lines as well: it has been chosen here. False: it waits for something else, or no more."""
        why = fiber.why
        if isinstance(why, Choice) and self in why.lines:
            why.chosen(self, fiber)
            return True
        return False

    def raise_all(self, error: Callable[[], BaseException]) -> None:
        """Wake everybody with an error each."""
        while (woken := self.wake_first()) is not None:
            woken[0].error = error()

    def call_off(self, fiber: "Fiber") -> None:
        self.fibers.pop(fiber, None)

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
        if me.why is not self:  # woken or cancelled by a handler in between: it has joined the rest of them in vain
            self.call_off(me)
        return park(me) if expiry is None else park_until(me, expiry)

    def chosen(self, winner: Line, fiber: "Fiber") -> None:
        self.winner = winner
        self.call_off(fiber)

    def call_off(self, fiber: "Fiber") -> None:
        for line in self.lines:
            line.fibers.pop(fiber, None)

    def __str__(self) -> str:
        return " or ".join(map(str, self.lines))
