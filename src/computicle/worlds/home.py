"""Home: what a thread, or one run of it, is to other computicles: where its messages and answers arrive.

Each has a lane, read by a fiber of its own: the pump. Requests come in over
it, and the answers to its own requests. A mailbox it has only once somebody wants
a handle of it (in a computicle: always).

Rules:
  1. The pump never waits for anything but the next packet: what takes time is
     a fiber of its own. So a computicle that is busy can still be told to
     quit, as far as its fibers give way.
  2. It is there as long as the scope it belongs to: a run, or a thread.
  3. Who asks gives its own lane along the first time, and is known from then on.

Not here: what requests do (requests.py), what handles send (handle.py).
"""

import os
import select
import socket
import struct
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any

from computicle.engine.packets import Packet, packet_pair
from computicle.scheduler.attendants import Attendant, attend, attendants_of, await_op
from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import BaseScope, RunScope
from computicle.scheduler.log import log_error
from computicle.worlds.codec import Parcel, unpack
from computicle.worlds.errors import bring_error
from computicle.worlds.lane import Lane
from computicle.worlds.mailbox import Mailbox
from computicle.worlds.reply import Reply

if TYPE_CHECKING:
    from computicle.worlds.handle import Handle

__all__ = ["ANSWER", "FAILURE", "HEAD", "STAYS", "Home", "home_of", "use_requests"]

HEAD = struct.Struct("<BQ8s")  # kind, number of the request, who asks
INTRODUCED = 128  # added to the kind: the first descriptor is the asker's lane

ANSWER = 1  # to a request of ours: its value
FAILURE = 2  # or its error
STAYS = 3  # a computicle of ours has done what it began with, and lives on until it is told to quit

_requests: dict[int, Callable[["Home", int, bytes, Packet], None]] = {}  # by kind; requests.py fills it


def use_requests(table: dict[int, Callable[["Home", int, bytes, Packet], None]]) -> None:
    """What to do for each kind of request: home, number, who asks, and the packet."""
    _requests.update(table)


class Home:
    """Where answers arrive, and what is asked for."""

    def __init__(
        self, scope: RunScope | BaseScope, uid: bytes, sending: socket.socket, receiving: socket.socket
    ) -> None:
        self.uid = uid
        self.scope = scope
        self.kernel = scope.kernel
        self.lane = Lane(sending, "answers")  # of which others get copies
        self.mailbox: Mailbox | None = None
        self.handle: Handle | None = None  # to itself
        self.life: Any = None  # in a computicle: what goes on in it (world.py)
        self.askers: dict[bytes, Lane] = {}  # to those who have asked for something
        self.running: dict[tuple[bytes, int], Fiber] = {}  # requests that take time, by asker and number
        self.replies: dict[int, Reply] = {}  # to come
        self.staying: dict[bytes, Callable[[], None]] = {}  # by computicle made from here: whom to tell that it stays
        self._numbers = count(1)
        self._receiving = receiving
        self._wire = self.kernel.engine.packets(receiving, "what other computicles ask and answer")
        self.closing: list[Callable[[], None]] = []  # what else ends with it
        attend(scope, _Pump(self), "the pump")

    # Asking.

    def expect(self, what: str, uid: bytes, cancel: Callable[[int], None]) -> tuple[int, Reply]:
        """A number for a request to the computicle `uid`, and its reply to come."""
        number = next(self._numbers)
        reply = self.replies[number] = Reply(self.kernel, what, uid, lambda: cancel(number))
        return number, reply

    def give_up(self, uid: bytes, error: Exception) -> None:
        """No more answers will come from there."""
        for number, reply in [*self.replies.items()]:
            if reply.uid == uid:
                del self.replies[number]
                reply.settle(None, error)

    # Answering.

    def answer(self, number: int, asker: bytes, parcel: Parcel, *, failed: bool = False) -> None:
        """Answer a request. Never waits."""
        lane = self.askers.get(asker)
        if lane is None:
            parcel.close()
        else:
            lane.push(HEAD.pack(FAILURE if failed else ANSWER, number, self.uid), parcel)

    # The pump.

    def pump(self) -> None:
        """Take what comes in, one after the other."""
        me = here().fiber
        while True:
            packet = self._wire.receive(0)
            if packet is None:
                packet = await_op(me, self._wire.reading, self._wire.receive, 0)
            if not packet.data:
                return  # nobody is left who has a handle
            try:
                self._take(packet)
            except Exception as error:
                log_error(error, "what another computicle has sent could not be read")

    def _take(self, packet: Packet) -> None:
        kind, number, who = HEAD.unpack_from(packet.data)
        if kind & INTRODUCED:
            kind &= ~INTRODUCED
            self._introduce(who, packet.descriptors[-1])
            packet = Packet(packet.data, packet.descriptors[:-1])
        if kind in _requests:
            _requests[kind](self, number, who, packet)
        elif kind == STAYS:
            if who in self.staying:
                self.staying[who]()
        else:
            self._settle(kind, number, packet)

    def _settle(self, kind: int, number: int, packet: Packet) -> None:
        reply = self.replies.pop(number, None)
        if reply is None:  # it was given up
            for descriptor in packet.descriptors:
                os.close(descriptor)
            return
        try:
            content = unpack(packet.data, HEAD.size, packet.descriptors)
        except Exception as error:
            reply.settle(None, error)
            return
        if kind == ANSWER:
            reply.settle(content, None)
        else:
            reply.settle(None, bring_error(content))

    def _introduce(self, who: bytes, descriptor: int) -> None:
        for known, lane in [*self.askers.items()]:
            if _is_gone(lane.sock):
                lane.close()
                del self.askers[known]
        self.askers[who] = Lane(socket.socket(fileno=descriptor), "answers")

    def close(self) -> None:
        """The end of the scope it belongs to."""
        self.scope.home = None
        self._wire.close()
        self._receiving.close()
        self.lane.close()
        for lane in self.askers.values():
            lane.close()
        if self.mailbox is not None:
            self.mailbox.close()
        for close in self.closing:
            close()


class _Pump(Attendant):
    """Takes what comes in. With it the home ends, also if it never began: a run may end without having waited."""

    __slots__ = ("_home",)

    def __init__(self, home: Home) -> None:
        super().__init__(attendants_of(home.scope), home.pump, lasting=True)
        self._home = home

    def end(self) -> None:
        self._home.close()
        super().end()


def home_of(me: Fiber) -> Home:
    """The home of the run that is on, or of the thread; made if need be."""
    scope: RunScope | BaseScope = me.kernel.run_scope or me.kernel.base  # type: ignore[assignment]
    if scope.home is None:
        sending, receiving = packet_pair()
        scope.home = Home(scope, os.urandom(8), sending, receiving)
    return scope.home  # type: ignore[no-any-return]


def _is_gone(sock: socket.socket) -> bool:
    """True if nobody receives at the other end any more."""
    look = select.poll()
    look.register(sock, 0)
    return bool(look.poll(0))
