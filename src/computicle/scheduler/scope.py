"""Scope: what fibers belong to.

Rules:
  1. A scope is left when all its fibers have ended, not before; unless nothing
     can happen any more even after they were cancelled. Then they are left to
     the thread, and Deadlock is raised.
  2. A fiber's unclaimed error cancels the rest of its scope. Leaving then
     raises an ExceptionGroup: the body's own error, if any, and the fibers'.
     The body's own error alone passes as it is. So does a wish to end the
     program, SystemExit or KeyboardInterrupt; the fibers' errors are logged.
  3. Leaving is not interrupted by cancellation from outside: that has reached
     the fibers by itself, and they are waited for. Then Cancelled is raised.
  4. Attendants (attendants.py) are seen to once the fibers have ended.
  5. Whoever ends inside a scope that it has not left gives its fibers to the
     scope around: cancelled, and waited for there.

Not here: how cancelling spreads (region.py), regions without fibers
(deadlines.py), what a fiber's end means to those who join it (fiber.py).
"""

from collections.abc import Callable, Iterator
from contextvars import copy_context
from itertools import chain
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from computicle.scheduler.arguments import checked_callable
from computicle.scheduler.deadlines import Due
from computicle.scheduler.errors import Cancelled, Deadlock
from computicle.scheduler.fiber import Fiber, new_fiber
from computicle.scheduler.hosted import Hosted, host_here
from computicle.scheduler.log import log_error
from computicle.scheduler.outside import FromOutside
from computicle.scheduler.park import being_asked, look_around, park
from computicle.scheduler.region import Region, is_doomed
from computicle.scheduler.traces import set_cause

if TYPE_CHECKING:
    from computicle.scheduler.attendants import Attendants
    from computicle.scheduler.kernel import Kernel

__all__ = ["FreeScope", "Scope", "rehome"]

T = TypeVar("T")


class Scope(Hosted):
    """What fibers belong to. A context manager that is left when they have ended."""

    word = "scope"
    quiet = True  # whether waiters for signals and predicates that can never come are called off as it is left

    __slots__ = ("attendants", "errors", "fibers", "kernel", "leaving", "scope_outside")

    def __init__(self) -> None:
        super().__init__()
        self.fibers: dict[Fiber, None] = {}  # alive, in order of spawning
        self.errors: list[BaseException] = []  # unclaimed, in order of failing
        self.leaving = False  # its host waits, or has waited, for the fibers
        self.attendants: Attendants | None = None  # who serve it until they have ended

    def __enter__(self) -> Self:
        me = host_here()
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
        if not self.open:
            return None  # its fiber has ended inside it, and was told (drop_open)
        me = self.host
        waits = self._has_anybody()
        absorbed = self.close(error)
        answer = self.settle_errors(None if absorbed else error, absorbed=absorbed)
        if error is None:
            if waits:
                self.pass_on_cancellation(me)
            else:
                count_leaving(me)
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
        while self._has_anybody() or me.kernel.has_pending(me):
            try:
                if me.kernel.has_pending(me):
                    raise me.kernel.take_pending()
                me.why = self
                if self.fibers:
                    park(me)
                else:
                    self._wait_for_attendants(me)
            except BaseException as reason:
                # Ctrl-C or Deadlock, never Cancelled: it becomes the body's own error.
                if isinstance(reason, Deadlock) and isinstance(interruption, Deadlock):
                    self.give_up()  # cancelled, and stuck all the same: to wait on would be for ever, and unseen
                interruption = reason
                self.cancel()
        absorbed = self.leave(error) and was_cancelled  # a Cancelled that somebody raises by hand is an error
        me.scope = self.scope_outside
        if interruption is not None:
            set_cause(interruption, None if absorbed else error)
            self.settle_errors(interruption, absorbed=False)
            raise interruption
        return absorbed

    def _has_anybody(self) -> bool:
        return bool(self.fibers) or (self.attendants is not None and bool(self.attendants.fibers))

    def _wait_for_attendants(self, me: Fiber) -> None:
        assert self.attendants is not None
        self.attendants.dismiss()
        with FromOutside(me):
            park(me)

    def pass_on_cancellation(self, me: Fiber) -> None:
        """Left after waiting: what was cancelled from outside meanwhile has been cut short, and so is its host."""
        if me.doomed():
            raise Cancelled

    def drop(self, home: "Scope") -> None:
        fiber = self.host
        fiber.scope = self.scope_outside
        super().drop(home)
        for member in [*self.fibers]:
            rehome(member, self, home)
            member.cancel()
        if self.attendants is not None:
            self.attendants.move(home)
        for error in self.errors:
            home.failed(fiber, error)

    def give_up(self) -> None:
        """Its fibers will never end: leave them to the thread."""
        for fiber in [*self.fibers]:
            rehome(fiber, self, self.kernel.base)

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

    def spawn(self, fn: Callable[..., T], /, *args: Any, name: str | None = None, **kwargs: Any) -> Fiber[T]:
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
        return iter(self.fibers) if self.attendants is None else chain(self.fibers, self.attendants.fibers)

    def call_off(self, _fiber: Fiber) -> None:
        """Its host is interrupted while leaving: nothing to strike off."""

    def __str__(self) -> str:
        names = [repr(fiber.name) for fiber in self.members()]
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

    def give_up(self) -> None:
        self.fibers.clear()

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


def count_leaving(me: Fiber) -> None:
    """A scope was left without having waited: a loop around that must give way at times, like any other."""
    if me.credit <= 0:
        look_around(me)
    me.credit -= 1


def rehome(fiber: Fiber, old: Scope, new: Scope) -> None:
    """Make a fiber of `old` one of `new`."""
    if old.fibers.pop(fiber, fiber) is None:
        new.fibers[fiber] = None
    if fiber.outer is old:
        fiber.outer = new
    if fiber.scope is old:
        fiber.scope = new
    region: Region | None = fiber.region
    while region is not None and region is not fiber:
        if isinstance(region, Scope) and region.scope_outside is old:
            region.scope_outside = new
        region = region.outer
