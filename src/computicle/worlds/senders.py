"""Senders: those who wait for room at one end of a way to a computicle.

Rules:
  1. Fibers of one thread are served first come, first served, so what one of
     them sends stays in order.
  2. The end is registered with their engine only as long as they wait.

Not here: what they send (lane.py, mail.py).
"""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from computicle.engine.op import Op
from computicle.engine.shared import SharedWire
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.locks import Lock

__all__ = ["Senders", "send_through"]


class _Turns:
    """The fibers of one thread."""

    def __init__(self, wires: tuple[Any, ...]) -> None:
        self.wires = wires
        self.lock = Lock()
        self.count = 0


class Senders:
    """Those of all threads of this process: `waiting` has any, by kernel.

    Args:
        make: the wires at which a thread's fibers wait; given its kernel.
        is_closed: whether this process has closed the end meanwhile.
    """

    __slots__ = ("_is_closed", "_make", "waiting")

    def __init__(self, make: Callable[[Kernel], tuple[SharedWire, ...]], is_closed: Callable[[], bool]) -> None:
        self.waiting: dict[Kernel, _Turns] = {}
        self._make = make
        self._is_closed = is_closed

    @contextmanager
    def turn(self, me: Fiber) -> Iterator[Any]:
        """Wait for one's turn, and have it; the wires.

        Raises:
            BrokenPipeError: the end was closed.
        """
        turns = self.waiting.get(me.kernel)
        if turns is None:
            turns = self.waiting[me.kernel] = _Turns(self._make(me.kernel))
        turns.count += 1
        try:
            with turns.lock:
                yield turns.wires
        except OSError:
            if not self._is_closed():
                raise
            raise BrokenPipeError(errno.EPIPE, "it has ended") from None  # and the end was closed for that
        finally:
            turns.count -= 1
            if turns.count == 0:
                self.waiting.pop(me.kernel, None)
                for wire in turns.wires:
                    wire.close()

    def close(self) -> None:
        """Whoever waits is told."""
        for turns in [*self.waiting.values()]:
            for wire in turns.wires:
                wire.close()


def send_through(me: Fiber, op: Op, attempt: Callable[[Any], Any], what: Any) -> None:
    """Send it by the attempt of a wire whose turn it is. Waits while there is no room."""
    if not attempt(what):  # which also forgets an edge that came while nobody waited
        me.kernel.finish_op(me, op, attempt, what)
