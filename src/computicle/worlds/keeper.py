"""Keeper: the fiber that waits for a computicle's end, on behalf of a scope or a thread.

Rules:
  1. In the scope the computicle was made in, it is what the computicle is to
     that scope: left, it waits for it, or dismisses it; cancelled, it has
     it quit; its unclaimed error is the scope's.
  2. Elsewhere it only watches.
  3. Whoever waits for something from the computicle is told by it: those of its
     own thread.

Not here: how it is known that one has ended (obituary.py).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakSet

from computicle.engine.packets import PEEK
from computicle.scheduler.attendants import Attendant, attend, attendants_of, await_op
from computicle.scheduler.deadlines import Shield
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.line import Line
from computicle.scheduler.log import log_error
from computicle.scheduler.scope import Scope
from computicle.worlds.errors import ComputicleDied
from computicle.worlds.launcher import launcher
from computicle.worlds.obituary import End, read_end

if TYPE_CHECKING:
    from computicle.worlds.contact import Contact
    from computicle.worlds.home import Home

__all__ = ["Keeper", "keep", "keep_watch"]


class Keeper(Attendant):
    """The one in the scope that a computicle belongs to, or one that only watches."""

    __slots__ = ("_handle", "_owning", "homes", "linked", "monitors", "news", "told")

    def __init__(self, scope: Scope, handle: "Contact", *, owning: bool, lasting: bool) -> None:
        super().__init__(attendants_of(scope), self._work, lasting=lasting, sheltered=not owning)
        self._handle = handle
        self._owning = owning
        # Weak: homes come and go with runs, and this may outlive many.
        self.homes: WeakSet[Home] = WeakSet()  # where answers from it are waited for
        self.monitors: WeakKeyDictionary[Home, Callable[[End], Any]] = WeakKeyDictionary()  # who is told, with what
        self.linked: WeakSet[Home] = WeakSet()  # whose lives are tied to its life
        self.news = Line(f"the end of computicle {handle.name!r}")  # for those who only want to know how it ended
        self.told: Callable[[End], None] | None = None  # who takes it upon them what it comes to, in place of the scope

    def dismiss(self) -> None:
        if self._owning:
            self._handle.quit()
        else:
            super().dismiss()

    def stay(self) -> None:
        """It has done what it began with, and stays: it is to be dismissed."""
        self.lasting = True
        self.have_them_look()

    def end(self) -> None:
        """It ends. If it never began, and owns the computicle, that goes, too."""
        if self._owning and self._handle.end is None:
            self._handle.kill()
        if self._handle.keepers.get(self.fiber.kernel) is self:
            del self._handle.keepers[self.fiber.kernel]
        if self._handle.end is not None and not self._handle.keepers:
            self._handle.detach()
        super().end()

    def _work(self) -> None:
        me, handle = self.fiber, self._handle
        if handle.end is not None:  # another thread's keeper was quicker
            self._tell(handle.end)
            return
        wire = me.kernel.engine.packets(handle.obituary, f"the end of computicle {handle.name!r}")
        try:
            try:
                packet = wire.receive(PEEK) or await_op(me, wire.reading, wire.receive, PEEK)
            except Cancelled:
                if not self._owning:
                    raise
                with Shield():
                    handle.quit(drain=False)
                    packet = wire.receive(PEEK) or me.kernel.finish_op(me, wire.reading, wire.receive, PEEK)
        finally:
            wire.close()
        if not packet.data and handle.grace_s is not None:
            launcher.recover(handle.zygote)
        self._tell(read_end(packet, handle.name, main=handle.grace_s is None))

    def _tell(self, end: End) -> None:
        handle = self._handle
        handle.ended(end)
        self.news.wake_all()
        for home in [*self.homes]:
            home.staying.pop(handle.uid, None)
            home.give_up(handle.uid, handle.gone)
        for home, message in [*self.monitors.items()]:
            if home.mailbox is not None:
                home.mailbox.put([message(end)])
        if end.error is not None:
            for home in [*self.linked]:
                if not home.closed:
                    home.scope.failed(self.fiber, handle.gone())
        if self.told is not None:
            self.told(end)
        elif self._owning and end.error is not None and not self.fiber.is_awaited():
            if not handle.asked_to_end:
                raise end.error
            if not isinstance(end.error, ComputicleDied):
                log_error(end.error, "computicle %r was asked to end, and failed", handle.name)


def keep(handle: "Contact", scope: Scope, *, lasting: bool) -> Keeper:
    """Have `handle`'s computicle belong to `scope`."""
    return _begin(handle, scope, owning=True, lasting=lasting)


def keep_watch(handle: "Contact", scope: Scope) -> Keeper:
    """Only watch it, for what lives in `scope`."""
    return _begin(handle, scope, owning=False, lasting=True)


def _begin(handle: "Contact", scope: Scope, *, owning: bool, lasting: bool) -> Keeper:
    keeper = Keeper(scope, handle, owning=owning, lasting=lasting)
    kernel: Kernel = scope.kernel
    handle.keepers[kernel] = keeper
    name = f"computicle {handle.name!r}" if owning else f"watcher of {handle.name!r}"
    attend(scope, keeper, name)
    return keeper
