"""Region: a stretch of a fiber's life that can be cancelled as one.

Regions form a tree. A fiber is one; the scopes, deadlines and shields it has
entered lie within it, each pointing outwards; and a scope holds the fibers
spawned in it, which point at the scope. To be cancelled is a matter of
looking outwards: some region is cancelled and no shield lies before it.

Rules:
  1. Cancelling is level-triggered: a cancelled region stays so, and each wait
     inside it raises, until the region has been left.
  2. `limit` is 0 exactly for fibers that must look around before they wait
     (cancelled, interrupted, or asked their predicate).
  3. A fiber whose operation is being attempted (a handler of the program's own
     strikes then) is struck later: whether the attempt has changed anything is
     not known yet. Withdrawn now, bytes that were read would be lost, and
     bytes sent be sent again.
  4. Cancelled is absorbed where the outermost cancelled region is left.

Not here: what a scope does with fibers and errors (scope.py).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, cast

from computicle.engine.op import Op
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.park import check_room, interrupt
from computicle.scheduler.single import Single

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = ["Region", "is_doomed", "strike"]


def is_doomed(region: "Region | None") -> bool:
    """True if waiting in `region` must raise Cancelled."""
    while region is not None:
        if region.cancelled:
            return True
        if region.shielding:
            return False
        region = region.outer
    return False


class Region(Single):
    """The common part of fibers, scopes, deadlines and shields."""

    __slots__ = ("cancelled", "outer", "shielding")

    outer: "Region | None"
    cancelled: bool
    shielding: bool

    def members(self) -> "Iterator[Fiber]":
        """The fibers that live directly in it (a scope's), without its host."""
        return iter(())

    def host_fiber(self) -> "Fiber | None":
        """The fiber whose stack this region lies on."""
        raise NotImplementedError

    def cancel(self) -> None:
        """End everything in it: Cancelled at the current or next wait of each fiber. Never waits."""
        if self.cancelled:
            return
        check_room()
        self.cancelled = True
        for fiber in self.reach():
            strike(fiber)

    def reach(self) -> "list[Fiber]":
        """Every fiber that has this region around it: hosts before their members, those in order of spawning."""
        host = self.host_fiber()
        found = list(self.members()) if host is None else [host, *_members_within(host, self)]
        for fiber in found:  # which grows while we go through it
            if fiber is not host:
                found.extend(_members_within(fiber, fiber))
        return found


def _members_within(host: "Fiber", outermost: Region) -> "list[Fiber]":
    """The fibers of the scopes on `host`'s stack, up to and with `outermost`."""
    members: list[Fiber] = []
    region: Region = host.region
    while True:
        members.extend(region.members())
        if region is outermost:
            return members
        region = cast("Region", region.outer)


def strike(fiber: "Fiber") -> None:
    """A region around it was cancelled: interrupt it, or have it look around at its next wait."""
    if not is_doomed(fiber.region):
        return  # a shield lies between
    fiber.hold()
    why: object = fiber.why
    if why is None or why is fiber.region:  # leaving a scope is not interrupted
        return
    if getattr(fiber, "asking", False):
        return  # it is not parked
    if isinstance(why, Op) and fiber.kernel.polling:
        fiber.kernel.late.append(fiber)
    else:
        interrupt(fiber, Cancelled())
