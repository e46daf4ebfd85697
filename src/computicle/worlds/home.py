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
import struct
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from computicle.engine.packets import DescriptorsLost, Packet, PacketSocket, packet_pair, send_packet
from computicle.scheduler.attendants import Attendant, attend, attendants_of, await_op
from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import BaseScope, RunScope, outermost
from computicle.scheduler.line import Line
from computicle.scheduler.log import log_error
from computicle.scheduler.outside import FromOutside
from computicle.scheduler.park import look_around
from computicle.worlds.codec import unpack
from computicle.worlds.errors import ComputicleDied, bring_error, carry_error
from computicle.worlds.lane import Lane
from computicle.worlds.mailbox import Mailbox
from computicle.worlds.obituary import RUN_OVER, End
from computicle.worlds.parcel import Parcel
from computicle.worlds.reply import Reply

if TYPE_CHECKING:
    from computicle.worlds.contact import Contact

__all__ = ["HEAD", "INTRODUCED", "STAYS", "Home", "home_of", "use_requests"]

HEAD = struct.Struct("<BQ8s")  # kind, number of the request, who asks
INTRODUCED = 128  # added to the kind: the first descriptor is the asker's lane

ANSWER = 1  # to a request of ours: its value
FAILURE = 2  # or its error
STAYS = 3  # a computicle of ours has done what it began with, and lives on until it is told to quit

REPLIES_MAX = 1000  # to come at once from one computicle: whoever asks it for more waits

_homes: "WeakSet[Home]" = WeakSet()  # of this process; each puts itself in, for a forked child to shut them

_requests: dict[
    int, Callable[["Home", int, bytes, Packet], None]
] = {}  # by kind; requests.py fills it, as it is imported


def use_requests(table: dict[int, Callable[["Home", int, bytes, Packet], None]]) -> None:
    """What to do for each kind of request: home, number, who asks, and the packet."""
    _requests.update(table)


class Home:
    """Where answers arrive, and what is asked for."""

    def __init__(self, scope: RunScope | BaseScope, uid: bytes, sending: PacketSocket, receiving: PacketSocket) -> None:
        self.uid = uid
        self.scope = scope
        self.kernel = scope.kernel
        self.lane = Lane(sending, "answers")  # of which others get copies
        self.mailbox: Mailbox | None = None
        self.handle: Contact | None = None  # to itself
        self.hands_over = False  # it has an on_message, which gets all messages
        self.life: Any = None  # in a computicle: what goes on in it (life.py)
        self.askers: dict[bytes, Lane] = {}  # to those who have asked for something
        self.running: dict[tuple[bytes, int], Fiber] = {}  # requests that take time, by asker and number
        self.replies: dict[int, Reply] = {}  # to come
        self._counts: dict[bytes, int] = {}  # of them, by the computicle they are to come from
        self.staying: dict[bytes, Callable[[], None]] = {}  # by computicle made from here: whom to tell that it stays
        self._crowded = Line("fewer requests to be under way")
        self._numbers = count(1)
        self._receiving = receiving
        self._wire = self.kernel.engine.packets(receiving, "what other computicles ask and answer")
        _homes.add(self)
        self._obituary: PacketSocket | None = None  # in the main program: where its own end is told
        self.closed = False
        # As long as nobody has a handle, what comes is answers only, and for those somebody waits.
        self._pump = _Pump(self)
        attend(scope, self._pump, "the pump")

    def open(self, handle: "Contact", mailbox: Mailbox, obituary: PacketSocket | None = None) -> None:
        """From now on others may post and ask."""
        self.handle = handle
        self.mailbox = mailbox
        self._obituary = obituary
        self._pump.reach()

    @property
    def name(self) -> str:
        """What others are told it is."""
        return "the main program" if self.life is None else str(self.life.name)

    def check_receiving(self, word: str) -> None:
        """Raise RuntimeError if all messages are handed over."""
        if self.hands_over:
            raise RuntimeError(
                f"{word}: this computicle has an on_message, which gets all messages: use one of the two"
            )

    # Asking.

    def await_room(self, me: Fiber, uid: bytes) -> None:
        """Wait while too many answers of the computicle `uid` are to come."""
        while self._counts.get(uid, 0) >= REPLIES_MAX:
            with FromOutside(me):
                self._crowded.wait(me)

    def expect(self, what: str, uid: bytes, cancel: Callable[[int], None]) -> tuple[int, Reply]:
        """A number for a request to the computicle `uid`, and its reply to come."""
        number = next(self._numbers)
        reply = self.replies[number] = Reply(self.kernel, what, uid, lambda: cancel(number))
        self._counts[uid] = self._counts.get(uid, 0) + 1
        return number, reply

    def forget(self, number: int) -> Reply | None:
        """Its answer is here, or not waited for any more; whose it is, unless it was forgotten before."""
        reply = self.replies.pop(number, None)
        if reply is not None:
            left = self._counts[reply.uid] - 1
            if left:
                self._counts[reply.uid] = left
            else:
                del self._counts[reply.uid]
            self._crowded.wake_all()  # who waits for which one is not known here
        return reply

    def give_up(self, uid: bytes, error: Callable[[], Exception]) -> None:
        """No more answers will come from there."""
        for number, reply in [*self.replies.items()]:
            if reply.uid == uid:
                self.forget(number)
                reply.settle(None, error())

    # Answering.

    def answer(self, number: int, asker: bytes, parcel: Parcel) -> None:
        """Answer a request. Never waits."""
        try:
            self._push(ANSWER, number, asker, parcel)
        except OSError as error:  # what it brings cannot be sent along
            self.fail(number, asker, error)

    def fail(self, number: int, asker: bytes, error: BaseException) -> None:
        """Answer a request with an error. Never waits."""
        try:
            self._push(FAILURE, number, asker, carry_error(error, self.name))
        except OSError as lack:  # as above. Anew, without what it was raised in: this one is small
            self._push(FAILURE, number, asker, carry_error(OSError(*lack.args), self.name))

    def _push(self, kind: int, number: int, asker: bytes, parcel: Parcel) -> None:
        lane = self.askers.get(asker)
        if lane is None:
            parcel.close()
        else:
            lane.push(HEAD.pack(kind, number, self.uid), parcel)

    # The pump.

    def pump(self) -> None:
        """Take what comes in, one after the other."""
        me = here().fiber
        while True:
            if me.credit <= 0:
                look_around(me)
            me.credit -= 1
            try:
                packet = self._wire.receive(0)
                if packet is None:
                    packet = await_op(me, self._wire.reading, self._wire.receive, 0)
                if not packet.data:
                    return  # nobody is left who has a handle
                self._take(packet)
            except DescriptorsLost as error:
                self._lose(error)
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

    def _lose(self, error: DescriptorsLost) -> None:
        """A packet came without the descriptors that belong to it: whoever is concerned is told."""
        kind, number, who = HEAD.unpack_from(error.data)
        told = OSError(*error.args)
        if kind & ~INTRODUCED in _requests:
            self.fail(number, who, told)
        elif (reply := self.forget(number)) is not None:
            reply.settle(None, told)

    def _settle(self, kind: int, number: int, packet: Packet) -> None:
        reply = self.forget(number)
        if reply is None:  # it was given up
            packet.close()
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
                lane.cut()
                del self.askers[known]
        self.askers[who] = Lane(PacketSocket(descriptor), "answers")

    def shut(self) -> None:
        """Close all ends. In a forked child that is all: what arrives is for the parent."""
        self._receiving.close()
        self.lane.cut()
        for lane in self.askers.values():
            lane.cut()
        if self.mailbox is not None:
            self.mailbox.close()
        if self._obituary is not None:
            self._obituary.close()

    def close(self) -> None:
        """The end of the scope it belongs to."""
        self.scope.home = None
        self.closed = True
        if self._obituary is not None:
            send_packet(self._obituary, RUN_OVER)
        self._wire.close()
        self.shut()
        if self.handle is not None:
            self.handle.ended(End(None, ComputicleDied(self.handle.name, "has ended its run")))

    def check(self) -> None:
        """Assert the rules. O(n): for tests."""
        assert self._counts == Counter(reply.uid for reply in self.replies.values())
        assert not any(fiber.done for fiber in self.running.values()), "a request is done, and still under way"


def _leave_all_behind() -> None:
    for home in [*_homes]:
        home.shut()
        home.scope.home = None


os.register_at_fork(after_in_child=_leave_all_behind)


class _Pump(Attendant):
    """Takes what comes in. With it the home ends, also if it never began: a run may end without having waited."""

    __slots__ = ("_home",)

    def __init__(self, home: Home) -> None:
        super().__init__(attendants_of(home.scope), home.pump, lasting=True, reachable=False, sheltered=True)
        self._home = home

    def end(self) -> None:
        self._home.close()
        super().end()


def home_of(me: Fiber) -> Home:
    """The home of the run that is on, or of the thread; made if need be."""
    scope = outermost(me)
    if scope.home is None:
        sending, receiving = packet_pair()
        scope.home = Home(scope, os.urandom(8), sending, receiving)
    return scope.home  # type: ignore[no-any-return]


def _is_gone(sock: PacketSocket) -> bool:
    """True if nobody receives at the other end any more."""
    look = select.poll()
    look.register(sock, 0)
    return bool(look.poll(0))
