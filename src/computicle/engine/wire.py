"""Wires and ports over real sockets: attempts that never wait.

The poller speaks of each change once (edge-triggered), so what it said is
remembered here: `readable` and `writable` stay true until an attempt finds
nothing. A read that brings less than was asked for has emptied the socket, so
the next one can wait for an event without asking the system first (epoll(7),
Q&A 9); unless the other side has ended, when the end itself is still to be
read, or the socket is a Unix one, where a read stops behind each descriptor
that is passed (unix(7)).

The system tells once what has broken a connection, to whoever reads or sends
next, and calls it an end from then on. So that is remembered, too.

Rules:
  1. An attempt answers None exactly when it would wait, and then the next
     event for the descriptor is sure to come.
  2. `readable` is false only if an event will follow; a doubt makes it true.
  3. A descriptor is closed once, and its engine forgets it first.
  4. A connection that was broken off never reads as one that has ended.

Not here: events (readiness.py), buffering and lines (net/stream.py).
"""

import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, NoReturn

from computicle.engine.op import Address, ClosedError, Op
from computicle.engine.text import address_text

__all__ = ["SocketPort", "SocketWire"]

_BUSY = (errno.EINPROGRESS, errno.EALREADY, errno.EWOULDBLOCK, errno.EAGAIN)

# What breaks a connection off, both ways (tcp(7)). EPIPE is not among them: it ends only sending.
_BREAKS = (errno.ECONNRESET, errno.ECONNABORTED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)

# A connection that was lost while it stood in line: accept(2) tells its error, and the next one may be well.
_LEFT = tuple(
    getattr(errno, name)
    for name in (
        "ECONNABORTED",
        "ENETDOWN",
        "EPROTO",
        "ENOPROTOOPT",
        "EHOSTDOWN",
        "ENONET",
        "EHOSTUNREACH",
        "EOPNOTSUPP",
        "ENETUNREACH",
        "EPERM",
    )
    if hasattr(errno, name)
)


class SocketWire:
    """One connected, non-blocking stream socket."""

    __slots__ = (
        "_forget",
        "_recv",
        "_recv_into",
        "_send",
        "_socket",
        "broken",
        "closed",
        "descriptor",
        "doubtful",
        "local",
        "readable",
        "reading",
        "remote",
        "writable",
        "writing",
    )

    def __init__(self, sock: socket.socket, remote: Any, forget: Callable[[Any], None]) -> None:
        self._socket = sock
        self._recv: Callable[[int], bytes] = sock.recv
        self._recv_into: Callable[[Any], int] = sock.recv_into
        self._send: Callable[[Any], int] = sock.send
        self._forget = forget
        self.descriptor = sock.fileno()
        self.remote = remote
        self.local: Any = None
        self.readable = True
        self.writable = True
        # Short reads prove nothing: this is a Unix socket, or the poller saw the other side's end, or urgent data.
        self.doubtful = sock.family == socket.AF_UNIX
        self.broken: int = 0  # errno of what an attempt was told has broken it
        self.closed = False
        # Not through self: it would hold itself, and wait for the collector in the end.
        self.reading = Op(lambda: f"data from {address_text(remote)}")
        self.writing = Op(lambda: f"room to send to {address_text(remote)}")

    def recv(self, count: int) -> bytes | None:
        if not self.readable:
            return None
        try:
            data = self._recv(count)
        except BlockingIOError:
            self.readable = False
            return None
        except OSError as error:
            self._note(error)
            raise
        if len(data) < count:
            if not data:
                self._check_end()
            elif not self.doubtful:
                self.readable = False
        return data

    def recv_into(self, buffer: Any) -> int | None:
        if not self.readable:
            return None
        try:
            count = self._recv_into(buffer)
        except BlockingIOError:
            self.readable = False
            return None
        except OSError as error:
            self._note(error)
            raise
        if count < len(buffer):
            if not count:
                self._check_end()
            elif not self.doubtful:
                self.readable = False
        return count

    def send(self, data: Any) -> int | None:
        if not self.writable:
            return None
        try:
            return self._send(data)
        except BlockingIOError:
            self.writable = False
            return None
        except OSError as error:
            self._note(error)
            raise

    def _note(self, error: OSError) -> None:
        number = error.errno or 0
        if number in _BREAKS or (number == errno.EPIPE and not self.broken):
            self.broken = number

    def _check_end(self) -> None:
        """The system says that the other side has ended. Raises OSError if it has been told something else before."""
        if self.broken in _BREAKS:
            raise OSError(self.broken, os.strerror(self.broken))

    def start_connect(self, address: Any) -> None:
        """Begin; `finish_connect` tells the outcome. Raises OSError if it failed at once."""
        error = self._socket.connect_ex(address)
        if error not in (0, *_BUSY):
            raise OSError(error, os.strerror(error))
        if error in (errno.EAGAIN, errno.EWOULDBLOCK) and self._socket.family == socket.AF_UNIX:
            # connect(2): a Unix socket whose listener's backlog is full answers so, and no event follows.
            raise BlockingIOError(error, "the listener's backlog is full")
        self.writable = error == 0

    def unheeded(self) -> None:
        """There is something to read, and nobody waits for it: that is remembered."""

    def finish_connect(self, _argument: Any) -> bool | None:
        if not self.writable:
            return None
        error = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        try:
            self._socket.getpeername()
        except OSError as reason:
            if reason.errno != errno.ENOTCONN:
                raise
            self.writable = False
            return None
        self.settle()
        return True

    def settle(self) -> None:
        """Once connected: small writes leave at once, and the own address is known."""
        if self._socket.family != socket.AF_UNIX:
            with contextlib.suppress(OSError):  # the other side may be gone already
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            self.local = self._socket.getsockname()

    def end_writing(self) -> None:
        """Half-close: the other side reads the end, and can still send. Raises BrokenPipeError if it is gone."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
        except OSError as error:
            if error.errno != errno.ENOTCONN:
                raise
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._forget(self)
            self._socket.close()
            self._recv = self._recv_into = self._send = _refuse  # attempts need not ask whether it is closed
            self.readable = self.writable = True
            self.reading.retire()
            self.writing.retire()


def _refuse(_argument: Any) -> NoReturn:
    raise ClosedError("the stream is closed")


class SocketPort:
    """One listening, non-blocking socket."""

    __slots__ = (
        "_adopt",
        "_forget",
        "_made",
        "_socket",
        "closed",
        "descriptor",
        "doubtful",
        "local",
        "readable",
        "reading",
        "writable",
        "writing",
    )

    def __init__(
        self,
        sock: socket.socket,
        adopt: Callable[[socket.socket, Any], SocketWire],
        forget: Callable[[Any], None],
    ) -> None:
        self._socket = sock
        self._adopt = adopt
        self._forget = forget
        self.descriptor = sock.fileno()
        self.local: Address = sock.getsockname()
        self._made: tuple[str, int, int] | None = None  # the path that bind has made: name, device, inode
        self.readable = True
        self.writable = self.doubtful = False  # these two and `writing`: so that the engine need not ask what it has
        self.closed = False
        local = self.local
        self.reading = Op(lambda: f"a connection to {address_text(local)}")
        self.writing = Op(str)

    def accept(self, _argument: Any) -> SocketWire | None:
        while self.readable:
            try:
                sock, remote = self._socket.accept()
            except BlockingIOError:
                self.readable = False
            except OSError as error:
                if error.errno not in _LEFT:
                    raise
            else:
                wire = self._adopt(sock, remote)
                wire.settle()
                return wire
        return None

    def unheeded(self) -> None:
        """As a wire's."""

    def remember_path(self) -> None:
        """Note the path that it was bound to, to be removed in the end."""
        if self._socket.family == socket.AF_UNIX and isinstance(self.local, str) and self.local:
            path = os.path.abspath(self.local)
            found = os.stat(path)
            self._made = (path, found.st_dev, found.st_ino)

    def unlink(self) -> None:
        """Remove that path, unless somebody else has put something there meanwhile."""
        if self._made is not None:
            path, *made = self._made
            with contextlib.suppress(OSError):
                found = os.stat(path)
                if [found.st_dev, found.st_ino] == made:
                    os.unlink(path)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._forget(self)
            self._socket.close()
            self.reading.retire()
