"""Contact: what connects this process with one computicle: mail, lane and obituary, and what is known of it.

Rules:
  1. In one process there is one for a computicle, however often its handle
     arrives.
  2. Its end is watched for by one fiber of each thread that asks for it: the
     keeper. What is known once is known to all.
  3. Any thread may use it, each with a keeper and a home of its own, which no
     other touches. What they share is only ever set: its end, that it refuses.
  4. Once it has ended, and its last keeper has, too, or when it is dropped, it
     closes this process's ends, and nobody else's.

Not here: what one can do with it (handle.py).
"""

import os
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, ClassVar
from weakref import WeakValueDictionary

from computicle.engine.packets import PacketSocket, packet_pair
from computicle.engine.pipes import PipeEnd
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.errors import FiberCancelled
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import outermost, running
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.outside import FromOutside
from computicle.worlds.codec import ENDS, pack, pack_other, pack_plain, take_descriptors
from computicle.worlds.errors import ComputicleDied, bring_error, carried_error
from computicle.worlds.home import HEAD
from computicle.worlds.keeper import Keeper, keep_watch
from computicle.worlds.lane import Lane
from computicle.worlds.launcher import launcher
from computicle.worlds.mail import MESSAGE, MESSAGES, PLAIN_MAX, Mail, MailEnds, mail_pair
from computicle.worlds.obituary import End
from computicle.worlds.orders import killing, quitting
from computicle.worlds.parcel import carry_descriptors
from computicle.worlds.plain import pickle_plain
from computicle.worlds.requests import QUIT

__all__ = ["Contact"]

NOTICE_S = 0.25  # how long the news of a death may take, once its mailbox is gone

# Of this process, by uid. Written by `_attach`, in any thread, and cleared in a forked child.
_known: "WeakValueDictionary[bytes, Contact]" = WeakValueDictionary()


class Contact:
    """The ends of the ways to a computicle that this process has, and what it knows of it."""

    kind: "ClassVar[type[Contact]]"  # what handles are, whoever has made them (computicle.py)

    name: str
    pid: int

    def _attach(
        self,
        uid: bytes,
        name: str,
        grace_s: float | None,
        mail: MailEnds,
        lane: PacketSocket,
        obituary: PacketSocket,
        pid: int = 0,
    ) -> None:
        self.uid = uid
        self.name = name
        self.pid = pid
        self.grace_s = grace_s  # None: it is the main program, which the zygote has not made and does not kill
        self.obituary = obituary
        self.zygote = launcher.number  # which it is of, as far as this process has started it
        self.end: End | None = None  # once it is known
        self.asked_to_end = False  # by this process: its end is nobody's error
        self._refuses = False  # it takes nothing more
        self.stays = False  # it has done what it began with, and lives on until it is told to quit
        self.keepers: dict[Kernel, Keeper] = {}
        self._mail = Mail(mail, f"the mailbox of {name!r}")
        self._lane = Lane(lane, f"requests to {name!r}")
        self._introduced: set[bytes] = set()  # the homes that it knows the lane of
        self._left_behind = False  # by a fork
        _known[uid] = self

    # Messages.

    def post(self, message: Any) -> None:
        """Put a message into its mailbox. Waits while that is full. Any thread, helper threads too.

        Raises:
            ComputicleDied: it has ended, or is quitting.
            TypeError: some part of the message cannot be carried; which one.
            OSError: it is large, or brings handles, and there are no descriptors or no memory for that.
        """
        if self._refuses:
            self._check_alive()
        try:
            plain = pickle_plain(message)  # with all that follows, half of what it takes otherwise (bench/messages.py)
            if plain is None:
                self._mail.send(MESSAGE, pack_other(message))
            elif len(plain) <= PLAIN_MAX:
                self._mail.send_plain(plain)
            else:
                self._mail.send(MESSAGE, pack_plain(plain))
        except BrokenPipeError:
            self._raise_gone()

    def post_many(self, messages: Iterable[Any]) -> None:
        """Post several at once, in order: they travel together, which is much faster.

        All of them are put into its mailbox, or none. Waits and raises as `post` does, and may be used where that may.
        """
        self._check_alive()
        together = [*messages]
        if together:
            try:
                self._mail.send(MESSAGES, pack(together))
            except BrokenPipeError:
                self._raise_gone()

    # Its end.

    def quit(self, drain: bool = True) -> None:  # part of the contract
        """Ask it to end. Never waits, but in a helper thread, for room in its lane.

        It takes no more messages, handles those it has accepted (unless
        `drain` is false), then cancels its fibers, runs on_exit, and ends. It is
        killed if it does not get on for its `grace`. The main program stops its
        run; in none, it takes no notice.
        """
        if self.end is None:
            self._check_process()
            self.asked_to_end = self._refuses = True
            if self.grace_s is not None:
                launcher.tell(quitting(self.uid, self.grace_s))
            self._lane.push(HEAD.pack(QUIT, 0, b""), pack(drain))

    def kill(self) -> None:
        """End it at once, without asking. Never waits."""
        if self.end is None:
            self._check_process()
            self.asked_to_end = self._refuses = True
            launcher.tell(killing(self.uid, "was killed"))

    def detach(self) -> None:
        """Close this process's ends."""
        self._mail.close()
        self._lane.close()
        self.obituary.close()

    def stay(self) -> None:
        """It is to be dismissed, not waited for: it says so itself, to its maker. In the thread that has made it."""
        self.stays = True
        keeper = self.keepers.get(running().kernel)
        if keeper is not None:
            keeper.stay()

    def ended(self, end: End) -> None:
        """It is known how it has ended."""
        if self.end is None:
            self.end = end
            self._refuses = True
            self._mail.end()
            self._lane.end()
        if not self.keepers:
            self.detach()

    def gone(self) -> ComputicleDied:
        """What callers are told who wait for something else than its end."""
        assert self.end is not None
        error = self.end.error
        if isinstance(error, ComputicleDied) and error.name == self.name:  # else it has failed by another one's death
            return ComputicleDied(self.name, error.how)
        return ComputicleDied(self.name, "has ended" if error is None else f"failed: {error!r}")

    def keeper(self, me: Fiber) -> Keeper:
        """Who watches it for this thread; begun if need be. Never waits. Raises ComputicleDied if it has ended."""
        keeper = self.keepers.get(me.kernel)
        if keeper is None and self.end is not None:
            raise self.gone()
        return keep_watch(self, outermost(me)) if keeper is None else keeper

    def _await_end(self, me: Fiber, timeout: float | None) -> None:
        keeper = self.keeper(me)
        with FromOutside(me), suppress(FiberCancelled):
            keeper.fiber.join(timeout)
        if self.end is None:
            raise ComputicleDied(self.name, "goes on, but the run that watched it here has been stopped")

    def _check_process(self) -> None:
        if self._left_behind:
            raise RuntimeError(
                f"the handle of computicle {self.name!r} was left behind by a fork: it works in the parent"
            )

    def _check_alive(self) -> None:
        if self.end is not None:
            raise self.gone()
        if self._refuses:
            self._check_process()
            raise ComputicleDied(self.name, "was asked to end, or is about to: it takes nothing more")

    def _raise_gone(self) -> None:
        me = fiber_here()
        if me is not None and self.end is None:
            try:
                self.keeper(me).news.wait(me, NOTICE_S)  # not for the keeper itself: its error is not for who posts
            except TimeoutError:
                self._refuses = True  # somebody else has asked it to quit, or it is winding up
        if self.end is not None:
            raise self.gone()
        raise ComputicleDied(self.name, "is quitting, or has just ended: it takes nothing more")

    # Travelling.

    def __reduce__(self) -> Any:
        self._check_process()
        if self.end is not None:
            error = None if self.end.error is None else carried_error(self.end.error, self.name)
            return _arrive_ended, (self.uid, self.name, self.pid, self.end.value, error)
        place = carry_descriptors(self, [*self._mail.ends.numbers(), self._lane.sock.fileno(), self.obituary.fileno()])
        return _arrive, (self.uid, self.name, self.pid, self.grace_s, place)

    def __repr__(self) -> str:
        state = "ended" if self.end is not None else f"pid {self.pid}"
        return f"<Computicle {self.name!r}, {state}>"

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _ending() and hasattr(self, "_left_behind"):
            self.detach()


def _leave_behind() -> None:
    """In a forked child: handles are the parent's. Their ends are closed here."""
    for handle in [*_known.values()]:
        handle._left_behind = handle._refuses = True
        handle._mail.cut()
        handle._lane.cut()
        handle.detach()
    _known.clear()


os.register_at_fork(after_in_child=_leave_behind)


def _arrive(uid: bytes, name: str, pid: int, grace_s: float | None, place: int) -> Contact:
    """As it is unpacked."""
    known = _known.get(uid)
    if known is not None:
        return known
    handle = Contact.kind.__new__(Contact.kind)
    pipe, beside, lane, obituary = take_descriptors(place, ENDS)
    mail = MailEnds(PipeEnd(pipe), PacketSocket(beside))
    handle._attach(uid, name, grace_s, mail, PacketSocket(lane), PacketSocket(obituary), pid)
    return handle


def _arrive_ended(uid: bytes, name: str, pid: int, value: Any, error: Any) -> Contact:
    """As it is unpacked, of one that has ended."""
    known = _known.get(uid)
    if known is not None:
        return known
    handle = Contact.kind.__new__(Contact.kind)
    one, other = packet_pair()
    mail, _receiving = mail_pair()
    handle._attach(uid, name, 0.0, mail, one, other, pid)
    handle.ended(End(value, None if error is None else bring_error(error)))
    return handle
