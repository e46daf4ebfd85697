"""Forks: what the child of an os.fork has, and what it has not.

Rules:
  1. The forking fiber goes on in the child, as the main fiber of a new kernel.
  2. All others are dropped as they stand: nothing of theirs ever runs there,
     finally blocks included, not even when the child ends.
  3. The child closes its copies of our descriptors, of those of all threads,
     whichever has forked; and says nothing to anybody else who holds them:
     the parent is not disturbed.
  4. A SIGTERM that comes before the child has what any program does about it waits until then. Our handler would
     only note it, for a kernel that is not there any more.
  5. Where the forking fiber has nothing to return to (its main fiber was
     dropped), the child ends with it, like a program whose main has returned;
     but without exit hooks, which are the parent's.

Not here: the parent's side: it notices nothing.
"""

import contextlib
import os
import signal
import sys
import threading
from typing import Any

from computicle.engine.choose import abandon_all, choose_engine
from computicle.engine.threads import leave_helpers
from computicle.scheduler.carrier import fiber_here, here
from computicle.scheduler.deadlines import Deadline
from computicle.scheduler.ends import exit_status, leave
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import BaseScope, RunScope, make_main, serve_flow
from computicle.scheduler.interrupts import Interrupts
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.region import Region
from computicle.scheduler.scope import Scope, rehome

__all__: list[str] = []

_dropped: list[Any] = []  # what must not be finalised, since that would run finally blocks
_masks: dict[int, set[Any]] = {}  # of threads that are about to fork: what signals they had blocked before


def _before_fork() -> None:
    if Interrupts.serving is not None:
        _masks[threading.get_ident()] = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})


def _after_fork() -> None:
    mask = _masks.pop(threading.get_ident(), None)
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _after_fork_in_child() -> None:
    leave_helpers()
    while Interrupts.serving is not None:
        Interrupts.serving.remove()
    _after_fork()
    _masks.clear()
    abandon_all()
    fiber = fiber_here()
    if fiber is None:
        return
    old = fiber.kernel
    _dropped.extend([old, *old.alive(), *old.ready])
    if old.hooks is not None:
        old.hooks.attached = ()
    old.ready.clear()
    old.ready.append(_EndOfChild(fiber))
    old.turn.left = sys.maxsize  # its hub is not to be entered any more
    if fiber.runner is not here():
        return  # a predicate has forked: the child ends after it
    kernel = Kernel(choose_engine())
    kernel.base = BaseScope(kernel)
    _move(fiber, kernel)
    # What forks, like multiprocessing, ends its children by SIGTERM, wherever they block.
    serve_flow(kernel, fiber, sigterm=False)
    old.main = fiber  # so that nothing the child does reaches the one that was dropped


def _move(fiber: Fiber, kernel: Kernel) -> None:
    """Give a fiber that goes on another kernel."""
    old = fiber.kernel
    home = old.base if fiber.outer is None else fiber.outer
    assert isinstance(home, Scope)
    region: Region = fiber.region
    while region is not fiber:
        if isinstance(region, Scope):
            region.fibers = {}
            region.attendants = None
            region.kernel = kernel
        if isinstance(region, RunScope):
            kernel.run_scope = region
            _move(region.outside, kernel)
        if isinstance(region, Deadline):
            region.move(kernel)
        assert region.outer is not None
        region = region.outer
    rehome(fiber, home, kernel.base)
    fiber.joiners = None  # they have been dropped
    if fiber in old.locals:
        kernel.locals[fiber] = old.locals.pop(fiber)
    fiber.kernel = kernel
    fiber.ready = kernel.ready


class _EndOfChild:
    """An entry of the dropped ready queue: the forking fiber has ended, and nothing else is left."""

    def __init__(self, fiber: Fiber) -> None:
        self._fiber = fiber

    def switch(self) -> None:
        status = 1
        try:
            status = exit_status(self._fiber.error)
            flow = here()
            kernel = self._fiber.kernel
            flow.fiber = kernel.main = make_main(kernel, flow, None)
            status = exit_status(leave(kernel, cancel=status != 0)) or status
        finally:
            for file in (sys.stdout, sys.stderr):
                with contextlib.suppress(Exception):
                    file.flush()
            os._exit(status)


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
