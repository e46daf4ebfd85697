"""Mailbox: where a computicle's messages arrive.

Mostly one fiber receives: it takes what is there, or waits for the socket
itself. Where several wait, or one waits for other things, too (`select`), a fiber
of the mailbox's own reads and serves them in line.

Rules:
  1. Messages are taken in the order in which they came in, by fibers in the
     order in which they came to wait.
  2. What nobody asks for stays in the socket, whose room is the mailbox's.
  3. It is drained when it has been shut, nothing is in it, and whoever took a
     message has come back for the next one or has ended.

Not here: on_message (world.py), senders (lane.py).
"""

import os
import socket
from collections import deque
from collections.abc import Iterable
from pickle import loads
from typing import Any, NamedTuple

from computicle.engine.packets import (
    ANCILLARY,
    PEEK,
    RECEIVE_FLAGS,
    TRUNCATED,
    Packet,
    PacketSocket,
    packet_buffer,
    packet_of,
)
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.inplace import sleep_in_place
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.line import Line, Taken
from computicle.scheduler.park import park, wake
from computicle.scheduler.scope import Scope
from computicle.scheduler.timeouts import Expiry, park_until
from computicle.worlds.codec import unpack

__all__ = ["MESSAGE", "MESSAGES", "PLAIN_MESSAGE", "Mailbox"]

MESSAGE = b"M"  # one message follows
MESSAGES = b"B"  # a list of them
PLAIN_MESSAGE = MESSAGE + b"\0"  # one that is a mere pickle
UNASKED = 8  # after one that slept: most likely nothing has come since, and to find that takes a system call
TAKERS_MAX = 64  # who have taken something: from here on those that have ended are forgotten


class Mailbox:
    """The receiving end."""

    def __init__(self, kernel: Kernel, scope: Scope, sock: PacketSocket) -> None:
        self._scope = scope
        self._socket = sock
        self._receive = sock.recvmsg_into
        self._view = packet_buffer()
        self._into = [self._view]
        self._wire = kernel.engine.packets(sock, "a message", level=True)
        self._backlog: deque[Any] = deque()  # of a packet that brought several, or put here
        self._line = Line("a message")
        self._reader: Fiber | None = None  # waits for the socket
        self._taker: Fiber | None = None  # has taken a message, and not come back for the next one
        self._takers: dict[Fiber, None] = {}  # the others who have
        self.taken = 0  # how many messages have been, so far
        self._unasked = 0  # waits that begin without a look whether there is something
        self._shut = False
        self._ended = False  # nothing more comes out of the socket

    def receive(self, me: Fiber, timeout: float | None) -> Any:
        """The next message. Waits for it. Raises TimeoutError."""
        me.credit -= 1
        self.has_handled(me)
        if self._reader is None and not self._backlog and not self._ended and not self._line.fibers:
            # All of this for plain messages, there and back: half of what they take otherwise (bench/messages.py).
            asleep = self._unasked > 0 and timeout is None and self._sleep(me)
            while True:
                try:
                    count, rights, state, _address = self._receive(self._into, ANCILLARY, RECEIVE_FLAGS)
                except BlockingIOError:
                    if not asleep and timeout is None and self._sleep(me):
                        asleep = True
                        continue
                    self._unasked = 0
                    packet = self._wait(me, timeout)
                    break
                self._unasked = (self._unasked or UNASKED) - 1 if asleep else 0
                view = self._view
                if count and not rights and not state & TRUNCATED and view[0] == MESSAGE[0] and not view[1]:
                    self._took(me)
                    return loads(view[2:count])  # noqa: S301  # from another computicle of ours
                packet = packet_of(bytes(view[:count]), rights, state)
                break
            self._open(packet)
        elif self._reader is not None or self._line.fibers:
            return self._stand_in_line(me, timeout)
        if self._backlog:
            message = self._backlog.popleft()
            self._serve()
            self._took(me)
            return _readable(message)
        return self._stand_in_line(me, timeout)

    def _stand_in_line(self, me: Fiber, timeout: float | None) -> Any:
        self._feed()
        me.kernel.engine.waiting += 1
        try:
            message = self._line.wait(me, timeout)
        finally:
            me.kernel.engine.waiting -= 1
        return _readable(message)

    def take(self) -> Taken | None:
        """For select: a message, if there is one now."""
        me = here().fiber
        self.has_handled(me)
        if self._reader is None and not self._backlog and not self._ended:
            packet = self._wire.receive(0)
            if packet is not None:
                self._open(packet)
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
        self._backlog.extend(messages)
        self._serve()
        reader = self._reader
        if reader is not None and self._backlog and reader.why is self._wire.reading:
            self._wire.reading.call_off(reader)
            wake(reader)  # it looks into the backlog

    def shut(self) -> None:
        """Nothing more is accepted: who posts is told. What was accepted can still be received."""
        self._shut = True
        self._socket.shutdown(socket.SHUT_RD)

    def is_drained(self) -> bool:
        """By rule 3."""
        takers = self._takers if self._taker is None else (self._taker, *self._takers)
        if not self._shut or self._backlog or any(not fiber.done for fiber in takers):
            return False
        if self._reader is not None and self._reader.why is not self._wire.reading:
            return False  # it has been given something, and has not come to look at it
        if not self._ended:
            packet = self._wire.receive(PEEK)
            if packet is None or packet.data:
                for descriptor in () if packet is None else packet.descriptors:
                    os.close(descriptor)
                return False
        return True

    def has_handled(self, me: Fiber) -> None:
        """What it took has been handled: it has come for the next one, or will take no more."""
        if self._taker is me:
            self._taker = None
        elif self._takers:
            self._takers.pop(me, None)

    def close(self) -> None:
        """The end: who posts is told."""
        self._wire.close()
        self._socket.close()

    def _sleep(self, me: Fiber) -> bool:
        """Sleep without giving way, if there is nobody to give way to. False: something else has to be done first."""
        self._wire.heed()
        return sleep_in_place(me, self._wire)

    def _wait(self, me: Fiber, timeout: float | None) -> Packet | None:
        """The next packet; None if something has been put into the backlog."""
        wire = self._wire
        wire.heed()
        op = wire.reading
        expiry = None if timeout is None else Expiry(me, op, timeout)
        self._reader = me
        op.attempt = wire.receive
        op.argument = 0
        op.waiter = me
        me.why = op
        me.kernel.engine.waiting += 1
        try:
            return park(me) if expiry is None else park_until(me, expiry)  # type: ignore[no-any-return]
        finally:
            me.kernel.engine.waiting -= 1
            self._reader = None
            if self._line.fibers:
                self._feed()

    def _open(self, packet: Packet | None) -> None:
        if packet is None:
            return
        data, descriptors = packet
        if not data:
            self._ended = True
            return
        try:
            content = unpack(data, 1, descriptors)
        except Exception as error:
            self._backlog.append(_Unreadable(error))  # for whoever would have got it
            return
        if data[:1] == MESSAGE:
            self._backlog.append(content)
        else:
            self._backlog.extend(content)

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
        if self._reader is None and not self._ended:
            feeder = Feeder(attendants_of(self._scope), self._serve_line, lasting=True, sheltered=True)
            self._reader = attend(self._scope, feeder, "the mailbox")

    def _serve_line(self) -> None:
        me = self._reader
        assert me is not None
        try:
            self._serve()
            while self._line.fibers and not self._ended:
                packet = self._wire.receive(0)
                if packet is None:
                    self._wire.heed()
                    packet = me.kernel.finish_op(me, self._wire.reading, self._wire.receive, 0)
                self._open(packet)
                self._serve()
        finally:
            self._reader = None


class _Unreadable(NamedTuple):
    """In place of a message that could not be rebuilt."""

    error: Exception


def _readable(message: Any) -> Any:
    if isinstance(message, _Unreadable):
        raise message.error
    return message


class Feeder(Attendant):
    """Reads for those who stand in line."""

    __slots__ = ()
