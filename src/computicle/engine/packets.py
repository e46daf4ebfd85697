"""Packets: whole messages between processes, over Unix sockets that keep their bounds (SEQPACKET).

A packet arrives whole or not at all, whoever dies meanwhile, and any number of
processes may send to one receiver. It may carry descriptors.

The sending end is one socket, however many processes have it: the room in it
is theirs together.

Rules:
  1. Sending and receiving never wait. None says that they would have to.
  2. Descriptors that arrive are the taker's, to close.

Not here: small ones by the thousand (pipes.py), what packets say (worlds/), who waits for them (readiness.py).

Sources: unix(7), cmsg(3).
"""

import array
import errno
import mmap
import os
import select
import socket
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from computicle.engine.shared import SharedWire

__all__ = [
    "DESCRIPTORS_MAX",
    "PACKET_MAX",
    "PEEK",
    "DescriptorsLost",
    "Packet",
    "PacketSocket",
    "PacketWire",
    "check_room",
    "copies_of",
    "packet_buffer",
    "packet_pair",
    "receive_packet",
    "room_at",
    "send_packet",
    "send_waiting",
]

PACKET_MAX = 49_152  # bytes; a few fit into the smallest room that systems give a socket
DESCRIPTORS_MAX = 250  # in one packet; the system's limit is 253 (SCM_MAX_FD)
ROOM = 1 << 20  # bytes asked for as a socket's room; most systems grant 208 KiB, which is some 250 small packets

# Plain ints: to combine flags of an enum takes a microsecond.
SEND_FLAGS = int(socket.MSG_DONTWAIT) | int(getattr(socket, "MSG_NOSIGNAL", 0))
RECEIVE_FLAGS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0)) | int(socket.MSG_DONTWAIT)
TRUNCATED = int(socket.MSG_CTRUNC)
PEEK = int(socket.MSG_PEEK)
ANCILLARY = socket.CMSG_SPACE(DESCRIPTORS_MAX * 4)
_NO_ROOM = (errno.EAGAIN, errno.EWOULDBLOCK, errno.ENOBUFS)
_GONE = (errno.EBADF, errno.EPIPE, errno.ECONNRESET, errno.ECONNREFUSED, errno.ENOTCONN)


class DescriptorsLost(OSError):
    """A packet has arrived, and this process may not have the descriptors it brought (EMFILE). `data` is the rest."""

    def __init__(self, data: bytes) -> None:
        super().__init__(errno.EMFILE, os.strerror(errno.EMFILE))
        self.data = data


class Packet(NamedTuple):
    """What has arrived. Empty: nobody is left who could send."""

    data: bytes
    descriptors: Sequence[int]

    def close(self) -> None:
        """Close the descriptors, which nobody wants any more. Once."""
        for descriptor in self.descriptors:
            os.close(descriptor)


class PacketSocket(socket.socket):
    """One end. Dropped, it is closed, and nothing is said: to let go of a handle is no mistake."""

    def __init__(self, descriptor: int) -> None:
        # The kind is given, so that the system is not asked for it.
        super().__init__(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_io_refs"):  # else it was never made
            self.close()

    def copy(self) -> "PacketSocket":
        """Another descriptor of the same end. Raises OSError if there can be none."""
        return PacketSocket(os.dup(self.fileno()))


def packet_pair() -> tuple[PacketSocket, PacketSocket]:
    """Where to send, and where it arrives. Neither waits, and neither is inherited."""
    sending, receiving = (
        PacketSocket(end.detach()) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    )
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
            sock.sendmsg([data], rights, SEND_FLAGS)
        else:
            sock.send(data, SEND_FLAGS)
    except OSError as error:
        check_room(error)
        return False
    return True


def send_waiting(sock: socket.socket, packet: Packet) -> None:
    """Send it, and have the thread wait while there is no room. Raises as `send_packet`."""
    room = room_at(sock)
    while not send_packet(sock, packet.data, packet.descriptors):
        room.poll()


def room_at(end: Any) -> "select.poll":
    """What to poll for room. Raises BrokenPipeError if another thread has closed the end a moment ago."""
    room = select.poll()
    try:
        room.register(end, select.POLLOUT)
    except ValueError:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
    return room


def copies_of(descriptors: Sequence[int]) -> list[int]:
    """Others for the same. Raises OSError, and then there are none."""
    copies: list[int] = []
    try:
        for descriptor in descriptors:
            copies.append(os.dup(descriptor))  # noqa: PERF401  # to be closed, if the next one fails
    except OSError:
        for copy in copies:
            os.close(copy)
        raise
    return copies


def check_room(error: OSError) -> None:
    """Sending has failed: return if there was no room, else raise BrokenPipeError or what it is.

    A socket that was closed on this side is as good as broken: it was closed because the other side has gone.
    """
    if error.errno in _GONE:
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
    if error.errno not in _NO_ROOM:
        raise error


def packet_buffer() -> memoryview:
    """For `receive_packet`. Of pages of its own, which cost nothing until they are used: most packets are small."""
    return memoryview(mmap.mmap(-1, PACKET_MAX, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def receive_packet(sock: socket.socket, buffer: memoryview, flags: int = 0) -> Packet | None:
    """The next packet; None if there is none now.

    Args:
        buffer: a view of PACKET_MAX bytes, overwritten.
        flags: PEEK leaves it there; the descriptors are copies then.

    Raises:
        DescriptorsLost: it brought more descriptors than this process may have.
    """
    try:
        count, rights, state, _address = sock.recvmsg_into([buffer], ANCILLARY, flags | RECEIVE_FLAGS)
    except BlockingIOError:
        return None
    except ConnectionResetError:  # the other side was closed before it had read all that was sent to it
        return Packet(b"", ())
    return _packet_of(bytes(buffer[:count]), rights, state)


def _packet_of(data: bytes, rights: Sequence[tuple[int, int, bytes]], state: int) -> Packet:
    """What recvmsg(2) has brought. Raises as `receive_packet`."""
    if not rights and not state & TRUNCATED:
        return Packet(data, ())
    descriptors = array.array("i")
    for _level, _kind, packed in rights:
        descriptors.frombytes(packed[: len(packed) - len(packed) % descriptors.itemsize])
    if state & TRUNCATED:
        for descriptor in descriptors:
            os.close(descriptor)
        raise DescriptorsLost(data)
    return Packet(data, tuple(descriptors))


class PacketWire(SharedWire):
    """One end, while somebody waits at it. `receive` and `send` are attempts."""

    __slots__ = ("_buffer", "_socket")

    def __init__(self, sock: socket.socket, label: str, forget: Callable[[Any], None]) -> None:
        super().__init__(sock.fileno(), label, forget)
        self._socket = sock
        self._buffer = memoryview(b"")

    def receive(self, flags: int) -> Packet | None:
        """The next packet, if it is there. Flags as for `receive_packet`."""
        if not self._buffer:
            self._buffer = packet_buffer()
        return receive_packet(self._socket, self._buffer, flags)

    def send(self, packet: Packet) -> bool | None:
        """True once it has been sent."""
        self.writable = False  # an edge is for one attempt: the next one may be all that comes
        return send_packet(self._socket, packet.data, packet.descriptors) or None
