"""Scope: what fibers belong to; and deadlines and shields, which own none.

Rules:
  1. A scope is left when all its fibers have ended, not before.
  2. A fiber's unclaimed error cancels the rest of its scope. Leaving then
     raises an ExceptionGroup: the body's own error, if any, and the fibers'.
     The body's own error alone passes as it is. So does a wish to end the
     program, SystemExit or KeyboardInterrupt; the fibers' errors are logged.
  3. Leaving is not interrupted by cancellation from outside: that has reached
     the fibers by itself, and they are waited for. Then Cancelled is raised.
  4. A deadline reaches what its own fiber does inside it, not the fibers
     spawned there: those belong to the scope around it.

Not here: how cancelling spreads (region.py), what a fiber's end means to
those who join it (fiber.py).
"""

import math
from collections.abc import Callable, Iterator
from contextvars import copy_context
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from computicle.scheduler.arguments import checked_callable
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.fiber import Fiber, new_fiber
from computicle.scheduler.log import log_error
from computicle.scheduler.park import being_asked, check_room, look_around, park
from computicle.scheduler.region import Region, is_doomed
from computicle.scheduler.timers import Timer

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel

__all__ = ["Deadline", "FailAfter", "FreeScope", "Scope", "Shield"]


class Due(Timer):
    """The moment from which a region is cancelled."""

    __slots__ = ("_region",)

    def __init__(self, region: Region) -> None:
        self._region = region
        self.timers = None

    def fire(self) -> None:
        self._region.cancel()


def _host() -> Fiber:
    me = fiber_here()
    if me is None:
        raise RuntimeError("this belongs to another thread: make it in the thread that enters it")
    return me


class Hosted(Region):
    """A region on one fiber's stack, entered and left by that fiber."""

    __slots__ = ("host", "open")

    host: Fiber

    def __init__(self) -> None:
        self.cancelled = False
        self.shielding = False
        self.outer = None  # until it is entered
        self.open = False  # entered, and not yet left

    def host_fiber(self) -> Fiber | None:
        return self.host

    def enter(self, me: Fiber) -> None:
        check_room()  # whatever happens inside, leaving must work
        if hasattr(self, "host"):
            raise RuntimeError(f"this {type(self).__name__.lower()} has been entered already: make a new one")
        self.host = me
        self.outer = me.region
        me.region = self
        self.open = True

    def cancel(self) -> None:
        """End what goes on inside it. Never waits. Does nothing once it has been left."""
        if self.open:
            super().cancel()
        elif not hasattr(self, "host"):
            raise RuntimeError(f"this {type(self).__name__.lower()} has not been entered: use it in a with-statement")

    def check_leaving(self) -> None:
        """Raise RuntimeError unless the fiber that entered it is about to leave it, and nothing within it is open."""
        me = self.host
        if fiber_here() is not me or me.region is not self:
            raise RuntimeError("regions must be left in the reverse order of entering, by the fiber that entered them")

    def leave(self, error: BaseException | None) -> bool:
        """Step out. True: `error` is this region's own cancellation, which ends here."""
        self.check_leaving()
        me = self.host
        assert self.outer is not None
        self.open = False
        me.region = self.outer
        me.settle()
        return isinstance(error, Cancelled) and self.cancelled and not is_doomed(self.outer)


class Scope(Hosted):
    """What fibers belong to. A context manager that is left when they have ended."""

    quiet = True  # whether waiters for signals and predicates that can never come are called off as it is left

    __slots__ = ("errors", "fibers", "kernel", "leaving", "scope_outside")

    def __init__(self) -> None:
        super().__init__()
        self.fibers: dict[Fiber, None] = {}  # alive, in order of spawning
        self.errors: list[BaseException] = []  # unclaimed, in order of failing
        self.leaving = False  # its host waits, or has waited, for the fibers

    def __enter__(self) -> Self:
        me = _host()
        if being_asked(me):
            look_around(me)  # raises: leaving a scope waits
        self.enter(me)
        self.kernel: Kernel = me.kernel
        self.scope_outside = me.scope
        me.scope = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool | None:  # not bool: it swallows only what its own cancel() has raised
        waits = bool(self.fibers)
        absorbed = self.close(error)
        answer = self.settle_errors(None if absorbed else error, absorbed=absorbed)
        if error is None:
            if waits:
                self.pass_on_cancellation()
            else:
                self.count_leaving()
        return answer

    def close(self, error: BaseException | None) -> bool:
        """Wait for the fibers and step out. True: `error` ends here."""
        self.check_leaving()
        was_cancelled = self.cancelled
        if error is not None and not is_doomed(self):  # else its fibers have been told
            self.cancel()
        me = self.host
        self.leaving = True
        interruption: BaseException | None = None
        while self.fibers or me.kernel.has_pending(me):
            try:
                if me.kernel.has_pending(me):
                    raise me.kernel.take_pending()
                me.why = self
                park(me)
            except BaseException as reason:
                # Ctrl-C or Deadlock, never Cancelled: it becomes the body's own error.
                interruption = reason
                self.cancel()
        absorbed = self.leave(error) and was_cancelled  # a Cancelled that somebody raises by hand is an error
        me.scope = self.scope_outside
        if interruption is not None:
            interruption.__cause__ = None if absorbed else error
            self.settle_errors(interruption, absorbed=False)
            raise interruption
        return absorbed

    def pass_on_cancellation(self) -> None:
        """Left after waiting: what was cancelled from outside meanwhile has been cut short, and so is its host."""
        if self.host.doomed():
            raise Cancelled

    def count_leaving(self) -> None:
        """Left without having waited: a loop around that must give way at times, like any other."""
        me = self.host
        if me.credit <= 0:
            look_around(me)
        me.credit -= 1

    def settle_errors(self, error: BaseException | None, *, absorbed: bool) -> bool:
        """Raise what the fibers left behind; what `__exit__` must answer."""
        errors, self.errors = self.errors, []
        if isinstance(error, (SystemExit, KeyboardInterrupt)):
            # In a group the exit status would be lost, and no `except KeyboardInterrupt` would see it.
            for fiber_error in errors:
                log_error(fiber_error, "a fiber failed, and the program was told to end")
            return absorbed
        if not errors:
            return absorbed
        if error is not None and not isinstance(error, Cancelled):
            errors = [error, *errors]
        count = len(errors)
        raise BaseExceptionGroup(f"{count} error{'s' * (count > 1)} in a scope", errors) from None

    def spawn(self, fn: Callable[..., Any], *args: Any, name: str | None = None, **kwargs: Any) -> Fiber:
        """Queue `fn(*args, **kwargs)` as a new fiber of this scope. Never waits.

        Raises:
            RuntimeError: the scope has been left, or belongs to another thread.
        """
        checked_callable("spawn", "fn", fn)
        if not hasattr(self, "kernel"):
            raise RuntimeError("this scope has not been entered: use it in a with-statement")
        self.kernel.check_thread("this scope belongs to another thread: spawn there")
        return self.begin(fn, args, kwargs, name)

    def begin(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str | None) -> Fiber:
        """Make a fiber and queue it."""
        fiber = self.make(fn, args, kwargs, name)
        fiber.ready.append(fiber)
        return fiber

    def make(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], name: str | None) -> Fiber:
        """Make a fiber without queueing it: the caller parks it for its first wait."""
        if not self.open:
            raise RuntimeError("this scope has been left: spawn in one that is open")
        fiber = new_fiber(self.kernel, self, fn, args, kwargs or None, name, copy_context() or None)
        self.fibers[fiber] = None
        if self.kernel.hooks is not None:
            self.kernel.hooks.born(fiber)
        return fiber

    def cancel(self) -> None:
        """Cancel its fibers and its body. Never waits.

        Raises:
            RuntimeError: called in another thread.
        """
        if self.open:
            self.kernel.check_thread("this scope belongs to another thread: cancel it there")
        super().cancel()

    def failed(self, fiber: Fiber, error: BaseException) -> None:
        """A fiber has ended with an error that nobody waited for."""
        self.errors.append(error)
        super().cancel()

    def members(self) -> Iterator[Fiber]:
        return iter(self.fibers)

    def call_off(self, _fiber: Fiber) -> None:
        """Its host is interrupted while leaving: nothing to strike off."""

    def __str__(self) -> str:
        names = [repr(fiber.name) for fiber in self.fibers]
        shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        return f"the fibers of its scope to end: {shown}"


class FreeScope(Scope):
    """A scope on nobody's stack: cancellation from outside does not reach its fibers."""

    __slots__ = ()

    def __init__(self, kernel: "Kernel") -> None:
        super().__init__()
        self.kernel = kernel
        self.outer = None
        self.open = True
        kernel.free_scopes[self] = None

    def host_fiber(self) -> Fiber | None:
        return None

    def drain(self, me: Fiber, *, grace: float | None = None) -> None:
        """Wait until its fibers have ended, and close it. After `grace` seconds they are cancelled.

        An interruption cancels them at once, and is raised in the end.
        """
        due = Due(self)
        if grace is not None:
            me.kernel.timers.add(me.kernel.now() + grace, due)
        self.host = me
        self.outer = me.region
        self.shielding = True
        self.scope_outside = me.scope
        me.region = self
        try:
            self.close(None)
        finally:
            due.cancel()
            del self.kernel.free_scopes[self]
        self.settle_errors(None, absorbed=False)


class Deadline(Hosted):
    """Cancels what its fiber does inside it, once the time has come."""

    __slots__ = ("_timer", "expired", "seconds")

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self._timer: Due | None = None
        self.expired = False  # True once the deadline has cut something short

    def __enter__(self) -> Self:
        me = _host()
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
        self.expired = self.leave(error)
        assert self._timer is not None
        self._timer.cancel()
        self._timer = None  # it holds this, too: a circle, which only the collector would find
        return self.expired


class FailAfter(Deadline):
    """A deadline that fails when it has cut something short."""

    __slots__ = ()

    # None, not bool: type checkers may take it that what follows is reached only if the body was.
    def __exit__(  # type: ignore[override]
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if super().__exit__(kind, error, traceback):
            raise TimeoutError(f"not done within {self.seconds:g} s") from None


class Shield(Hosted):
    """Keeps cancellation from outside away from what its fiber does inside it."""

    __slots__ = ()

    def __enter__(self) -> Self:
        me = _host()
        self.shielding = True
        self.enter(me)
        me.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _traceback: TracebackType | None
    ) -> bool | None:
        return self.leave(error)
