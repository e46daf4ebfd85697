"""Packets: whole messages between processes, over Unix sockets that keep their bounds (SEQPACKET).

A packet arrives whole or not at all, whoever dies meanwhile, and any number of
processes may send to one receiver. It may carry descriptors.

The sending end is one socket, however many processes have it: the room in it
is theirs together. So it is registered for events only while somebody waits
for room; otherwise each packet the receiver takes would wake all its senders.

Rules:
  1. Sending and receiving never wait. None says that they would have to.
  2. Descriptors that arrive are the taker's, to close.
  3. A socket that others have, too, stays in an event system after it was
     closed here (epoll(7), Q&A 6): so it is struck off first.

Not here: what packets say (worlds/), who waits for them (readiness.py).

Sources: unix(7), cmsg(3).
"""

import array
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from computicle.engine.op import Op

__all__ = [
    "DESCRIPTORS_MAX",
    "PACKET_MAX",
    "PEEK",
    "Packet",
    "PacketWire",
    "packet_pair",
    "receive_packet",
    "send_packet",
]

PACKET_MAX = 49_152  # bytes; a few fit into the smallest room that systems give a socket
DESCRIPTORS_MAX = 250  # in one packet; the system's limit is 253 (SCM_MAX_FD)
ROOM = 1 << 20  # bytes asked for as a socket's room; most systems grant 208 KiB, which is some 250 small packets

# Plain ints: to combine flags of an enum takes a microsecond.
_FLAGS = int(socket.MSG_DONTWAIT) | int(getattr(socket, "MSG_NOSIGNAL", 0))
_CLOEXEC = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0)) | int(socket.MSG_DONTWAIT)
_TRUNCATED = int(socket.MSG_CTRUNC)
PEEK = int(socket.MSG_PEEK)
_ANCILLARY = socket.CMSG_SPACE(DESCRIPTORS_MAX * 4)
_GONE = (errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN)


class Packet(NamedTuple):
    """What has arrived. Empty: nobody is left who could send."""

    data: bytes
    descriptors: Sequence[int]


def packet_pair() -> tuple[socket.socket, socket.socket]:
    """Where to send, and where it arrives. Neither waits, and neither is inherited."""
    sending, receiving = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sending.setblocking(False)
    receiving.setblocking(False)
    sending.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, ROOM)
    return sending, receiving


def send_packet(sock: socket.socket, data: bytes, descriptors: Sequence[int] = ()) -> bool:
    """Send it, with copies of the descriptors. False: there is no room now.

    Raises:
        BrokenPipeError: nobody is left to receive it.
    """
    try:
        if descriptors:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
            sock.sendmsg([data], rights, _FLAGS)
        else:
            sock.send(data, _FLAGS)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno in _GONE:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
        if error.errno == errno.ENOBUFS:
            return False
        raise
    return True


def receive_packet(sock: socket.socket, buffer: bytearray, flags: int = 0) -> Packet | None:
    """The next packet; None if there is none now.

    Args:
        buffer: of PACKET_MAX bytes, overwritten.
        flags: PEEK leaves it there; the descriptors are copies then.

    Raises:
        OSError: EMFILE: it brought more descriptors than this process may have; it is lost.
    """
    try:
        count, rights, state, _address = sock.recvmsg_into([buffer], _ANCILLARY, flags | _CLOEXEC)
    except BlockingIOError:
        return None
    except ConnectionResetError:  # the other side was closed before it had read all that was sent to it
        return Packet(b"", ())
    data = bytes(memoryview(buffer)[:count])
    if not rights:
        if state & _TRUNCATED:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return Packet(data, ())
    descriptors = array.array("i")
    for _level, _kind, packed in rights:
        descriptors.frombytes(packed[: len(packed) - len(packed) % descriptors.itemsize])
    if state & _TRUNCATED:
        for descriptor in descriptors:
            os.close(descriptor)
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
    return Packet(data, tuple(descriptors))


class PacketWire:
    """One end, while somebody waits at it. `receive`, `peek` and `send` are attempts."""

    __slots__ = (
        "_buffer",
        "_forget",
        "_socket",
        "closed",
        "descriptor",
        "doubtful",
        "readable",
        "reading",
        "writable",
        "writing",
    )

    def __init__(self, sock: socket.socket, label: str, forget: Callable[[Any], None]) -> None:
        self._socket = sock
        self._forget = forget
        self._buffer = bytearray()
        self.descriptor = sock.fileno()
        self.readable = True
        self.writable = False  # whoever waits for room has just found none
        self.doubtful = False
        self.closed = False
        self.reading = Op(lambda: label)
        self.writing = Op(lambda: label)

    def receive(self, flags: int) -> Packet | None:
        """The next packet, if it is there. Flags as for `receive_packet`."""
        if not self.readable:
            return None
        if not self._buffer:
            self._buffer = bytearray(PACKET_MAX)
        packet = receive_packet(self._socket, self._buffer, flags)
        if packet is None:
            self.readable = False
        return packet

    def send(self, packet: Packet) -> bool | None:
        """True once it has been sent."""
        self.writable = False  # an edge is for one attempt: the next one may be all that comes
        return send_packet(self._socket, packet.data, packet.descriptors) or None

    def close(self) -> None:
        """Strike it off. The socket is its owner's, and stays open."""
        if not self.closed:
            self.closed = True
            self._forget(self)
            self.readable = self.writable = False
            self.reading.retire()
            self.writing.retire()
