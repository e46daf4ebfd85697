"""Senders: those who wait for room at one end of a way to a computicle.

Rules:
  1. Fibers of one thread are served first come, first served, so what one of
     them sends stays in order.
  2. Each thread has its own crowd of them, which no other touches, and which is
     registered with its engine only as long as there is anybody in it.
  3. The end is closed once no crowd is left; or at once, if it is cut.

Not here: what they send (lane.py, mail.py).
"""

import errno
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from computicle.engine.op import ClosedError, Op
from computicle.engine.packets import Packet
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.locks import Lock
from computicle.scheduler.park import look_around

__all__ = ["Crowd", "Senders", "send_through", "sender_here"]


def sender_here() -> Fiber | None:
    """The fiber that sends, its turn looked at as at any word's; None in a thread that has none (a helper thread)."""
    me = fiber_here()
    if me is not None:
        if me.credit <= 0:
            look_around(me)
        me.credit -= 1
    return me


class Crowd:
    """The fibers of one thread that wait for room. Only that thread touches it."""

    wires: tuple[Any, ...]  # at which they wait

    def __init__(self) -> None:
        self.turn = Lock()
        self.count = 0  # of those who have joined and not left
        self.late: deque[Packet] = deque()  # what was pushed into a lane, and has not gone yet
        self.pushing = False  # a fiber sees to that


class Senders:
    """The crowds of all threads of this process.

    Args:
        make: the wires at which a thread's fibers wait, given its kernel.
        close: closes the end.
    """

    __slots__ = ("_close", "_closed", "_make", "waiting")

    def __init__(self, make: Callable[[Kernel], tuple[Any, ...]], close: Callable[[], None]) -> None:
        self._make = make
        self._close = close
        self._closed = False
        self.waiting: dict[Kernel, Crowd] = {}  # each thread writes its own entry only

    @contextmanager
    def turn(self, me: Fiber) -> Iterator[Crowd]:
        """Wait for one's turn, and have it.

        Raises:
            BrokenPipeError: the end was closed.
        """
        crowd = self.join(me.kernel)
        try:
            with crowd.turn:
                yield crowd
        finally:
            self.leave(me.kernel, crowd)

    def join(self, kernel: Kernel) -> Crowd:
        """One more in that thread's crowd. Raises as `turn`."""
        crowd = self.waiting.get(kernel)
        if crowd is None:
            crowd = self.waiting[kernel] = Crowd()  # first of all: from now on no other thread closes the end
            try:
                crowd.wires = self._make(kernel)
            except BaseException as error:
                del self.waiting[kernel]
                if isinstance(error, ValueError):  # one has, a moment ago
                    raise BrokenPipeError(errno.EPIPE, "it has ended") from None
                raise
        crowd.count += 1
        return crowd

    def leave(self, kernel: Kernel, crowd: Crowd) -> None:
        """One less."""
        crowd.count -= 1
        if crowd.count == 0:
            self.waiting.pop(kernel, None)
            for wire in crowd.wires:
                wire.close()
            if self._closed:
                self.close()

    def close(self) -> None:
        """Nothing more is sent by this process, but what waits for room already."""
        self._closed = True
        if not self.waiting:
            self._close()

    def cut(self) -> None:
        """Nothing more is sent by this process, and who waits for room is told. If no other thread uses it."""
        for crowd in [*self.waiting.values()]:
            for wire in crowd.wires:
                wire.close()
        self._close()


def send_through(me: Fiber, op: Op, attempt: Callable[[Any], Any], what: Any) -> None:
    """Send `what` by the attempt of a wire, as one whose turn it is. Waits for room. Raises as Senders' `turn`.

    Args:
        op: the wire's, at which is waited.
    """
    try:
        if not attempt(what):  # which also forgets an edge that came while nobody waited
            me.kernel.finish_op(me, op, attempt, what)
    except ClosedError:
        raise BrokenPipeError(errno.EPIPE, "it has ended") from None  # and the end was cut for that
