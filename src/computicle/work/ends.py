"""Ends: the pipe that a work queue's items go through, as the kernel has it.

The kernel is the queue: it keeps the order, takes a record out for one reader
only, and wakes one reader for each write. So no process ever holds a lock that
another one would wait for.

Rules:
  1. One descriptor, for writing and reading: as long as anybody has it, nothing is lost.
  2. A write of records is whole, and never in between another's: it is no longer
     than PIPE_BUF (pipe(7)).
  3. There is always room for as many records as there may be. What is written
     together fills the rest of a page or begins a new one, so pages are half full at the worst.

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
from io import FileIO
from typing import Any

from computicle.engine.pipes import PipeEnd
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
        """All that is in it, which stays there."""
        size = fcntl.fcntl(self.number, fcntl.F_GETPIPE_SZ)
        reading, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, size)
            while (count := _tee(self.number, writing, size, TEE_NONBLOCK)) < 0:
                error = ctypes.get_errno()
                if error == errno.EAGAIN:  # nothing is there
                    return b""
                if error != errno.EINTR:
                    raise OSError(error, os.strerror(error))
            parts = []
            while count > 0:
                parts.append(os.read(reading, count))
                count -= len(parts[-1])
            return b"".join(parts)
        finally:
            os.close(reading)
            os.close(writing)

    def items(self) -> int:
        """How many items are in it."""
        kinds = self.peek()[KIND_AT :: self.record_size]
        return len(kinds) - kinds.count(NUDGE) - kinds.count(DRAINED)

    def spans(self) -> list[Span]:
        """Where in the heap the items lie that are in it."""
        records = self.peek()
        found = (span_in(records, at) for at in range(0, len(records), self.record_size))
        return [span for span in found if span is not None]


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
        try:
            fcntl.fcntl(end.number, fcntl.F_SETPIPE_SZ, size)
        except OSError as error:
            raise OSError(
                error.errno,
                f"the system allows no pipe of {size} bytes here, which a queue of {capacity} items needs "
                "(/proc/sys/fs/pipe-max-size, pipe-user-pages-soft)",
            ) from None
    return end


assert select.PIPE_BUF <= PAGE
