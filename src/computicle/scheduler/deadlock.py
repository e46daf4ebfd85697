"""Deadlock: what is done when nothing is ready and nothing will come.

Rules:
  1. Waiters for signals and predicates in a scope that is being left wait for
     nothing any more, and are called off quietly: inner scopes first, one at
     a time, for what that sets off may help the others.
  2. Fibers that hold up the leaving of a scope although it is cancelled, for
     they are shielded, are interrupted all the same.
  3. Else Deadlock is raised in the main fiber, and lists everybody.

Not here: how the kernel knows (kernel.py), how fibers are listed (report.py).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from computicle.scheduler.errors import Cancelled, Deadlock
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.park import count_cancelled, interrupt
from computicle.scheduler.predicates import Watch
from computicle.scheduler.region import is_doomed
from computicle.scheduler.report import describe
from computicle.scheduler.scope import Scope
from computicle.scheduler.signals import Subscription, Waiters

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel

__all__ = ["call_off_quietly", "tell_deadlock"]


def call_off_quietly(kernel: "Kernel") -> bool:
    """End some wait that would last for ever, by rules 1 and 2. False: there is none.

    First the engine is asked once more: what fibers of this kernel put into a pipe for each other, it tells only then.
    """
    kernel.polling = True
    kernel.give_out(kernel.engine.poll(0.0))
    if kernel.ready:
        return True
    for scope in _leaving(list(kernel.alive())):
        if all(isinstance(fiber.why, (Waiters, Subscription, Watch)) for fiber in scope.fibers):
            for fiber in [*scope.fibers]:
                fiber.cancel()
            if kernel.ready:  # else shields hold them back
                return True
    leaving = kernel.main.why
    if isinstance(leaving, Scope) and is_doomed(leaving):
        for fiber in leaving.reach():
            if fiber is not kernel.main and fiber.why is not None and not isinstance(fiber.why, Scope):
                interrupt(fiber, Cancelled())
                count_cancelled(fiber)
    return bool(kernel.ready)


def tell_deadlock(kernel: "Kernel") -> None:
    """Raise Deadlock in the main fiber."""
    alive = list(kernel.alive())
    count = f"{len(alive)} fibers wait" if len(alive) > 1 else "1 fiber waits"
    deadlock = Deadlock(f"nothing can happen any more, and {count}:\n{describe(alive)}")
    if not kernel.ready:  # else a handler of the program's own has just given a signal
        kernel.interrupt_main(deadlock)


def _leaving(fibers: list[Fiber]) -> Iterator[Scope]:
    """The scopes being left, inner ones before those around them."""
    for fiber in reversed(fibers):
        if isinstance(fiber.why, Scope) and fiber.why.quiet:
            yield fiber.why
