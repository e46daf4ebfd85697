"""Hooks: what becomes of fibers, told to tools as it happens.

Nothing in the kernel asks whether somebody looks on. Every wake puts a fiber
into the ready queue, and every switch takes one out; so looking on means to
put a queue in its place that tells. With no hooks attached there is none, and
nothing is slower than it would be without this file, but `Scope.make` by one
comparison.

Rules:
  1. Of each fiber: `created` once, then in turns `ready`, `running` and
     `parked`, and `ended` once. Of one that never begins, no `running`. After
     `running` comes `ready` for one that gives way to the others. Of main
     fibers, which nobody makes, only the turns.
  2. Told in the order in which it happens; but a fiber's end is told after
     the wakes it has caused.
  3. The kernel runs the hooks: they may look at anything, and change nothing.
     They may not wait. One that raises is logged, and taken off.
  4. Hooks belong to one kernel, and are gone in a forked child.

Not here: what tools make of it.
"""

from collections import deque
from typing import Any

from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import running
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.log import log_error
from computicle.scheduler.park import Runner
from computicle.scheduler.region import is_doomed

__all__ = ["Hooks", "Observing", "attach", "detach"]


class Hooks:
    """Derive from this, and override what you want to be told."""

    def created(self, fiber: Fiber) -> None:
        """It has been made, by whoever is running."""

    def ready(self, fiber: Fiber) -> None:
        """It can go on, and waits for its turn."""

    def running(self, fiber: Fiber) -> None:
        """It goes on now."""

    def parked(self, fiber: Fiber) -> None:
        """It waits: for `fiber.waits_for`."""

    def ended(self, fiber: Fiber) -> None:
        """It has returned, failed or been cancelled."""


def attach(hooks: Hooks) -> None:
    """Tell `hooks` from now on what becomes of the fibers of this thread.

    Those that are alive already are found with `fibers()`.
    """
    kernel = running().kernel
    observing = _observe(kernel) if kernel.hooks is None else kernel.hooks
    observing.attached = (*observing.attached, hooks)


def detach(hooks: Hooks) -> None:
    """Tell `hooks` no more. Does nothing if they are not attached to this thread's kernel."""
    _take_off(running().kernel, hooks)


def _take_off(kernel: Kernel, hooks: Hooks) -> None:
    observing = kernel.hooks
    if observing is None:
        return
    observing.attached = tuple(other for other in observing.attached if other is not hooks)
    if not observing.attached:
        observing.plain.extend(observing)
        observing.clear()
        kernel.use_ready(observing.plain, None)


class Observing(deque[Runner]):
    """A ready queue that tells. Laid over the class of the one whose place it takes."""

    kernel: Kernel
    plain: deque[Runner]  # whose place it has taken
    attached: tuple[Hooks, ...]
    told: set[Fiber]  # created, and not yet ready
    last: Fiber | None  # who was taken out last, until it is known what has become of it

    def append(self, runner: Runner) -> None:
        if self.kernel.hooks is not self:  # it has been taken off, and somebody has known it from before
            self.kernel.ready.append(runner)
            return
        super().append(runner)
        fiber = _fiber_of(runner)
        if fiber is None:
            return
        if runner is fiber:
            self.born(fiber)
            self.told.discard(fiber)
        self.tell("ready", fiber)

    def popleft(self) -> Runner:
        self.settle()
        if self.kernel.hooks is not self:
            return self.kernel.ready.popleft()
        runner = super().popleft()
        fiber = self.last = _fiber_of(runner)
        if fiber is not None and not (runner is fiber and is_doomed(fiber)):
            self.tell("running", fiber)
        return runner

    def __bool__(self) -> bool:
        # Who gives way asks first whether somebody is ready: this is the moment, the kernel may sleep afterwards.
        self.settle()
        return len(self if self.kernel.hooks is self else self.kernel.ready) > 0

    def settle(self) -> None:
        """Tell what has become of the one who ran."""
        fiber = self.last
        if fiber is None:
            return
        if fiber.done:
            self.last = None
            if fiber.outer is not None:
                self.tell("ended", fiber)
        elif fiber.why is not None:
            self.last = None
            self.tell("parked", fiber)

    def born(self, fiber: Fiber) -> None:
        """It has been made, which may have been told already."""
        if fiber not in self.told:
            self.told.add(fiber)
            self.tell("created", fiber)

    def tell(self, event: str, fiber: Fiber) -> None:
        flow = here()
        me = flow.fiber
        flow.fiber = self.kernel.nobody
        try:
            for hooks in self.attached:
                try:
                    getattr(hooks, event)(fiber)
                except Exception as error:
                    log_error(error, "hooks %r have failed, and are taken off", hooks)
                    _take_off(self.kernel, hooks)
        finally:
            flow.fiber = me


def _fiber_of(runner: Runner) -> Fiber | None:
    """Whom it runs; None for an entry of the kernel's own."""
    return runner if isinstance(runner, Fiber) else getattr(runner, "fiber", None)


def _observe(kernel: Kernel) -> Observing:
    """Put a queue in place that tells."""
    plain: Any = kernel.ready
    kind: Any = type("Observing", (Observing, type(plain)), {})
    observing: Observing = kind.__new__(kind)  # without __init__: whatever that does has been done
    vars(observing).update(getattr(plain, "__dict__", {}))
    observing.kernel = kernel
    observing.plain = plain
    observing.attached = ()
    queued = set(plain)
    observing.told = {fiber for fiber in kernel.alive() if fiber.runner is fiber and fiber not in queued}
    observing.last = here().fiber
    observing.extend(plain)
    plain.clear()
    kernel.use_ready(observing, observing)
    return observing
