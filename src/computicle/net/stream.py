"""Stream: one connection, read and written like a file, waiting like a word.

Rules:
  1. What has been read from the wire and not asked for stays in the buffer:
     a word that is interrupted has lost nothing.
  2. One fiber reads, one writes; they may be two. A word may wait several
     times: until it is done, the direction is its fiber's.
  3. A line is bounded. One that is too long stays unread.
  4. A send that is interrupted half-way cannot be taken back, so it ends the
     writing side: nobody can send the rest of something else after it.
  5. Nothing of ours holds a stream but the words at work on it, so it is
     dropped when the program has let go of it, and closed then.

Not here: sockets (engine/wire.py), who connects (connect.py, listener.py).
"""

import errno
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import Any, NoReturn, Self

from computicle.engine.op import ClosedError, Wire
from computicle.scheduler.arguments import checked_count
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.park import look_around
from computicle.scheduler.single import Single
from computicle.scheduler.word import entering

__all__ = ["IncompleteRead", "LineTooLong", "Stream", "close_dropped", "was_broken_by"]

LINE_MAX = 65_536  # bytes in a line, unless readline is told otherwise
CHUNK = 65_536  # bytes asked for at once when filling the buffer

ELSEWHERE = "this stream belongs to another thread: use it there"
ENDED = "the writing side was ended with send_eof"


class LineTooLong(ValueError):
    """No end of line within the limit. The bytes stay in the stream, to be read otherwise."""


class IncompleteRead(EOFError):
    """The stream ended before all the bytes had come.

    Attributes:
        partial: those that had.
        wanted: how many there should have been.
    """

    def __init__(self, partial: bytes, wanted: int) -> None:
        super().__init__(partial, wanted)
        self.partial = partial
        self.wanted = wanted

    def __str__(self) -> str:
        return f"the stream ended after {len(self.partial)} of {self.wanted} bytes"


class Stream(Single):
    """A connection: bytes in both directions. A context manager that closes it.

    Iterating gives lines, with their ends, until the other side has sent its last.
    One that is dropped without having been closed is closed then, with a ResourceWarning.

    Attributes:
        remote, local: the addresses of both ends.
    """

    __slots__ = ("__weakref__", "_buffer", "_halted", "_kernel", "_open_for", "_reader", "_unread_for", "_wire")

    def __init__(self, wire: Wire, me: Fiber) -> None:
        self._wire = wire
        self._kernel = me.kernel
        self._buffer = bytearray()  # read from the wire, and not asked for yet
        self._unread_for: Kernel | None = me.kernel  # who may read; None: _reader is at it
        self._reader: Fiber | None = None  # who is filling the buffer, and may wait again
        self._open_for: Kernel | None = me.kernel  # who may send; None: see _halted
        self._halted: Fiber | str = ""  # who is sending, or why nothing more can be sent

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
            RuntimeError: another fiber is reading from it, or it belongs to another thread.
        """
        me = entering()
        if self._buffer or n.__class__ is not int or n < 1 or me.kernel is not self._unread_for:
            return self._take(me, checked_count("recv", "n", n, 0))
        me.credit -= 1
        data = self._wire.recv(n)
        if data is None:
            return me.kernel.finish_op(me, self._wire.reading, self._wire.recv, n)  # type: ignore[no-any-return]
        return data

    def recv_into(self, buffer: Any) -> int:
        """Read what is there into `buffer` (writable). Waits while there is nothing.

        Returns:
            How many bytes it was; 0 once the other side has sent its last.

        Raises:
            As recv.
        """
        me = entering()
        # Released in any case: a traceback may hold it for long, and meanwhile the buffer could not be resized.
        with _bytes_of("recv_into", "buffer", buffer) as view:
            if view.readonly:
                raise TypeError(f"recv_into: buffer must be writable, and {type(buffer).__name__} is not")
            if self._buffer or not view or me.kernel is not self._unread_for:
                data = self._take(me, len(view))
                view[: len(data)] = data
                return len(data)
            me.credit -= 1
            count = self._wire.recv_into(view)
            if count is None:
                count = me.kernel.finish_op(me, self._wire.reading, self._wire.recv_into, view)
            return count

    def readline(self, limit: int = LINE_MAX) -> bytes:
        r"""Read up to and with the next \n. Waits for it.

        Args:
            limit: the longest line, in bytes and with its end.

        Returns:
            The line; without \n if the other side ended first; b"" at the end.

        Raises:
            LineTooLong: no end of line in `limit` bytes; they stay unread.
            As recv. Interrupted, it has read nothing.
        """
        checked_count("readline", "limit", limit, 1)
        me = entering()
        end = self._buffer.find(b"\n", 0, limit)
        if end < 0:
            self._begin_reading(me)
            try:
                end = self._find_end(me, limit)
            finally:
                self._end_reading()
        return self._take(me, end + 1)

    def read_exactly(self, n: int) -> bytes:
        """Read `n` bytes. Waits until they have come.

        Raises:
            IncompleteRead: the other side ended first; its `partial` has what had come.
            As recv. Interrupted, it has read nothing.
        """
        checked_count("read_exactly", "n", n, 0)
        me = entering()
        if len(self._buffer) < n:
            self._begin_reading(me)
            try:
                while len(self._buffer) < n:
                    if not self._fill(me):
                        raise IncompleteRead(self._cut(n), n)
            finally:
                self._end_reading()
        return self._take(me, n)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    # Writing.

    def sendall(self, data: Any) -> None:
        """Send all of `data` (bytes-like). Waits while the other side is slow to take it.

        Interrupted half-way, it cannot be taken back: nothing more can be sent
        on this stream. Interrupted before the first byte, it has sent nothing.

        Raises:
            ConnectionError: the connection is broken.
            ClosedError: the stream is closed on this side, or its writing side has ended.
            RuntimeError: another fiber is sending, or it belongs to another thread.
        """
        me = entering()
        if me.kernel is not self._open_for:
            self._refuse(me)
        view = None
        if type(data) is not bytes:
            data = view = _bytes_of("sendall", "data", data)
        try:
            me.credit -= 1
            sent = self._wire.send(data)
            if sent != len(data):
                self._send_rest(me, data, sent or 0)
        finally:
            if view is not None:
                view.release()  # as in recv_into

    def send_eof(self) -> None:
        """Say that nothing more will be sent; reading goes on. Never waits.

        Raises:
            ConnectionError: the connection is broken.
            ClosedError: the stream is closed, or a send was cut short: the other side would take the piece for all.
            RuntimeError: another fiber is sending, or it belongs to another thread.
        """
        if self._wire.closed:
            raise ClosedError("the stream is closed")
        self._kernel.check_thread(ELSEWHERE)
        if self._open_for is None and not isinstance(self._halted, str):
            raise RuntimeError(f"fiber {self._halted.name!r} is still sending on this stream")
        if self._halted != ENDED:
            if self._open_for is None and not self._wire.broken:
                raise ClosedError(self._halted)
            self._wire.end_writing()
            self._open_for, self._halted = None, ENDED

    def close(self) -> None:
        """Close both directions. Never waits; closing twice does nothing more.

        A fiber that is reading or sending is told with ClosedError.

        Raises:
            RuntimeError: it belongs to another thread.
        """
        if not self._wire.closed:
            self._kernel.check_thread(ELSEWHERE)
            self._wire.close()
            self._buffer.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _ending() and hasattr(self, "_wire") and not self._wire.closed:
            close_dropped(self, self._kernel, self._wire.close)

    def __repr__(self) -> str:
        return f"<Stream {'closed, ' if self.closed else ''}{self.local} to {self.remote}>"

    # Reading: helpers.

    def _begin_reading(self, me: Fiber) -> None:
        """Around the waits of one word: nobody else may read in between."""
        self._check_reader(me)
        self._unread_for, self._reader = None, me

    def _end_reading(self) -> None:
        self._unread_for, self._reader = self._kernel, None

    def _find_end(self, me: Fiber, limit: int) -> int:
        """Read until there is an end of line; where it is."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched, limit)) < 0:
            searched = len(self._buffer)
            if searched >= limit:
                raise LineTooLong(f"no end of line within {limit} bytes: raise the limit, or read with recv")
            if not self._fill(me):
                return searched - 1
        return end

    def _fill(self, me: Fiber) -> bool:
        """Read more into the buffer. False: there is no more."""
        if me.credit <= 0:
            look_around(me)
        me.credit -= 1
        wire, buffer = self._wire, self._buffer
        data = _take_in(wire, buffer, CHUNK)
        if data is None:
            data = me.kernel.finish_op(me, wire.reading, partial(_take_in, wire, buffer), CHUNK)
        return bool(data)

    def _take(self, me: Fiber, n: int) -> bytes:
        """Out of the buffer, at most `n` bytes."""
        self._check_reader(me)
        me.credit -= 1
        return self._cut(n)

    def _cut(self, n: int) -> bytes:
        data = bytes(memoryview(self._buffer)[:n])
        del self._buffer[:n]
        return data

    def _check_reader(self, me: Fiber) -> None:
        """Raise unless `me` may read now."""
        reader = self._reader or self._wire.reading.waiter
        if reader is None and me.kernel is self._kernel and not self._wire.closed:
            return
        me.credit -= 1
        if self._wire.closed:
            raise ClosedError("the stream is closed")
        if me.kernel is not self._kernel:
            raise RuntimeError(ELSEWHERE)
        assert reader is not None
        raise RuntimeError(f"fiber {reader.name!r} is already reading from this stream: one fiber at a time")

    # Writing: helpers.

    def _refuse(self, me: Fiber) -> NoReturn:
        """Nothing can be sent: say why."""
        me.credit -= 1
        if self._wire.closed:
            raise ClosedError("the stream is closed")
        if me.kernel is not self._kernel:
            raise RuntimeError(ELSEWHERE)
        if isinstance(self._halted, str):
            raise ClosedError(self._halted)
        raise RuntimeError(f"fiber {self._halted.name!r} is already sending on this stream: one fiber at a time")

    def _send_rest(self, me: Fiber, data: Any, done: int) -> None:
        wire = self._wire
        self._open_for, self._halted = None, me
        with memoryview(data) as view:
            try:
                while done < len(view):
                    if me.credit <= 0:
                        look_around(me)
                    with view[done:] as rest:
                        count = wire.send(rest)
                        if count is None:
                            count = me.kernel.finish_op(me, wire.writing, wire.send, rest)
                        else:
                            me.credit -= 1
                    done += count
            except BaseException as error:
                if done:
                    self._halted = f"a send was cut short after {done} of {len(view)} bytes by {type(error).__name__}"
                else:
                    self._open_for, self._halted = self._kernel, ""
                raise
        self._open_for, self._halted = self._kernel, ""


def was_broken_by(stream: Stream, error: BaseException) -> bool:
    """True if `error` says that the connection itself is lost."""
    broken = stream._wire.broken
    return broken != 0 and isinstance(error, OSError) and error.errno in (broken, errno.EPIPE)


def close_dropped(owner: object, kernel: Kernel, close: Callable[[], None]) -> None:
    """`owner` is being finalized, and is open: close it, and warn.

    Any thread, and in the middle of anything, for the collector picks its own moments.
    """
    if kernel.engine.process == os.getpid():  # else it is a fork's copy, made beside the kernel that goes on using it
        text = f"unclosed {owner!r}: close it, or use it in a with-statement"
        close()
        warnings.warn(text, ResourceWarning, stacklevel=3, source=owner)


def _take_in(wire: Wire, buffer: bytearray, count: int) -> bytes | None:
    """An attempt. What comes is in the buffer from that moment, whenever the fiber gets to run.

    Not a method: the wire keeps its last attempt, and would keep the stream.
    """
    data = wire.recv(count)
    if data:
        buffer += data
    return data


def _bytes_of(word: str, name: str, data: Any) -> memoryview:
    """The bytes of anything bytes-like, one by one. Raises TypeError."""
    try:
        view = memoryview(data)
    except TypeError:
        remedy = ": encode it" if isinstance(data, str) else ""
        raise TypeError(f"{word}: {name} must be bytes-like, not {type(data).__name__}{remedy}") from None
    if view.nbytes == 0:
        return memoryview(bytearray())  # empty views cannot always be cast
    return view.cast("B")
