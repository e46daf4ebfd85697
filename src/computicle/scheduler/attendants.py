"""Attendants: fibers that serve a scope while its own fibers go on.

They wait for what comes from outside: messages, the end of another process.

Rules:
  1. They do not hold up the end of a scope's own fibers, nor are they in the
     way of quiet waiters: what they wait for is not taken for something to come.
  2. A scope that is left waits for its own fibers, then for the attendants
     that end by themselves. Then it dismisses the others, the latest first, and
     each once the one before has ended.
  3. Cancelling the scope cancels them, and their unclaimed errors are its own.
     Those that are sheltered go on until they are dismissed: fibers that clean up,
     shielded, may need them.
  4. As long as one lives, its kernel takes it that something may still come;
     unless it is known that nothing will through that one.

Not here: what they do (worlds/).
"""

from collections.abc import Callable
from typing import Any

from computicle.engine.op import Op
from computicle.scheduler.fiber import Fiber, new_fiber
from computicle.scheduler.park import Opening, park, wake
from computicle.scheduler.region import Region
from computicle.scheduler.scope import Scope, rehome
from computicle.scheduler.spots import calls_out

__all__ = ["Attendant", "Attendants", "attend", "attendants_of", "await_op"]


class Attendant(Opening):
    """One of them: what it runs, and how it is told that it is not needed any more."""

    aside = False  # it ends by itself, but maybe only once others have: these need not wait for that

    __slots__ = ("attendants", "dismissed", "fiber", "fn", "lasting", "reachable", "sheltered")

    fiber: Fiber

    def __init__(
        self,
        attendants: "Attendants",
        fn: Callable[[], Any],
        *,
        lasting: bool,
        reachable: bool = True,
        sheltered: bool = False,
    ) -> None:
        self.attendants = attendants
        self.fn = fn
        self.lasting = lasting  # it goes on until it is dismissed
        self.dismissed = False
        self.reachable = reachable  # through it something may still come (rule 4)
        self.sheltered = sheltered  # by rule 3

    def reach(self) -> None:
        """From now on, something may come through it."""
        if not self.reachable:
            self.reachable = True
            self.fiber.kernel.attended += 1

    @calls_out
    def run(self) -> Any:
        """What its fiber runs."""
        self.fiber.shielding = self.sheltered
        self.fiber.settle()
        try:
            return self.fn()
        finally:
            self.end()

    def dismiss(self) -> None:
        """It is not needed any more: have it end soon. Never waits."""
        self.fiber.cancel()

    def end(self) -> None:
        """It ends: whoever leaves the scope looks who is left."""
        kernel = self.fiber.kernel
        kernel.attended -= self.reachable
        self.attendants.by_age.pop(self, None)
        del self.fn  # mostly a method of its own: a circle
        self.have_them_look()

    def have_them_look(self) -> None:
        """Have whoever waits for the attendants, leaving the scope, look who is left, and who is to be dismissed."""
        served = self.attendants.served
        if served.leaving and not served.fibers and served.host.why is served:
            wake(served.host)


class Attendants(Scope):
    """The attendants of one scope. Nobody leaves it: the scope they serve sees to them."""

    __slots__ = ("by_age", "served")

    def __init__(self, served: Scope) -> None:
        super().__init__()
        self.served = served
        self.kernel = served.kernel
        self.outer: Region | None = served
        self.open = True
        self.by_age: dict[Attendant, None] = {}  # the oldest first

    def host_fiber(self) -> Fiber | None:
        return self.served.host_fiber()

    def failed(self, fiber: Fiber, error: BaseException) -> None:
        self.served.failed(fiber, error)

    def dismiss(self) -> None:
        """Nobody but these is left: dismiss who is to go next, if somebody is."""
        concerned = [attendant for attendant in self.by_age if not attendant.aside]
        if concerned and all(attendant.lasting for attendant in concerned) and not concerned[-1].dismissed:
            concerned[-1].dismissed = True
            concerned[-1].dismiss()

    def move(self, home: Scope) -> None:
        """The scope has ended without having been left: they are cancelled, and for another one to wait for."""
        others = attendants_of(home)
        for attendant in [*self.by_age]:
            attendant.attendants = others
            others.by_age[attendant] = None
            rehome(attendant.fiber, self, others)
            attendant.fiber.cancel()
        self.by_age.clear()


def attendants_of(served: Scope) -> Attendants:
    """The attendants of a scope, which may be none yet."""
    if served.attendants is None:
        served.attendants = Attendants(served)
    return served.attendants


def attend(served: Scope, attendant: Attendant, name: str) -> Fiber:
    """Have it begin. What it spawns belongs to the scope it serves."""
    attendants = attendants_of(served)
    fiber = new_fiber(served.kernel, attendants, Attendant.run, (attendant,), None, name, None)
    fiber.scope = served
    attendants.fibers[fiber] = None
    attendants.by_age[attendant] = None
    attendant.attendants = attendants
    attendant.fiber = fiber
    fiber.shielding = True  # until its first step: it begins in any case, for it has something to end
    served.kernel.attended += attendant.reachable
    if served.kernel.hooks is not None:
        served.kernel.hooks.born(fiber)
    fiber.ready.append(fiber)
    return fiber


def await_op(me: Fiber, op: Op, attempt: Callable[[Any], Any], argument: Any = None) -> Any:
    """As an attendant: wait for an operation, without being taken for somebody whom it will wake (rule 1)."""
    op.attempt = attempt
    op.argument = argument
    op.waiter = me
    me.why = op
    return park(me)
