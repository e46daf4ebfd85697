"""Stream: one connection, read and written like a file, waiting like a word.

Rules:
  1. What has been read from the wire and not asked for stays in the buffer:
     a word that is interrupted has lost nothing.
  2. One fiber reads, one writes; they may be two.
  3. A line is bounded. One that is too long stays unread.
  4. A send that is interrupted half-way cannot be taken back, so it ends the
     writing side: nobody can send the rest of something else after it.

Not here: sockets (engine/wire.py), who connects (connect.py, listener.py).
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

from computicle.engine.op import ClosedError, Wire
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.word import entering

__all__ = ["IncompleteRead", "LineTooLong", "Stream"]

LINE_MAX = 65_536  # bytes in a line, unless readline is told otherwise
CHUNK = 65_536  # bytes asked for at once when filling the buffer


class LineTooLong(ValueError):
    """No end of line within the limit. The bytes stay in the stream, to be read otherwise."""


class IncompleteRead(EOFError):
    """The stream ended before all the bytes had come.

    Attributes:
        partial: those that had.
    """

    def __init__(self, partial: bytes, wanted: int) -> None:
        super().__init__(f"the stream ended after {len(partial)} of {wanted} bytes")
        self.partial = partial


class Stream:
    """A connection: bytes in both directions. A context manager that closes it.

    Iterating gives lines, with their ends, until the other side has sent its last.

    Attributes:
        remote, local: the addresses of both ends.
    """

    __slots__ = ("_broken", "_buffer", "_kernel", "_wire")

    def __init__(self, wire: Wire, me: Fiber) -> None:
        self._wire = wire
        self._kernel = me.kernel
        self._buffer = bytearray()  # read from the wire, and not asked for yet
        self._broken: str | None = None  # why nothing more can be sent

    @property
    def remote(self) -> Any:
        """The other side's address."""
        return self._wire.remote

    @property
    def local(self) -> Any:
        """This side's address."""
        return self._wire.local

    @property
    def closed(self) -> bool:
        """True once it has been closed on this side."""
        return self._wire.closed

    # Reading.

    def recv(self, n: int = CHUNK) -> bytes:
        """Read what is there, at most `n` bytes. Waits while there is nothing.

        Returns:
            b"" once the other side has sent its last byte.

        Raises:
            ConnectionError: the connection was reset.
            ClosedError: the stream is closed on this side.
            RuntimeError: another fiber is reading from it.
        """
        me = entering()
        if self._buffer or n < 1:
            return self._from_buffer(n, me)
        data = self._wire.recv(n)
        if data is None:
            return self._read(me, self._wire.recv, n)  # type: ignore[no-any-return]
        me.credit -= 1
        return data

    def recv_into(self, buffer: Any) -> int:
        """Read what is there into `buffer` (writable). Waits while there is nothing.

        Returns:
            How many bytes it was; 0 once the other side has sent its last.

        Raises:
            As recv.
        """
        me = entering()
        view = memoryview(buffer).cast("B")
        if self._buffer or not view:
            data = self._from_buffer(len(view), me)
            view[: len(data)] = data
            return len(data)
        count = self._wire.recv_into(view)
        if count is None:
            return self._read(me, self._wire.recv_into, view)  # type: ignore[no-any-return]
        me.credit -= 1
        return count

    def readline(self, limit: int = LINE_MAX) -> bytes:
        r"""Read up to and with the next \n. Waits for it.

        Args:
            limit: the longest line, in bytes and with its end.

        Returns:
            The line; without \n if the other side ended first; b"" at the end.

        Raises:
            LineTooLong: no end of line in `limit` bytes; they stay unread.
            As recv.
        """
        searched = 0
        while (end := self._buffer.find(b"\n", searched, limit)) < 0:
            searched = len(self._buffer)
            if searched >= limit:
                raise LineTooLong(f"no end of line within {limit} bytes: raise the limit, or read with recv")
            if not self._fill():
                end = len(self._buffer) - 1
                break
        else:
            me = entering()
            return self._from_buffer(end + 1, me)
        return self._from_buffer(end + 1, entering())

    def read_exactly(self, n: int) -> bytes:
        """Read `n` bytes. Waits until they have come.

        Raises:
            IncompleteRead: the other side ended first; its `partial` has what had come.
            As recv. Interrupted, it has read nothing.
        """
        if n < 0:
            raise ValueError(f"read_exactly: n must be 0 or more, not {n}")
        while len(self._buffer) < n:
            if not self._fill():
                raise IncompleteRead(self._from_buffer(n, entering()), n)
        return self._from_buffer(n, entering())

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    # Writing.

    def sendall(self, data: Any) -> None:
        """Send all of `data` (bytes-like). Waits while the other side is slow to take it.

        Raises:
            ConnectionError: the connection is broken.
            ClosedError: the stream is closed on this side, or its writing side has ended.
            RuntimeError: another fiber is sending.
        """
        me = entering()
        if self._broken is not None:
            raise ClosedError(self._broken)
        sent = self._wire.send(data)
        if sent == len(data):
            me.credit -= 1
            return
        self._send_rest(me, data, sent)

    def send_eof(self) -> None:
        """Say that nothing more will be sent; reading goes on. Never waits.

        Raises:
            ClosedError: the stream is closed.
        """
        if self._wire.closed:
            raise ClosedError("the stream is closed")
        if self._broken is None:
            self._broken = "the writing side was ended with send_eof"
            self._wire.end_writing()

    def close(self) -> None:
        """Close both directions. Never waits; closing twice does nothing more.

        A fiber that is reading or sending is told with ClosedError.
        """
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._wire.close()

    def __repr__(self) -> str:
        return f"<Stream {'closed, ' if self.closed else ''}{self.local} to {self.remote}>"

    # Helpers.

    def _read(self, me: Fiber, attempt: Any, argument: Any) -> Any:
        self._check_kernel(me)
        return me.kernel.finish_op(me, self._wire.reading, attempt, argument)

    def _fill(self) -> bool:
        """Read more into the buffer. False: there is no more."""
        me = entering()
        data = self._wire.recv(CHUNK)
        if data is None:
            data = self._read(me, self._wire.recv, CHUNK)
        else:
            me.credit -= 1
        self._buffer += data
        return bool(data)

    def _from_buffer(self, n: int, me: Fiber) -> bytes:
        if self._wire.reading.waiter is not None:
            raise RuntimeError(f"fiber {self._wire.reading.waiter.name!r} is already reading from this stream")
        if n < 0:
            raise ValueError(f"recv: n must be 0 or more, not {n}")
        me.credit -= 1
        data = bytes(memoryview(self._buffer)[:n])
        del self._buffer[:n]
        return data

    def _send_rest(self, me: Fiber, data: Any, sent: int | None) -> None:
        done = sent or 0
        wire = self._wire
        self._check_kernel(me)
        with memoryview(data).cast("B") as view:
            try:
                while done < len(view):
                    count = wire.send(view[done:])
                    if count is None:
                        count = me.kernel.finish_op(me, wire.writing, wire.send, view[done:])
                    done += count
            except BaseException as error:
                if done:
                    self._broken = f"a send was cut short after {done} of {len(view)} bytes by {type(error).__name__}"
                raise

    def _check_kernel(self, me: Fiber) -> None:
        if me.kernel is not self._kernel:
            raise RuntimeError("this stream belongs to another thread: use it there")
