"""Flows: threads' own flows of control, and the kernels that serve them.

A thread that uses a word has a kernel from then on. Its own flow is the main
fiber, around everything lies an implicit scope, and the kernel runs while the
flow waits. `run` lays a scope of its own inside that.

Rules:
  1. One kernel a thread. `run` makes it, unless there is one, and closes what
     it made.
  2. In the implicit scope an unclaimed error is logged: nobody leaves that
     scope, so nobody can be raised at.
  3. A thread that ends cancels its fibers and waits until they have cleaned
     up. The main thread, at interpreter exit, waits for them as a scope does,
     unless an uncaught error is what ends the program.
  4. After a fork the child has a new kernel; the forking fiber is its main
     fiber; all others are dropped as they stand, and nothing of theirs runs.

Not here: scheduling (kernel.py), signals of the system (interrupts.py).
"""

import atexit
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from computicle.engine.choose import choose_engine
from computicle.engine.op import Engine
from computicle.engine.threads import in_helper_thread
from computicle.scheduler.carrier import Carrier, here, is_own_flow
from computicle.scheduler.fiber import Fiber, new_fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.park import Runner
from computicle.scheduler.region import Region
from computicle.scheduler.scope import FreeScope, Scope

__all__ = ["adopt", "close_flow", "run_apart", "run_main", "running", "stop_run"]

_log = logging.getLogger("computicle")


class BaseScope(FreeScope):
    """The implicit scope of a thread, which is left when the thread ends."""

    __slots__ = ()

    def failed(self, fiber: Fiber, error: BaseException) -> None:
        _log.error("fiber %r failed, and nobody waits for it", fiber.name, exc_info=error)


class RunScope(Scope):
    """The scope of one `run`."""

    __slots__ = ()


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
    flow.fiber = kernel.main = make_main(kernel, flow, None)
    kernel.interrupts.install()
    _threads.keeper = _Keeper(kernel)
    return kernel.main


def make_main(kernel: Kernel, flow: Carrier, fn: Callable[..., Any] | None) -> Fiber:
    """A fiber for what runs on `flow` already."""
    main = new_fiber(kernel, kernel.base, fn if fn is not None else _own_flow, (), None, None if fn else "main", None)
    main.outer = None
    main.runner = flow
    return main


def close_flow() -> None:
    """End this thread's kernel. Its fibers have ended."""
    flow = here()
    kernel = flow.fiber.kernel
    kernel.interrupts.remove()
    del flow.fiber
    _threads.keeper.kernel = None
    kernel.close()


def run_main(main: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`run`, once its arguments are known to be good."""
    flow = here()
    fresh = not hasattr(flow, "fiber")
    outside = running()
    kernel = outside.kernel
    if kernel.run_scope is not None:
        raise RuntimeError("run is running already in this thread: use spawn, or scope, inside it")
    if outside is not kernel.main:
        raise RuntimeError("run cannot be called inside a fiber: use spawn, or scope")
    me = make_main(kernel, flow, main)
    value = None
    flow.fiber = kernel.main = me
    scope = kernel.run_scope = RunScope()
    try:
        with scope:
            if main is not None:
                value = main(*args, **kwargs)
            else:
                wait_for_base(me)
    finally:
        me.done = True
        kernel = me.kernel  # another one if the program has forked meanwhile
        kernel.run_scope = None
        flow.fiber = kernel.main = outside
        if fresh:
            close_flow()
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
    outside: Fiber | None = getattr(flow, "fiber", None)
    if outside is not None:
        if outside.kernel.run_scope is not None or outside is not outside.kernel.main:
            raise RuntimeError("a simulation cannot be run inside run, nor in a fiber")
        del flow.fiber
        keeper = _threads.keeper
    try:
        adopt(engine, ready)
        try:
            return run_main(main, args, kwargs)
        finally:
            close_flow()
    finally:
        if outside is not None:
            flow.fiber = outside
            _threads.keeper = keeper


def wait_for_base(me: Fiber) -> None:
    """`run()` without a main: run what was spawned before."""
    while fiber := next(iter(me.kernel.base.fibers), None):
        try:
            fiber.join()
        except Exception:
            _log.error("fiber %r failed", fiber.name, exc_info=True)


def stop_run() -> None:
    """`stop`: cancel every fiber of the run."""
    kernel = running().kernel
    if kernel.run_scope is None:
        raise RuntimeError("there is no run to stop: stop is for programs started with run")
    kernel.run_scope.cancel()


def _own_flow() -> None:
    """The name of a flow that is not a call."""


# The ends of threads and of the interpreter.


class _Keeper:
    """Dies with its thread, and ends the thread's fibers then."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel: Kernel | None = kernel

    def __del__(self) -> None:
        kernel = self.kernel
        if kernel is not None and threading.current_thread() is not threading.main_thread():
            _leave(kernel, cancel=True)


_threads = threading.local()


def _leave(kernel: Kernel, *, cancel: bool) -> None:
    me = kernel.main
    if here() is not me.runner:
        return  # not this thread's: it was closed from elsewhere, with no way back in
    try:
        if cancel:
            kernel.base.cancel()
        kernel.base.drain(me)
    except BaseException:
        _log.error("the fibers left at the end of the thread did not end well", exc_info=True)
    finally:
        close_flow()


@atexit.register
def _leave_at_exit() -> None:
    fiber: Fiber | None = getattr(here(), "fiber", None)
    if fiber is not None and is_own_flow(here()) and fiber is fiber.kernel.main:
        failed = getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")
        _leave(fiber.kernel, cancel=failed)


# Forks.

_dropped: list[Any] = []  # in a forked child: what must not be finalised, since that would run finally blocks


def _after_fork_in_child() -> None:
    fiber: Fiber | None = getattr(here(), "fiber", None)
    if fiber is None:
        return
    old = fiber.kernel
    _dropped.extend([old, *old.alive(), *old.ready])
    old.ready.clear()
    old.ready.append(_EndOfChild())  # what follows once a fiber other than main has returned in the child
    old.interrupts.remove()
    old.engine.close()
    kernel = Kernel(choose_engine())
    kernel.base = BaseScope(kernel)
    kernel.main = fiber
    region: Region = fiber.region
    while region is not fiber:
        if isinstance(region, Scope):
            region.fibers = {}
            region.kernel = kernel
            if isinstance(region, RunScope):
                kernel.run_scope = region
        assert region.outer is not None
        region = region.outer
    if fiber.outer is not None:
        fiber.outer = kernel.base
        kernel.base.fibers[fiber] = None
    fiber.kernel = kernel
    fiber.ready = kernel.ready
    kernel.interrupts.install()
    _threads.keeper = _Keeper(kernel)


class _EndOfChild:
    """An entry of the dropped ready queue: the forking fiber has returned, and there is nothing to return to."""

    def switch(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


os.register_at_fork(after_in_child=_after_fork_in_child)
