"""Pipe: what a work queue's items go through, as the kernel has it.

The kernel is the queue: it keeps the order, takes a record out for one reader
only, and wakes one reader for each write. So no process ever holds a lock that
another one would wait for.

Rules:
  1. One descriptor, for writing and reading: as long as anybody has it, nothing is lost.
  2. A write of records is whole, and never in between another's: it is no longer
     than PIPE_BUF (pipe(7)).
  3. There is always room for as many records as there may be. What is written
     together fills the rest of a page or begins a new one, so pages are half full at the worst.
  4. Who looks into it has the kernel copy it into another pipe as large, which the system may refuse. So whoever
     makes a queue, and who keeps it, has one from the beginning, for all its queues. Others have one
     while they look; where they get none, records that are no items count as items.

Not here: what records say (record.py), how many there may be (gate.py).

Sources: pipe(7), fcntl(2), tee(2).
"""

import array
import ctypes
import errno
import fcntl
import os
import select
import termios
import threading
from io import FileIO
from typing import Any
from weakref import WeakSet

from computicle.engine.pipes import PipeEnd, pipe_pair
from computicle.work.record import DRAINED, KIND_AT, NUDGE, Span, note, span_in
from computicle.work.table import DEAD_MAX

__all__ = ["WorkPipe", "make_pipe", "make_work_pipe"]

PAGE = 4096
NOTES_MAX = 1024  # records that are no items, at once
TEE_NONBLOCK = 2  # SPLICE_F_NONBLOCK

_tee: Any = getattr(ctypes.CDLL(None, use_errno=True), "tee", None)  # Linux has it
if _tee is not None:
    _tee.restype = ctypes.c_ssize_t
    _tee.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t, ctypes.c_uint)


class WorkPipe:
    """The pipe. Never waits. Any thread."""

    def __init__(self, end: PipeEnd, record_size: int) -> None:
        self.end = end
        self.record_size = record_size
        self.number = end.number
        self.readinto = FileIO(end.number, "r", closefd=False).readinto  # into memory: None says that nothing is there
        self._nudge = note(NUDGE, record_size)
        self._size = fcntl.fcntl(self.number, fcntl.F_GETPIPE_SZ)
        self._copy: _Copy | None = None

    def reserve(self) -> None:
        """From now on it can be looked into whatever the system allows then. Raises OSError if it does not now."""
        self._copy = _copy_of(self._size)

    def length(self) -> int:
        """How many records are in it, nudges too."""
        left = array.array("i", [0])
        fcntl.ioctl(self.number, termios.FIONREAD, left)
        return left[0] // self.record_size

    def write(self, records: bytes | bytearray) -> bool:
        """Put records in. False: there is no room, which cannot be as long as the capacity is kept."""
        try:
            os.write(self.number, records)
        except BlockingIOError:
            return False
        return True

    def nudge(self) -> None:
        """Wake one who waits for something to come."""
        self.write(self._nudge)

    def peek(self) -> bytes:
        """All that is in it, which stays there. Raises OSError if the system does not allow that now."""
        found = None if self._copy is None else self._copy.take(self.number)
        if found is None:
            found = _Copy(self._size).take(self.number)
            assert found is not None
        return found

    def items(self) -> int:
        """How many items are in it; more, if the system does not allow to look."""
        try:
            kinds = self.peek()[KIND_AT :: self.record_size]
        except OSError:
            return self.length()
        return len(kinds) - kinds.count(NUDGE) - kinds.count(DRAINED)

    def spans(self) -> list[Span]:
        """Where in the heap the items lie that are in it."""
        records = self.peek()
        found = (span_in(records, at) for at in range(0, len(records), self.record_size))
        return [span for span in found if span is not None]


class _Copy:
    """A pipe into which the kernel copies what is in another one, for it to be read there. Any thread.

    Args:
        size: bytes of the largest one that it is for.
    """

    def __init__(self, size: int) -> None:
        self._lock = threading.Lock()
        self._writing, self._reading = pipe_pair()
        self._size = self._writing.room()
        self._clean = True
        self.enlarge(size)

    def enlarge(self, size: int) -> None:
        """It is for one of that size, too. Raises OSError if the system does not allow that."""
        if size > self._size:
            self._size = _set_size(self._writing.number, size, "to look into a queue")

    def take(self, number: int) -> bytes | None:
        """What is in the pipe of that descriptor. None: another thread is at it, or one in which this one strikes."""
        if not self._lock.acquire(False):
            return None
        try:
            while not self._clean and self._reading.read():
                """An interrupt has struck here, and left something."""
            self._clean = False
            while (count := _tee(number, self._writing.number, self._size, TEE_NONBLOCK)) < 0:
                error = ctypes.get_errno()
                if error == errno.EAGAIN:  # nothing is there
                    count = 0
                    break
                if error != errno.EINTR:
                    raise OSError(error, os.strerror(error))
            parts = []
            while count > 0:
                parts.append(os.read(self._reading.number, count))
                count -= len(parts[-1])
            self._clean = True
            return b"".join(parts)
        finally:
            self._lock.release()

    def leave_behind(self) -> None:
        """In a forked child: it is its parent's."""
        self._lock = threading.Lock()
        self._lock.acquire()  # for good
        self._writing.close()
        self._reading.close()


_copies: "WeakSet[_Copy]" = WeakSet()  # of this process, which its queues have: one


def _copy_of(size: int) -> _Copy:
    for copy in _copies:
        copy.enlarge(size)
        return copy
    copy = _Copy(size)
    _copies.add(copy)
    return copy


def _leave_all_behind() -> None:
    for copy in [*_copies]:
        copy.leave_behind()
    _copies.clear()


def make_pipe() -> PipeEnd:
    """A pipe for all who have this one descriptor, for both directions."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return PipeEnd(os.open(f"/proc/self/fd/{reading}", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC))
    finally:
        os.close(reading)
        os.close(writing)


def make_work_pipe(capacity: int, record_size: int) -> PipeEnd:
    """With room for that many records. Raises OSError if the system does not allow that."""
    end = make_pipe()
    size = 2 * (capacity + DEAD_MAX + NOTES_MAX * 32 // record_size) * record_size
    if size > end.room():
        _set_size(end.number, size, f"for a queue of {capacity} items")
    return end


def _set_size(number: int, size: int, what_for: str) -> int:
    """The size that a pipe has then. Raises OSError."""
    try:
        return fcntl.fcntl(number, fcntl.F_SETPIPE_SZ, size)
    except OSError as error:
        raise OSError(
            error.errno,
            f"the system allows no pipe of {size} bytes here {what_for} "
            "(/proc/sys/fs/pipe-max-size, pipe-user-pages-soft)",
        ) from None


os.register_at_fork(after_in_child=_leave_all_behind)

assert select.PIPE_BUF <= PAGE
