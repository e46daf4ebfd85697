"""Mail: the way into a computicle's mailbox.

Small messages go into a pipe, as records. What is larger than a record, or
brings descriptors along, is a packet that goes over a socket beside the pipe,
and the record says which one: so all come out in the order of the records.

Rules:
  1. What is sent has left when `send` returns. A pipe that is full makes its
     sender wait (senders.py).
  2. Where there is no fiber that could wait (a helper thread), the thread does.
  3. A packet goes ahead of its record. Whoever is cancelled in between leaves
     the packet behind; the next record of that kind says so. One that dies in
     between leaves it to the receiver, for as long as that lives.
  4. The receiver looks beside only when a record says so. Packets that no record
     will name would take up the room there for ever: so whoever finds none
     writes a record that has the receiver take in all that lies there.

Not here: the receiving end (mailbox.py), the way for requests (lane.py), who waits for
room (senders.py).
"""

import os
import socket
from contextlib import suppress
from itertools import count
from struct import Struct
from typing import NamedTuple

from computicle.engine.packets import (
    Packet,
    PacketSocket,
    check_room,
    copies_of,
    packet_pair,
    send_packet,
    send_waiting,
)
from computicle.engine.pipes import RECORD_MAX, PipeEnd, pipe_pair, write_waiting
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.park import look_around
from computicle.worlds.parcel import Parcel
from computicle.worlds.senders import Senders, send_through, sender_here

__all__ = [
    "BESIDE",
    "CROWDED",
    "MESSAGE",
    "MESSAGES",
    "PLAIN",
    "PLAIN_MAX",
    "RECORD",
    "TAG_SIZE",
    "Mail",
    "MailEnds",
    "mail_pair",
]

RECORD = Struct("<BH")  # kind, and bytes that follow
PLAIN = 1  # a mere pickle of one message
MESSAGE = 2  # one message, packed
MESSAGES = 3  # a list of them, packed
BESIDE = 4  # the tag of a packet; then of such as no record will name
CROWDED = 5  # nothing: somebody waits for room beside

PLAIN_MAX = RECORD_MAX - RECORD.size  # bytes
TAG = Struct("<8sQ")  # which sender of all, and a number
TAG_SIZE = TAG.size
LEFT_MAX = PLAIN_MAX // TAG_SIZE - 1  # tags in one record, beside the packet's own

SHORT_MAX = 64  # bytes: most messages are shorter, so the heads of their records are made once
_PLAIN_HEADS = [RECORD.pack(PLAIN, size) for size in range(SHORT_MAX)]
_CROWDED = RECORD.pack(CROWDED, 0)


class MailEnds(NamedTuple):
    """A pipe and a socket: the ends of both for one side."""

    pipe: PipeEnd
    beside: PacketSocket

    def numbers(self) -> tuple[int, int]:
        """Their descriptors."""
        return self.pipe.fileno(), self.beside.fileno()

    def close(self) -> None:
        self.pipe.close()
        self.beside.close()


def mail_pair() -> tuple[MailEnds, MailEnds]:
    """Where to send, and where it arrives."""
    writing, reading = pipe_pair()
    sending, receiving = packet_pair()
    return MailEnds(writing, sending), MailEnds(reading, receiving)


class Mail:
    """The sending end of one."""

    __slots__ = ("__weakref__", "_left", "_numbers", "_sender", "_senders", "_waiting", "ends")

    def __init__(self, ends: MailEnds, label: str) -> None:
        self.ends = ends
        self._senders = Senders(
            lambda kernel: (
                kernel.engine.records(ends.pipe, f"room for {label}"),
                kernel.engine.packets(ends.beside, f"room for {label}"),
            ),
            ends.close,
        )
        self._waiting = self._senders.waiting  # true while there are any
        self._sender = b""  # this end among all that send there; chosen when it is needed first
        self._numbers = count()
        self._left: list[bytes] = []  # tags of packets whose senders were cancelled before they could write the record

    def send_plain(self, pickled: bytes) -> None:
        """Send a message of which this is the pickle, at most PLAIN_MAX bytes. Waits while the pipe is full.

        Raises:
            BrokenPipeError: nobody will receive it.
        """
        me = fiber_here()
        # `sender_here` and PipeEnd's `write`, written out, and short records' heads at hand (bench/oneway.py).
        if me is not None:
            if me.credit <= 0:
                look_around(me)
            me.credit -= 1
        size = len(pickled)
        record = (_PLAIN_HEADS[size] if size < SHORT_MAX else RECORD.pack(PLAIN, size)) + pickled
        if not self._waiting:
            try:
                os.write(self.ends.pipe.number, record)
                return
            except OSError as error:
                check_room(error)
        self._write_when_room(me, record)

    def send(self, kind: int, parcel: Parcel) -> None:
        """Send a parcel. Waits while there is no room. The parcel is closed in any case. Raises as `send_plain`, and OSError.

        Args:
            kind: MESSAGE or MESSAGES.
        """
        data, descriptors, own, _kept, moving = parcel
        try:
            me = sender_here()
            if descriptors or len(data) > PLAIN_MAX:
                self._send_beside(me, bytes((kind,)) + data, parcel)
            else:
                record = RECORD.pack(kind, len(data)) + data
                if self._waiting or not self.ends.pipe.write(record):
                    self._write_when_room(me, record)
        except BaseException:
            parcel.unsent()
            raise
        else:
            if moving:
                parcel.sent()
        finally:
            if own:
                parcel.close()

    def end(self) -> None:
        """Nobody receives any more: whoever waits for room is told, in any thread and process."""
        with suppress(OSError):
            self.ends.beside.shutdown(socket.SHUT_RDWR)  # the pipe's other end is closed, with the process it was in
        self.close()

    def close(self) -> None:
        """Nothing more is sent by this process, but what waits for room already."""
        self._senders.close()

    def cut(self) -> None:
        """Nothing more is sent by this process, and who waits for room is told. If no other thread uses it."""
        self._senders.cut()

    def _write_when_room(self, me: Fiber | None, record: bytes) -> None:
        if me is None:
            write_waiting(self.ends.pipe, record)
        else:
            with self._senders.turn(me) as crowd:
                pipe, _beside = crowd.wires
                send_through(me, pipe.writing, pipe.write, record)

    def _send_beside(self, me: Fiber | None, data: bytes, parcel: Parcel) -> None:
        self._sender = self._sender or os.urandom(8)
        tag = TAG.pack(self._sender, next(self._numbers))
        packet = Packet(tag + data, parcel.descriptors)
        if not self._waiting and send_packet(self.ends.beside, packet.data, packet.descriptors):
            self._name(me, tag)
            return
        packet = packet._replace(descriptors=copies_of(parcel.descriptors))  # theirs may be closed while this waits
        try:
            if me is None:
                if not send_packet(self.ends.beside, packet.data, packet.descriptors):
                    write_waiting(self.ends.pipe, _CROWDED)
                    send_waiting(self.ends.beside, packet)
            else:
                with self._senders.turn(me) as crowd:
                    pipe, beside = crowd.wires
                    if not beside.send(packet):
                        send_through(me, pipe.writing, pipe.write, _CROWDED)
                        send_through(me, beside.writing, beside.send, packet)
        finally:
            packet.close()
        self._name(me, tag)

    def _name(self, me: Fiber | None, tag: bytes) -> None:
        """Write the record of a packet that has been sent."""
        left, self._left = self._left[:LEFT_MAX], self._left[LEFT_MAX:]
        body = b"".join((tag, *left))
        record = RECORD.pack(BESIDE, len(body)) + body
        try:
            if self._waiting or not self.ends.pipe.write(record):
                self._write_when_room(me, record)
        except BaseException:
            self._left += [*left, tag]
            raise
