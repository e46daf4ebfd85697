"""Mailbox: where a computicle's messages arrive.

Mostly one fiber receives: it takes what is there, or waits for the pipe
itself. Where several wait, or one waits for other things, too (`select`), a fiber
of the mailbox's own reads and serves them in line.

Rules:
  1. Messages are taken in the order in which they came in, by fibers in the
     order in which they came to wait.
  2. What nobody asks for stays in the pipe, whose room is the mailbox's, but for
     what has been read together with what somebody asked for.
  3. It is drained when it has been shut, nothing is in it, and whoever took a
     message has come back for the next one or has ended.

Not here: on_message (life.py), the way here (mail.py).
"""

import os
from collections import deque
from collections.abc import Iterable
from pickle import loads
from typing import Any, NamedTuple

from computicle.engine.packets import DescriptorsLost, Packet, packet_buffer, receive_packet
from computicle.engine.pipes import read_to_the_end
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.inplace import sleep_in_place
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.line import Line, Taken
from computicle.scheduler.outside import FromOutside
from computicle.scheduler.park import park, wake
from computicle.scheduler.scope import Scope
from computicle.scheduler.timeouts import Expiry, park_until
from computicle.worlds.codec import unpack
from computicle.worlds.mail import BESIDE, CROWDED, MESSAGES, PLAIN, RECORD, TAG_SIZE, MailEnds

__all__ = ["Mailbox"]

UNASKED = 8  # after one that slept: most likely nothing has come since, and to find that takes a system call
TAKERS_MAX = 64  # who have taken something: from here on those that have ended are forgotten
HEAD_SIZE = RECORD.size


class Mailbox:
    """The receiving end. Only its own thread touches it.

    Args:
        scope: whom it serves: whoever reads for those in line is an attendant of this.
        ends: where it arrives.
        own: the other ends, of this computicle's own handle.
    """

    def __init__(self, kernel: Kernel, scope: Scope, ends: MailEnds, own: MailEnds) -> None:
        self._scope = scope
        self._ends = ends
        self._own = own
        self._pipe = ends.pipe.number
        self._room = ends.pipe.room()
        self._wire = kernel.engine.records(ends.pipe, "a message", level=True)
        self._chunk = b""  # of records, as they were read
        self._at = 0  # where in it the next one begins
        self._early: dict[bytes, Packet | DescriptorsLost] = {}  # by tag: packets whose records have not come yet
        self._buffer = packet_buffer()
        self._backlog: deque[Any] = deque()  # of a record that brought several, or put here
        self._line = Line("a message")
        self._reader: Fiber | None = None  # waits for the pipe
        self._taker: Fiber | None = None  # has taken a message, and not come back for the next one
        self._takers: dict[Fiber, None] = {}  # the others who have
        self.taken = 0  # how many messages have been, so far
        self._unasked = 0  # waits that begin without a look whether there is something
        self._shut = False  # all that was accepted has been read

    def receive(self, me: Fiber, timeout: float | None) -> Any:
        """The next message. Waits for it.

        Raises:
            TimeoutError: none came within `timeout` seconds.
            Exception: it could not be rebuilt here.
        """
        me.credit -= 1
        self.has_handled(me)
        if self._reader is not None or self._line.fibers:
            return self._stand_in_line(me, timeout)
        if not self._backlog:
            # All of this for plain messages, there and back: half of what they take otherwise (bench/messages.py).
            at = self._at
            chunk = self._chunk
            if at == len(chunk):
                if self._shut:
                    return self._stand_in_line(me, timeout)
                self._chunk = chunk = self._read(me, timeout)
                self._at = at = 0
                if not chunk:  # something was put into the backlog, or nothing more will come
                    return self.receive(me, timeout)
            if chunk[at] == PLAIN:
                self._at = end = at + HEAD_SIZE + (chunk[at + 1] | chunk[at + 2] << 8)
                self._took(me)
                return loads(chunk[at + HEAD_SIZE : end])  # noqa: S301  # from another computicle of ours
            self._open_until_message()
            if not self._backlog:
                return self.receive(me, timeout)
        message = self._backlog.popleft()
        self._serve()
        self._took(me)
        return _readable(message)

    def _read(self, me: Fiber, timeout: float | None) -> bytes:
        """What has come, as soon as something has, and what is left; nothing if it was called back."""
        asleep = self._unasked > 0 and timeout is None and self._sleep(me)
        while True:
            try:
                some = os.read(self._pipe, self._room)
            except BlockingIOError:
                if not asleep and timeout is None and self._sleep(me):
                    asleep = True
                    continue
                self._unasked = 0
                return self._wait(me, timeout)
            self._unasked = (self._unasked or UNASKED) - 1 if asleep else 0
            return some

    def _stand_in_line(self, me: Fiber, timeout: float | None) -> Any:
        self._feed()
        with FromOutside(me):
            message = self._line.wait(me, timeout)
        return _readable(message)

    def take(self) -> Taken | None:
        """For select: a message, if there is one now."""
        me = here().fiber
        self.has_handled(me)
        if self._reader is None and not self._backlog:
            if self._at == len(self._chunk) and not self._shut:
                self._keep(self._wire.read(None))
            self._open_until_message()
        if not self._backlog:
            return None
        self._took(me)
        return Taken(_readable(self._backlog.popleft()))

    def taking_line(self) -> Line:
        """For select: where to stand until one comes."""
        self._feed()
        return self._line

    def put(self, messages: Iterable[Any]) -> None:
        """Put messages of our own behind those that have come. Never waits."""
        if self._reader is None:
            self._open_all()
        self._backlog.extend(messages)
        self._serve()
        if self._backlog:
            self._call_back()

    def shut(self) -> None:
        """Nothing more is accepted: who posts is told. What was accepted can still be received."""
        self._shut = True
        self._call_back()
        self._wire.close()
        self._chunk = self._chunk[self._at :] + read_to_the_end(self._ends.pipe, self._own.pipe)
        self._at = 0

    def _call_back(self) -> None:
        """Whoever waits for the pipe is to look around."""
        reader = self._reader
        if reader is not None and reader.why is self._wire.reading:
            self._wire.reading.call_off(reader)
            wake(reader)

    def is_drained(self) -> bool:
        """By rule 3."""
        takers = self._takers if self._taker is None else (self._taker, *self._takers)
        if not self._shut or self._backlog or self._at < len(self._chunk) or any(not fiber.done for fiber in takers):
            return False
        return self._reader is None  # else it has been given something, or is to look, and has not come to it

    def has_handled(self, me: Fiber) -> None:
        """What it took has been handled: it has come for the next one, or will take no more."""
        if self._taker is me:
            self._taker = None
        elif self._takers:
            self._takers.pop(me, None)

    def close(self) -> None:
        """The end: who posts is told."""
        self._wire.close()
        self._ends.close()
        for tag in [*self._early]:
            self._drop(tag)

    def _sleep(self, me: Fiber) -> bool:
        """Sleep without giving way, if there is nobody to give way to. False: something else has to be done first."""
        self._wire.heed()
        return sleep_in_place(me, self._wire)

    def _wait(self, me: Fiber, timeout: float | None) -> bytes:
        """As `_read`, when there is nothing yet."""
        wire = self._wire
        wire.heed()
        op = wire.reading
        expiry = None if timeout is None else Expiry(me, op, timeout)
        self._reader = me
        op.attempt = wire.read
        op.argument = None
        op.waiter = me
        me.why = op
        me.kernel.engine.waiting += 1
        try:
            some = park(me) if expiry is None else park_until(me, expiry)
            return (some or b"") + self._chunk[self._at :]  # to which something is added if it is shut meanwhile
        finally:
            me.kernel.engine.waiting -= 1
            self._reader = None
            if self._line.fibers:
                self._feed()

    def _keep(self, some: bytes | None) -> None:
        """What has been read comes before what is left: that may have been read later, at the end."""
        if some is not None:
            self._chunk = some + self._chunk[self._at :]
            self._at = 0

    def _open_all(self) -> None:
        """Put all that was read into the backlog."""
        while self._at < len(self._chunk):
            self._open_next()

    def _open_until_message(self) -> None:
        """Put the next messages of those that were read into the backlog, if there are any."""
        while self._at < len(self._chunk) and not self._backlog:
            self._open_next()

    def _open_next(self) -> None:
        """Put the next record of those that were read into the backlog, if it is of messages."""
        at = self._at
        kind, length = RECORD.unpack_from(self._chunk, at)
        end = at + HEAD_SIZE + length
        body = self._chunk[at + HEAD_SIZE : end]
        self._at = end
        if kind == CROWDED:
            while self._receive_early():
                pass
            return
        try:
            if kind == PLAIN:
                content = loads(body)  # noqa: S301
            elif kind == BESIDE:
                packet = self._packet_of(body)
                kind = packet.data[TAG_SIZE]
                content = unpack(packet.data, TAG_SIZE + 1, packet.descriptors)
            else:
                content = unpack(body, 0, ())
        except Exception as error:
            self._backlog.append(_Unreadable(error))  # for whoever would have got it
            return
        if kind == MESSAGES:
            self._backlog.extend(content)
        else:
            self._backlog.append(content)

    def _packet_of(self, tags: bytes) -> Packet:
        """The one that the first tag names; the others name some that nobody will ask for."""
        wanted, *left = (tags[at : at + TAG_SIZE] for at in range(0, len(tags), TAG_SIZE))
        while wanted not in self._early:
            there = self._receive_early()
            assert there, "a packet is sent before the record that names it"
        for tag in left:
            self._drop(tag)
        packet = self._early.pop(wanted)
        if isinstance(packet, DescriptorsLost):
            raise packet
        return packet

    def _receive_early(self) -> bool:
        """The next packet. False: there is none."""
        try:
            packet = receive_packet(self._ends.beside, self._buffer)
            if packet is None or not packet.data:
                return False
            self._early[packet.data[:TAG_SIZE]] = packet
        except DescriptorsLost as error:
            self._early[error.data[:TAG_SIZE]] = error
        return True

    def _drop(self, tag: bytes) -> None:
        packet = self._early.pop(tag, None)
        if isinstance(packet, Packet):
            packet.close()

    def _serve(self) -> None:
        """Hand out what is there to those in line."""
        while self._backlog and (woken := self._line.wake_first(self._backlog[0])) is not None:
            self._backlog.popleft()
            self._took(woken[0])

    def _took(self, me: Fiber) -> None:
        self.taken += 1
        if self._taker is None:
            self._taker = me
            return
        self._takers[me] = None
        if len(self._takers) > TAKERS_MAX:
            self._takers = {fiber: None for fiber in self._takers if not fiber.done}

    def _feed(self) -> None:
        """Have a fiber read for those in line."""
        if self._reader is None and (not self._shut or self._at < len(self._chunk)):
            feeder = Attendant(attendants_of(self._scope), self._serve_line, lasting=True, sheltered=True)
            self._reader = attend(self._scope, feeder, "the mailbox")

    def _serve_line(self) -> None:
        me = self._reader
        assert me is not None
        try:
            while True:
                self._open_all()
                self._serve()
                if not self._line.fibers or self._shut:
                    return
                some = self._wire.read(None)
                if some is None:
                    self._wire.heed()
                    some = me.kernel.finish_op(me, self._wire.reading, self._wire.read, None)
                self._keep(some)
        finally:
            self._reader = None

    def check(self) -> None:
        """Assert the rules. O(n): for tests."""
        at = self._at
        while at < len(self._chunk):
            kind, length = RECORD.unpack_from(self._chunk, at)
            assert PLAIN <= kind <= CROWDED, f"a record of kind {kind}"
            at += HEAD_SIZE + length
        assert at == len(self._chunk), "a record is cut"
        assert not self._backlog or not self._line.fibers, "somebody waits for what is there"
        assert self._reader is None or not self._reader.done, "whoever reads has ended"
        assert self._taker not in self._takers, "somebody has taken twice"


class _Unreadable(NamedTuple):
    """In place of a message that could not be rebuilt."""

    error: Exception


def _readable(message: Any) -> Any:
    if isinstance(message, _Unreadable):
        raise message.error
    return message
