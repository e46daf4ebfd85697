"""Hosted: regions on a fiber's stack, entered and left by that fiber.

Rules:
  1. They are left in the reverse order of entering, by the fiber that entered
     them, and each is entered once.
  2. One that has been entered can be left: there is room for it, whatever
     happens inside.
  3. A fiber that ends inside one, for a generator of it is kept elsewhere, is
     told, and drops it. Leaving it later does nothing.

Not here: what each is for (scope.py, deadlines.py).
"""

from typing import TYPE_CHECKING, ClassVar

from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.park import ROOM_TO_LEAVE, check_room
from computicle.scheduler.region import Region, is_doomed

if TYPE_CHECKING:
    from computicle.scheduler.scope import Scope

__all__ = ["Hosted", "drop_open", "host_here"]


def host_here() -> Fiber:
    """The running fiber, about to enter one."""
    me = fiber_here()
    if me is None:
        raise RuntimeError("this belongs to another thread: make it in the thread that enters it")
    return me


class Hosted(Region):
    """A region on one fiber's stack, entered and left by that fiber."""

    word: ClassVar[str]  # what it is called in messages

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
        check_room(ROOM_TO_LEAVE)
        if hasattr(self, "host"):
            raise RuntimeError(f"this {self.word} has been entered already: make a new one")
        self.host = me
        self.outer = me.region
        me.region = self
        self.open = True

    def cancel(self) -> None:
        """End what goes on inside it. Never waits. Does nothing once it has been left."""
        if self.open:
            super().cancel()
        elif not hasattr(self, "host"):
            raise RuntimeError(f"this {self.word} has not been entered: use it in a with-statement")

    def check_leaving(self) -> None:
        """Raise RuntimeError unless the fiber that entered it is about to leave it, and nothing within it is open."""
        me = self.host
        if fiber_here() is not me or me.region is not self:
            raise RuntimeError("regions must be left in the reverse order of entering, by the fiber that entered them")

    def leave(self, error: BaseException | None) -> bool:
        """Step out. True: `error` is this region's own cancellation, which ends here."""
        self.check_leaving()
        me = self.host
        self._step_out()
        me.settle()
        absorbed = isinstance(error, Cancelled) and self.cancelled and not is_doomed(self.outer)
        if absorbed:
            me.swallowed = 0  # it has let them all pass
        return absorbed

    def drop(self, _home: "Scope") -> None:
        """Its fiber ends inside it: it is left in no order. What belongs to it is for the scope around from now on."""
        self._step_out()

    def _step_out(self) -> None:
        assert self.outer is not None
        self.open = False
        self.host.region = self.outer
        self.host = self.host.kernel.nobody  # a kept error may hold this, and would hold the fiber: a circle


def drop_open(fiber: Fiber, outermost: Region, home: "Scope") -> str:
    """`fiber` ends inside regions that it has not left: drop them, up to `outermost`. What to say of it."""
    words: list[str] = []
    while (region := fiber.region) is not outermost:
        assert isinstance(region, Hosted)
        words.append(region.word)
        region.drop(home)
    return (
        f"fiber {fiber.name!r} ended inside a {' in a '.join(words)} that it had entered and not left: "
        "use with, in a function that returns (a generator that is not resumed leaves nothing)"
    )
