"""Deadlines: regions that time cancels; and shields. They own no fibers.

Rules:
  1. A deadline reaches what its own fiber does inside it, not the fibers
     spawned there: those belong to the scope around it.
  2. It has expired if it has cut something short when the time had come, and
     not if it was cancelled by hand.

Not here: waits that time ends (timeouts.py), scopes (scope.py).
"""

import math
from types import TracebackType
from typing import TYPE_CHECKING, Self

from computicle.scheduler.hosted import Hosted, host_here
from computicle.scheduler.region import Region
from computicle.scheduler.timers import Timer

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel
    from computicle.scheduler.scope import Scope

__all__ = ["Deadline", "Due", "FailAfter", "Shield"]


class Due(Timer):
    """The moment from which a region is cancelled."""

    __slots__ = ("_region", "fired")

    def __init__(self, region: Region) -> None:
        self._region = region
        self.timers = None
        self.fired = False  # it was what has cancelled the region

    def fire(self) -> None:
        self.fired = not self._region.cancelled  # else somebody was quicker
        self._region.cancel()


class Deadline(Hosted):
    """Cancels what its fiber does inside it, once the time has come."""

    word = "move_on_after"

    __slots__ = ("_timer", "expired", "seconds")

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._timer: Due | None = None
        self.expired = False  # True once the deadline has cut something short

    def __enter__(self) -> Self:
        me = host_here()
        kernel = me.kernel
        due = kernel.now() + self.seconds
        self.enter(me)
        self._timer = Due(self)
        if due != math.inf:
            kernel.timers.add(due, self._timer)
        return self

    def move(self, kernel: "Kernel") -> None:
        """Its fiber goes on in a forked child, on another kernel: so does its timer."""
        assert self._timer is not None
        if self._timer.timers is not None:
            self._timer.cancel()
            kernel.timers.add(self._timer.deadline, self._timer)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool:
        if not self.open:
            return False  # its fiber has ended inside it, and was told (drop_open)
        absorbed = self.leave(error)
        self.expired = self.stop() and absorbed
        return absorbed

    def drop(self, home: "Scope") -> None:
        super().drop(home)
        self.stop()

    def stop(self) -> bool:
        """Let go of the timer. True: it has cancelled this."""
        due, self._timer = self._timer, None  # it holds this, too: a circle, which only the collector would find
        assert due is not None
        due.cancel()
        return due.fired


class FailAfter(Deadline):
    """A deadline that fails when it has cut something short."""

    word = "fail_after"

    __slots__ = ()

    # None, not bool: type checkers may take it that what follows is reached only if the body was.
    def __exit__(  # type: ignore[override]
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if super().__exit__(kind, error, traceback):
            what = "not done within" if self.expired else "cancelled by hand, within"
            raise TimeoutError(f"{what} {self.seconds:g} s") from None


class Shield(Hosted):
    """Keeps cancellation from outside away from what its fiber does inside it."""

    word = "shield"

    __slots__ = ()

    def __enter__(self) -> Self:
        me = host_here()
        self.shielding = True
        self.enter(me)
        me.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool | None:
        return self.leave(error) if self.open else None
