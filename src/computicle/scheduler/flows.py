"""Flows: threads' own flows of control, and the kernels that serve them.

A thread that uses a word has a kernel from then on. Its own flow is the main
fiber, around everything lies an implicit scope, and the kernel runs while the
flow waits. `run` lays a scope of its own inside that.

Rules:
  1. One kernel serves a thread at a time. `run` makes it, unless there is one,
     and closes what it made. A simulation sets it aside for one of its own.
  2. In the implicit scope an unclaimed error is logged: nobody leaves that
     scope, so nobody can be raised at. `run` without a main takes its fibers
     over into the scope of the run, and there errors are raised.

Not here: scheduling (kernel.py), the ends of threads (ends.py), signals of
the system (interrupts.py), the child's side of a fork (forks.py).
"""

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any

from computicle.engine.choose import choose_engine
from computicle.engine.op import Engine
from computicle.engine.threads import in_helper_thread
from computicle.scheduler.carrier import Carrier, fiber_here, here, is_own_flow
from computicle.scheduler.ends import close_flow, watch_thread
from computicle.scheduler.errors import Cancelled, FiberCancelled
from computicle.scheduler.fiber import Fiber, new_fiber
from computicle.scheduler.hosted import drop_open
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.log import log_error
from computicle.scheduler.park import Runner, being_asked, look_around
from computicle.scheduler.scope import FreeScope, Scope, rehome
from computicle.scheduler.spots import calls_out
from computicle.scheduler.traces import add_note

__all__ = [
    "BaseScope",
    "RunScope",
    "adopt",
    "make_main",
    "outermost",
    "run_apart",
    "run_main",
    "running",
    "serve_flow",
    "stop_run",
]


class BaseScope(FreeScope):
    """The implicit scope of a thread, which is left when the thread ends."""

    __slots__ = ("home",)

    def __init__(self, kernel: Kernel) -> None:
        super().__init__(kernel)
        self.home: Any = None  # where messages for what lives in it arrive (worlds/)

    def failed(self, fiber: Fiber, error: BaseException) -> None:
        log_error(error, "fiber %r failed, and nobody waits for it", fiber.name)


class RunScope(Scope):
    """The scope of one `run`."""

    __slots__ = ("home", "outside")

    def __init__(self, outside: Fiber) -> None:
        super().__init__()
        self.home: Any = None  # where messages for this run arrive (worlds/)
        self.outside = outside  # the flow's main fiber before the run, and after it

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        """As any scope; and if main has ended inside regions of its own, it is told. A wish to end comes first."""
        try:
            absorbed = self._leave(kind, error, traceback)
        except BaseException as problem:
            self._raise_wish(problem)
            raise
        self._raise_wish(None if absorbed else error)
        return absorbed

    def _leave(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        if self.host.region is self:
            return super().__exit__(kind, error, traceback)
        text = drop_open(self.host, self, self)
        if error is not None:
            add_note(error, text)
            return super().__exit__(kind, error, traceback)
        problem = RuntimeError(text)
        super().__exit__(RuntimeError, problem, None)
        raise problem

    def _raise_wish(self, outcome: BaseException | None) -> None:
        """Raise what a fiber, or the system, wanted to end the run with, unless main does."""
        wish = self.kernel.wish
        if wish is None or isinstance(outcome, (SystemExit, KeyboardInterrupt)):
            return
        if outcome is not None and not isinstance(outcome, Cancelled):
            log_error(outcome, "the run failed, and the program was told to end")
        raise wish


def outermost(me: Fiber) -> "RunScope | BaseScope":
    """What lasts longest of all that `me` belongs to: the run that is on, or else its thread."""
    return me.kernel.run_scope or me.kernel.base  # type: ignore[return-value]


def running() -> Fiber:
    """The running fiber; in a thread's own flow, its main fiber, made if need be."""
    try:
        return here().fiber
    except AttributeError:
        return adopt()


def adopt(engine: Engine | None = None, ready: deque[Runner] | None = None) -> Fiber:
    """Give this thread a kernel, and its own flow a main fiber.

    Raises:
        RuntimeError: in a helper thread, or in a greenlet of somebody else's.
    """
    flow = here()
    if in_helper_thread():
        raise RuntimeError(
            "words cannot be used in a helper thread (inside offload): return a value, and use it in the fiber"
        )
    if not is_own_flow(flow):
        raise RuntimeError("words cannot be used in a greenlet that computicle has not made: use spawn")
    kernel = Kernel(choose_engine() if engine is None else engine, ready)
    kernel.base = BaseScope(kernel)
    main = make_main(kernel, flow, None)
    serve_flow(kernel, main)
    flow.fiber = main  # only now: interrupted before, nothing has happened
    return main


def serve_flow(kernel: Kernel, main: Fiber, *, sigterm: bool = True) -> None:
    """Let a new kernel serve this thread from now on."""
    kernel.main = main
    # The hub begins now, where the stack is still low, for all carriers are made on top of it. And it begins here, not
    # in a constructor, which lies deeper in C: a daemon thread that the exit cuts off there (up to CPython 3.13 its
    # stack is unwound) would find that others have written over what lies below.
    kernel.hub.switch()
    kernel.interrupts.install(sigterm=sigterm)
    watch_thread(kernel)


def make_main(kernel: Kernel, flow: Carrier, fn: Callable[..., Any] | None) -> Fiber:
    """A fiber for what runs on `flow` already."""
    main = new_fiber(kernel, kernel.base, fn if fn is not None else _own_flow, (), None, None if fn else "main", None)
    main.outer = None
    main.runner = flow
    return main


def run_main(main: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`run`, once its arguments are known to be good."""
    flow = here()
    fresh = not hasattr(flow, "fiber")
    outside = running()
    kernel = outside.kernel
    if being_asked(outside):
        look_around(outside)  # raises: run waits
    if kernel.run_scope is not None:
        raise RuntimeError(
            "run is running already in this thread: use spawn, or scope, inside it "
            "(a script under `computicle run` is inside one: start it with python, or do without its own run)"
        )
    if outside is not kernel.main:
        raise RuntimeError("run cannot be called inside a fiber: use spawn, or scope")
    me = make_main(kernel, flow, main)
    flow.fiber = kernel.main = me
    scope = kernel.run_scope = RunScope(outside)
    try:
        return _run_in(scope, me, main, args, kwargs)
    except Cancelled:  # as joining it would
        raise FiberCancelled(f"fiber {me.name!r} was cancelled") from None
    finally:
        me.done = True
        kernel = me.kernel  # another one if the program has forked meanwhile
        kernel.run_scope = kernel.wish = None
        kernel.locals.pop(me, None)
        flow.fiber = kernel.main = outside
        outside.kernel, outside.ready = kernel, kernel.ready
        if fresh:
            close_flow()
        kernel.interrupts.raise_noted()


@calls_out
def _run_in(
    scope: RunScope, me: Fiber, main: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    value = None
    with scope:
        if main is not None:
            value = main(*args, **kwargs)
        else:
            base = me.kernel.base
            for fiber in [*base.fibers]:
                rehome(fiber, base, scope)
    return value


def run_apart(
    engine: Engine,
    ready: deque[Runner] | None,
    main: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """`run` on an engine of its own, beside whatever kernel this thread has."""
    flow = here()
    outside = fiber_here()
    if outside is not None:
        if outside.kernel.run_scope is not None or outside is not outside.kernel.main:
            raise RuntimeError("a simulation cannot be run inside run, nor in a fiber")
        del flow.fiber
    try:
        adopt(engine, ready)
        try:
            return run_main(main, args, kwargs)
        finally:
            close_flow()
    finally:
        if outside is not None:
            flow.fiber = outside


def stop_run() -> None:
    """`stop`: cancel every fiber of the run."""
    kernel = running().kernel
    if kernel.run_scope is None:
        raise RuntimeError("there is no run to stop: stop is for programs started with run")
    kernel.run_scope.cancel()


def _own_flow() -> None:
    """What a flow that is not a call is said to run. Never called."""
