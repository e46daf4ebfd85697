"""Pipes: short records between processes, through a pipe that any number of them may write to.

To send and take a small record costs less than half of what a packet does
(packets.py), for the pipe's bytes lie next to each other, and one read takes many
records: 1.3 microseconds each instead of 2.2, from one core to another.

Rules:
  1. A record is written whole or not at all, and never in between another's:
     it is no longer than PIPE_BUF (pipe(7)). Where one ends is for it to say.
  2. Reading takes all that is there, so no record is cut.
  3. Reading and writing never wait. None says that they would have to.
  4. What has been written before the end is read, however close it was.

Not here: what records say (worlds/), who waits for them (readiness.py).

Sources: pipe(7), write(2).
"""

import array
import fcntl
import os
import select
import termios
from collections.abc import Callable
from typing import Any

from computicle.engine.packets import check_room, room_at
from computicle.engine.pollers import Poller
from computicle.engine.shared import SharedWire

__all__ = ["RECORD_MAX", "PipeEnd", "PipeWire", "pipe_pair", "read_to_the_end", "write_waiting"]

RECORD_MAX = select.PIPE_BUF  # bytes
READS_MAX = 3  # before an end is closed


class PipeEnd:
    """One end, closed when it is dropped. Once closed, its number is none."""

    __slots__ = ("_room", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self._room = 0

    def fileno(self) -> int:
        return self.number

    def write(self, record: bytes) -> bool:
        """Write it. False: there is no room now.

        Raises:
            BrokenPipeError: nobody is left to read it, or this end is closed.
        """
        try:
            os.write(self.number, record)
        except OSError as error:
            check_room(error)
            return False
        return True

    def read(self) -> bytes | None:
        """All that is there; None if there is nothing. Empty: nobody is left who could write."""
        try:
            return os.read(self.number, self.room())
        except BlockingIOError:
            return None

    def room(self) -> int:
        """How many bytes there may be in the pipe at most."""
        if not self._room:
            self._room = fcntl.fcntl(self.number, fcntl.F_GETPIPE_SZ)
        return self._room

    def close(self) -> None:
        """Twice is once."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


def pipe_pair() -> tuple[PipeEnd, PipeEnd]:
    """Where to write, and where to read. Neither waits, and neither is inherited."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    return PipeEnd(writing), PipeEnd(reading)


def write_waiting(end: PipeEnd, record: bytes) -> None:
    """Write it, and have the thread wait while there is no room. Raises as PipeEnd's `write`."""
    room = room_at(end)
    while not end.write(record):
        room.poll()


def read_to_the_end(reading: PipeEnd, writing: PipeEnd) -> bytes:
    """All there is, closing the end for reading: from then on writing fails, and nothing that was written is lost.

    A record may come between the last read and the closing. It stays in the pipe, as long as somebody can write, and
    through an end for writing the system opens another one for reading. Others may write faster than this reads: so it
    closes after some reads, whatever is left.
    """
    parts = []
    while True:
        for _ in range(READS_MAX):
            some = reading.read()
            if some is None:
                break
            parts.append(some)
        reading.close()
        left = array.array("i", [0])
        fcntl.ioctl(writing.number, termios.FIONREAD, left)
        if not left[0]:
            return b"".join(parts)
        reading = PipeEnd(os.open(f"/proc/self/fd/{writing.number}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC))


class PipeWire(SharedWire):
    """One end, while somebody waits at it. `read` and `write` are attempts."""

    __slots__ = ("_end",)

    def __init__(
        self,
        end: PipeEnd,
        label: str,
        forget: Callable[[Any], None],
        poller: Poller | None = None,
        pass_on: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(end.number, label, forget, poller, pass_on)
        self._end = end

    def read(self, _argument: None) -> bytes | None:
        """All that is there."""
        return self._end.read()

    def write(self, record: bytes) -> bool | None:
        """True once it has been written."""
        self.writable = False  # an edge is for one attempt: the next one may be all that comes
        return self._end.write(record) or None
