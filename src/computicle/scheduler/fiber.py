"""Fiber: one conversation: a function running on its own stack.

This is the record. The stack itself belongs to a carrier, which the fiber
has from its first step to its end; so a hundred thousand fibers that wait for
their first signal are only records.

Rules:
  1. Its error goes to those who wait for it at that moment; else to its
     scope; never nowhere.
  2. `runner` runs it: itself from the start, its carrier from where it stands.
     It is in the ready queue at most once.
  3. A finished fiber keeps its outcome, and lets go of its stack, arguments
     and context.

Not here: running and finishing it (kernel.py), how it waits (park.py), what
there is to wait for (line.py, timers.py, ...).
"""

from collections import deque
from collections.abc import Callable
from contextvars import Context
from types import CodeType, TracebackType
from typing import TYPE_CHECKING, Any, Generic

from computicle.scheduler.arguments import checked_timeout, name_of
from computicle.scheduler.carrier import Carrier, frame_of, here
from computicle.scheduler.errors import Cancelled, FiberCancelled
from computicle.scheduler.line import Line, Taken
from computicle.scheduler.park import CREDIT, Runner, Why, look_around, park, wake
from computicle.scheduler.region import Region, is_doomed
from computicle.scheduler.traces import with_trace

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # type checkers know it, whether it is installed or not

    from computicle.scheduler.kernel import Kernel
    from computicle.scheduler.scope import Scope

    T_co = TypeVar("T_co", covariant=True, default=Any)  # so that `Fiber` alone is that of anything
else:
    from typing import TypeVar

    T_co = TypeVar("T_co", covariant=True)

__all__ = ["Fiber", "new_fiber"]


class Fiber(Region, Generic[T_co]):
    """A running function: what `spawn` and the words like it return. Fiber[int] is one whose value is an int.

    Attributes:
        done: True once it has returned, failed or been cancelled.
    """

    __slots__ = (
        "__weakref__",
        "_name",
        "args",
        "asking",
        "context",
        "credit",
        "done",
        "error",
        "fn",
        "joiners",
        "kernel",
        "kwargs",
        "limit",
        "ready",
        "region",
        "runner",
        "scope",
        "swallowed",
        "trace",
        "value",
        "why",
    )

    # Its turn to run.
    kernel: "Kernel"
    ready: deque[Runner]
    runner: Runner  # itself until its first step, then its carrier
    limit: int
    credit: int
    # Its wait, and what ended it. When done: its outcome.
    why: Why | None
    value: Any
    asking: bool  # it asks its predicate itself, so it runs although it has a `why`; set by the first time
    error: BaseException | None
    trace: TracebackType | None  # the error's, as the fiber ended; set by failing
    # What it runs, and in what surroundings.
    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any] | None
    _name: str | None
    context: Context | None  # None: an empty one
    scope: "Scope"  # the nearest enclosing one, where spawn puts new fibers
    region: Region  # the innermost one
    swallowed: int  # how often Cancelled has been raised in it; set by the first time
    done: bool
    joiners: "Fiber | End | None"  # who waits for its end: mostly one, for whom a line would cost as much as the wait

    @property
    def name(self) -> str:
        """The name it was given, or the function's."""
        return self._name if self._name is not None else name_of(self.fn)

    @property
    def waits_for(self) -> str | None:
        """What it waits for, in words; None if it is ready, running or done."""
        why: object = self.why
        if isinstance(why, Fiber):
            return _end_of(why)  # whose only joiner this is
        return None if why is None else str(why)

    @property
    def where(self) -> str:
        """The file and line where it stands, innermost outside this library.

        Of one that has not begun, or has ended: where its function begins.
        """
        innermost = frame = None if self.done else frame_of(self.runner)
        while frame is not None:
            if not frame.f_globals.get("__name__", "").startswith("computicle."):
                return f"{frame.f_code.co_filename}:{frame.f_lineno}"
            frame = frame.f_back
        for fn in (self.fn, *self.args):  # a word's own function is given the program's
            code: CodeType | None = getattr(fn, "__code__", None)
            if code is not None and not (fn.__module__ or "").startswith("computicle."):
                return f"{code.co_filename}:{code.co_firstlineno}"
        if innermost is not None:  # a word that was spawned itself
            return f"{innermost.f_code.co_filename}:{innermost.f_lineno}"
        return "(not started)"

    def join(self, timeout: float | None = None) -> T_co:
        """Wait until it has ended; its value, or its error raised here.

        Args:
            timeout: seconds to wait at most; None for as long as it takes.

        Raises:
            Exception: its own error.
            FiberCancelled: it was cancelled.
            TimeoutError: it goes on after `timeout` seconds.
            RuntimeError: called by the fiber itself, or in another thread.
        """
        try:
            me = here().fiber
        except AttributeError:  # a flow without a kernel: after run, or in another thread
            if self.done:
                return self.result()  # type: ignore[no-any-return]
            raise self._not_to_be_joined(None) from None
        if timeout is not None:
            timeout = checked_timeout("join", timeout)
        # Nobody gives way here before it stands where it is told: an error that comes meanwhile would be unclaimed.
        if me.credit <= 0 and (self.done or not me.limit):
            look_around(me)
        if not self.done:
            if self is me or self.kernel is not me.kernel:
                if me.credit <= 0:
                    look_around(me)
                me.credit -= 1
                raise self._not_to_be_joined(me)
            if self.joiners is None and timeout is None:
                me.why = self
                self.joiners = me
                try:
                    park(me)
                except RecursionError:
                    if me.why is self:  # in the very call
                        self.joiners = me.why = None
                    raise
            else:
                me.credit -= 1
                self.taking_line().wait(me, timeout)
        else:
            me.credit -= 1
        if self.error is None:
            return self.value  # type: ignore[no-any-return]
        try:
            return self.result()  # type: ignore[no-any-return]
        finally:
            del self, me  # the traceback holds this frame, and the fiber the error: a circle

    def _not_to_be_joined(self, me: "Fiber | None") -> RuntimeError:
        if self is me:
            return RuntimeError(f"fiber {self.name!r} cannot join itself: it would wait forever")
        where = (
            "was left behind by a fork" if self.kernel.is_left_behind() else "lives in another thread: join it there"
        )
        return RuntimeError(f"fiber {self.name!r} {where}")

    def result(self) -> Any:
        """Its value or its error, once it is done."""
        if self.error is None:
            return self.value
        if isinstance(self.error, Cancelled):
            raise FiberCancelled(f"fiber {self.name!r} was cancelled")
        try:
            raise with_trace(self.error, self.trace)  # without the lines of those who were told before
        finally:
            del self  # as in join

    def take(self) -> Taken | None:
        """For select: its value, if it is done. Raises its error."""
        return Taken(self.result()) if self.done else None

    def taking_line(self) -> "End":
        """Where to stand until it is done."""
        me = here().fiber
        if self is me or self.kernel is not me.kernel:
            raise self._not_to_be_joined(me)
        if isinstance(self.joiners, End):
            return self.joiners
        line = End(self)
        # From here on without a call, where a handler may strike that cancels the first.
        first = self.joiners
        self.joiners = line
        if first is not None:
            line.fibers[first] = None
            first.why = line
        return line

    def call_off(self, _fiber: "Fiber") -> None:
        """The one who waits for its end waits no more."""
        self.joiners = None

    def is_awaited(self) -> bool:
        """True if somebody waits for its end."""
        return bool(self.joiners.fibers) if isinstance(self.joiners, End) else self.joiners is not None

    def tell(self) -> None:
        """It has ended: wake those who wait for it."""
        joiners, self.joiners = self.joiners, None
        if isinstance(joiners, End):
            joiners.tell()
        elif joiners is not None:
            wake(joiners)

    def cancel(self) -> None:
        """Raise Cancelled at its current or next wait, and at each later one. Never waits.

        One that has not begun never begins. Does nothing if it has ended.

        Raises:
            RuntimeError: called in another thread.
        """
        if not self.done:
            self.kernel.check_thread(f"fiber {self.name!r} lives in another thread: cancel it there")
            if self is self.kernel.nobody:
                raise RuntimeError("there is no fiber to cancel here, where the kernel runs (a finaliser or a hook)")
            super().cancel()

    def switch(self) -> None:
        """As an entry of the ready queue: run it from its first step."""
        region: Region | None = self
        while region is not None:
            # is_doomed(), and then board(), written out: this is a part of every spawn (bench/spawning.py).
            if region.cancelled:
                self.kernel.bear(self)
                return
            if region.shielding:
                break
            region = region.outer
        idle = self.kernel.crew.idle
        if idle:
            carrier = idle.pop()
            carrier.fiber = self
            self.runner = carrier
            if self.context is not None:
                carrier.gr_context = self.context
            carrier.switch()
        else:
            self.kernel.bear(self)

    def board(self, carrier: Carrier) -> None:
        """Be what `carrier` runs next."""
        carrier.fiber = self
        self.runner = carrier
        if self.context is not None:
            carrier.gr_context = self.context

    def host_fiber(self) -> "Fiber":
        return self

    def doomed(self) -> bool:
        """True if its next wait must raise Cancelled."""
        return is_doomed(self.region)

    def hold(self) -> None:
        """Have it look around at its next wait. What it has left of its credit comes back as it settles."""
        self.credit -= self.limit
        self.limit = 0

    def settle(self) -> None:
        """After leaving a region or a wait: work out anew whether it must look around."""
        limit = 0 if self.why is not None or self.kernel.has_pending(self) or is_doomed(self.region) else CREDIT
        self.credit += limit - self.limit
        self.limit = limit

    def __repr__(self) -> str:
        if self.done:
            if self.error is None:
                state = "done"
            else:
                state = "cancelled" if isinstance(self.error, Cancelled) else f"failed: {self.error!r}"
        elif self.why is not None:
            state = f"at {self.where} waiting for {self.waits_for}"
        elif self.runner is here():
            state = "running"
        else:
            state = f"at {self.where}, ready"
        return f"<Fiber {self.name!r} {state}>"


def new_fiber(
    kernel: "Kernel",
    scope: "Scope",
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any] | None,
    name: str | None,
    context: Context | None,
) -> Fiber:
    """A fiber that has not begun, in no queue and not yet in `scope`.

    Not an __init__: up to CPython 3.12, calling a class that has one costs
    twice what this does, 0.2 us of the 2.5 that spawn and join take together
    (bench/spawning.py).
    """
    fiber = Fiber()
    fiber.outer = scope
    fiber.cancelled = False
    fiber.shielding = False
    fiber.kernel = kernel
    fiber.ready = kernel.ready
    fiber.runner = fiber
    fiber.limit = CREDIT
    fiber.credit = CREDIT
    fiber.why = None
    fiber.value = None
    fiber.error = None
    fiber.fn = fn
    fiber.args = args
    fiber.kwargs = kwargs
    fiber._name = name
    fiber.context = context
    fiber.scope = scope
    fiber.region = fiber
    fiber.done = False
    fiber.joiners = None
    return fiber


class End(Line):
    """Those who wait for a fiber's end."""

    __slots__ = ("fiber",)

    def __init__(self, fiber: Fiber) -> None:
        self.label = ""  # made when it is asked for: __str__
        self.fibers = {}  # nobody leaves from the front: all leave at once
        self.fiber = fiber

    def tell(self) -> None:
        """The fiber has ended: wake them all."""
        fibers, self.fibers = self.fibers, {}
        for fiber in fibers:
            if fiber.why is self or self.take_from_choice(fiber):
                wake(fiber)

    def __str__(self) -> str:
        return _end_of(self.fiber)


def _end_of(fiber: Fiber) -> str:
    return f"the end of fiber {fiber.name!r}"
