"""Simnet: in-memory wires and ports, as unkind as a real network.

Each direction of a wire has a window of bytes that may be on their way or
unread. Bytes leave in pieces, arrive late and in order, and are read in
pieces; connections are refused and reset as often as the Network says.

Rules:
  1. What arrives, arrives in order and unchanged: only a reset loses bytes.
  2. An attempt answers None exactly when a later event will attempt it again,
     or when nothing ever will (the other side is silent).
  3. Every choice is drawn from the engine's seed.
  4. Closing only makes events: it may come in the middle of anything.

Not here: time and events (sim.py).
"""

import errno
import math
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from computicle.engine.op import Address, ClosedError, Op
from computicle.engine.text import address_text

if TYPE_CHECKING:
    from computicle.engine.sim import SimEngine

__all__ = ["Network", "SimPort", "SimWire"]


@dataclass(frozen=True)
class Network:
    """What the simulated network is like.

    Attributes:
        latency: least and most seconds for a crossing.
        window: bytes in one direction that may be unread.
        pieces: whether sends and reads may come out shorter than they could.
        resets: how often (0 to 1) a piece breaks the connection instead of arriving.
        refusals: how often a connection is refused although somebody listens.
        names: what the names resolve to.

    Paths of Unix sockets are only names here: nothing is made in the file system.

    Raises:
        TypeError, ValueError: a value that no network can have.
    """

    latency: tuple[float, float] = (0.0001, 0.01)
    window: int = 65_536
    pieces: bool = True
    resets: float = 0.0
    refusals: float = 0.0
    names: dict[str, list[str]] = field(
        default_factory=lambda: {"localhost": ["127.0.0.1"], "127.0.0.1": ["127.0.0.1"], "0.0.0.0": ["0.0.0.0"]}
    )

    def __post_init__(self) -> None:
        bounds = self.latency
        if (
            not isinstance(bounds, tuple)
            or len(bounds) != 2
            or not all(isinstance(one, (int, float)) for one in bounds)
        ):
            raise TypeError(f"Network: latency must be a tuple of two numbers, not {bounds!r}")
        if not 0 <= bounds[0] <= bounds[1] < math.inf:
            raise ValueError(f"Network: latency must be (least, most) seconds, zero or more, not {bounds!r}")
        if not isinstance(self.window, int):
            raise TypeError(f"Network: window must be an int, not {self.window!r}")
        if self.window < 1:
            raise ValueError(f"Network: window must be at least 1, not {self.window!r}")
        for name in ("resets", "refusals"):
            often = getattr(self, name)
            if not isinstance(often, (int, float)):
                raise TypeError(f"Network: {name} must be a number, not {often!r}")
            if not 0 <= often <= 1:
                raise ValueError(f"Network: {name} must be between 0 and 1, not {often!r}")


class SimWire:
    """One end of a connection."""

    def __init__(self, engine: "SimEngine", local: Any, remote: Any) -> None:
        self._engine = engine
        self.local = local
        self.remote = remote
        self._closed = False
        self.reading = Op(lambda: f"data from {address_text(remote)}")
        self.writing = Op(lambda: f"room to send to {address_text(remote)}")
        self._other: SimWire | None = None  # None: not connected yet
        self.broken = 0
        self._fate = 0  # errno of what has ended the connection, told or not
        self._unread = bytearray()
        self._ended = False  # the other side's end has arrived
        self._room = engine.network.window  # bytes that may be sent now
        self._last_arrival = 0.0  # of what this end has sent: later pieces must not overtake
        self._writing_ended = False
        self._cut = False  # nobody is left to send to, though what has been sent can be read

    @property
    def closed(self) -> bool:
        return self._closed or self._engine.closed

    # Attempts.

    def recv(self, count: int) -> bytes | None:
        self._check()
        if not self._unread:
            return b"" if self._ended else None
        data = bytes(self._unread[: self._piece(min(count, len(self._unread)))])
        del self._unread[: len(data)]
        other = self._other
        if other is not None and not other.closed:
            self._engine.after(self._engine.delay(), lambda: other.make_room(len(data)))
        return data

    def recv_into(self, buffer: Any) -> int | None:
        data = self.recv(len(buffer))
        if data is None:
            return None
        buffer[: len(data)] = data
        return len(data)

    def send(self, data: Any) -> int | None:
        self._check_open()
        if self._writing_ended or self._cut or self.broken:
            self.broken = self.broken or errno.EPIPE
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._check()
        if len(data) == 0:
            return 0
        if self._room == 0 or self._other is None:
            return None
        piece = bytes(data[: self._piece(min(len(data), self._room))])
        self._room -= len(piece)
        other = self._other
        if self._engine.chance(self._engine.network.resets):
            self._cross(lambda: self.break_off(errno.ECONNRESET))
        else:
            self._cross(lambda: other.take_in(piece))
        return len(piece)

    def finish_connect(self, _argument: Any) -> bool | None:
        self._check()
        return True if self._other is not None else None

    def end_writing(self) -> None:
        self._check_open()
        if self._fate or self._cut:
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
        self._writing_ended = True
        if self._other is not None:
            self._cross(self._other.take_end)

    def close(self) -> None:
        if self.closed:
            return
        self._closed = True
        other = self._other
        if other is not None and not self._fate:
            if self._unread:  # tcp(7): closing with unread bytes resets the connection
                self._cross(lambda: other.break_off(errno.ECONNRESET))
            elif not self._writing_ended:
                self._cross(other.take_end)
        for op in (self.reading, self.writing):
            self._engine.fail(op, ClosedError(f"closed while waiting for {op}"))
            op.retire()

    # What arrives.

    def open(self, other: "SimWire") -> None:
        self._other = other
        if self.closed:  # given up meanwhile: the other side, which knows nothing of that, is told
            self._cross(lambda: other.break_off(errno.ECONNRESET))
        self._engine.attempt(self.writing)

    def refuse(self, error: int) -> None:
        self._fate = error
        self._engine.attempt(self.writing)

    def take_in(self, piece: bytes) -> None:
        if self.closed:
            if self._other is not None:
                self._cross(lambda other=self._other: other.break_off(errno.ECONNRESET))
            return
        self._unread += piece
        self._engine.attempt(self.reading)

    def take_end(self) -> None:
        self._ended = True
        self._engine.attempt(self.reading)

    def make_room(self, count: int) -> None:
        self._room += count
        self._engine.attempt(self.writing)

    def break_off(self, error: int) -> None:
        """The connection is lost, here and on the other side."""
        for wire in (self, self._other):
            if wire is None or wire._fate:
                continue
            if wire._ended:  # in good order
                wire._cut = True
            else:
                wire._fate = error
                wire._unread.clear()
            self._engine.attempt(wire.reading)
            self._engine.attempt(wire.writing)

    def _cross(self, happen: Any) -> None:
        """Have something happen on the other side, after all that was sent before."""
        arrival = max(self._engine.time + self._engine.delay(), self._last_arrival)
        # Equal times are put in a random order, and these two must not be.
        self._last_arrival = self._engine.after(arrival - self._engine.time, happen) + 1e-9

    def _piece(self, most: int) -> int:
        if most > 1 and self._engine.network.pieces and self._engine.chance(0.5):
            return self._engine.random.randint(1, most)
        return most

    def _check_open(self) -> None:
        if self.closed:
            raise ClosedError("the stream is closed")

    def _check(self) -> None:
        self._check_open()
        if self._fate:
            self.broken = self._fate
            raise OSError(self._fate, os.strerror(self._fate))


class SimPort:
    """A place where simulated connections arrive."""

    def __init__(self, engine: "SimEngine", local: Address, backlog: int) -> None:
        self._engine = engine
        self._backlog = backlog
        self._arrived: deque[SimWire] = deque()
        self._waiting: deque[Callable[[], None]] = deque()  # connections that find the backlog full
        self.local = local
        self._closed = False
        self.reading = Op(lambda: f"a connection to {address_text(local)}")

    @property
    def closed(self) -> bool:
        return self._closed or self._engine.closed

    def accept(self, _argument: Any) -> SimWire | None:
        if self.closed:
            raise ClosedError("the listener is closed")
        if not self._arrived:
            return None
        self.let_in()
        return self._arrived.popleft()

    def full(self) -> bool:
        return len(self._arrived) >= self._backlog

    def wait_for_room(self, arrive: Callable[[], None]) -> None:
        """The backlog is full: `arrive` is called when it may have room."""
        self._waiting.append(arrive)

    def let_in(self) -> None:
        """There is room for one more."""
        if self._waiting:
            self._engine.after(self._engine.delay(), self._waiting.popleft())

    def arrive(self, wire: SimWire) -> None:
        self._arrived.append(wire)
        self._engine.attempt(self.reading)

    def unlink(self) -> None:
        """No path was made."""

    def close(self) -> None:
        if not self.closed:
            self._closed = True
            del self._engine.ports[self.local]
            for wire in self._arrived:
                self._engine.after(self._engine.delay(), partial(wire.break_off, errno.ECONNRESET))
            for arrive in self._waiting:
                self._engine.after(self._engine.delay(), arrive)
            self._engine.fail(self.reading, ClosedError(f"closed while waiting for {self.reading}"))
            self.reading.retire()
