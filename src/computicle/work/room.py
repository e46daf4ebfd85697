"""Room: what many wait for, in any process, until somebody makes some.

Rules:
  1. Who waits says so first, then looks once more, then sleeps. Who makes room looks
     whether anybody waits, and only then wakes one.
  2. Of all who sleep one is woken. If there may be room for more, that one wakes
     the next. So does one who leaves by an error, for it may have been woken, and the keeper, when somebody has died.
  3. Fibers of one thread are served in the order in which they came.

Not here: what there must be room for (gate.py, heap.py).
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from computicle.engine.pipes import PipeEnd, PipeWire
from computicle.engine.threads import HELPER
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.locks import Lock
from computicle.scheduler.park import park
from computicle.scheduler.timeouts import Expiry, park_until

__all__ = ["Room", "may_come_from_threads"]

T = TypeVar("T")

BYTES_MAX = 64  # taken at once: each is a wake


class Room:
    """Where to wait for it, and where to tell.

    Args:
        hint: one byte of shared memory: not zero while somebody may wait.
        end: a pipe of which all have both ends.
        label: what is waited for.
    """

    def __init__(self, hint: memoryview, end: PipeEnd, label: str) -> None:
        self._hint = hint
        self.end = end
        self._label = label
        self._turns: dict[Kernel, _Turn] = {}  # each thread writes its own entry only
        self.outside = True  # other processes or threads may make room

    def announce(self) -> None:
        """There is some. Never waits. Any thread."""
        if self._hint[0]:
            self._hint[0] = 0
            self.call()

    def call(self) -> None:
        """Wake one who waits, if somebody does. Never waits. Any thread."""
        with suppress(BlockingIOError):  # then there are more wakes than anybody needs
            os.write(self.end.number, b"\0")

    def wait(self, me: Fiber, attempt: Callable[[], T | None], timeout: float | None) -> T:
        """What the attempt brings, as soon as that is not None. Waits.

        Raises:
            TimeoutError: it brought nothing within `timeout` seconds.
        """
        kernel = me.kernel
        began = kernel.now() if timeout is not None else 0.0
        turn = self._turns.get(kernel)
        if turn is None:
            turn = self._turns[kernel] = _Turn()
        first = turn.count == 0
        turn.count += 1
        try:
            with _Queued(turn.lock, timeout):
                if timeout is not None and not first:
                    timeout = max(0.0, timeout - (kernel.now() - began))
                got = self._wait_first(me, turn, attempt, timeout)
        except BaseException:
            self._leave(kernel, turn)
            self.call()  # only now: it must not be the one who is woken
            raise
        self._leave(kernel, turn)
        return got

    def _leave(self, kernel: Kernel, turn: "_Turn") -> None:
        turn.count -= 1
        if turn.count == 0:
            del self._turns[kernel]
            if turn.wire is not None:
                turn.wire.close()

    def _wait_first(self, me: Fiber, turn: "_Turn", attempt: Callable[[], T | None], timeout: float | None) -> T:
        woken = self._take_wakes()  # left by one who needed none: else they would wake this one for nothing
        self._hint[0] = 1  # only now: whoever has struck it off has also sent a wake, which must not be among those
        found = attempt()
        if found is not None:
            if woken:
                self.call()
            return found
        if turn.wire is None:
            turn.wire = me.kernel.engine.records(self.end, self._label, level=True, pass_on=self.call)
        op = turn.wire.reading
        expiry = None if timeout is None else Expiry(me, op, timeout)
        turn.wire.heed()
        op.attempt = lambda _argument: self._look(attempt)
        op.waiter = me
        me.why = op
        engine = me.kernel.engine
        engine.waiting += self.outside
        try:
            got: T = park(me) if expiry is None else park_until(me, expiry)
        finally:
            engine.waiting -= self.outside
            op.retire()
        self.call()  # the next one may find room, too
        return got

    def _look(self, attempt: Callable[[], T | None]) -> T | None:
        if not self._take_wakes():
            return None  # another one has been quicker
        self._hint[0] = 1
        return attempt()

    def _take_wakes(self) -> bool:
        try:
            return bool(os.read(self.end.number, BYTES_MAX))
        except BlockingIOError:
            return False


class _Turn:
    """The fibers of one thread that wait, and where the first of them does."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.wire: PipeWire | None = None


class _Queued:
    """The lock of a turn, within a timeout."""

    def __init__(self, lock: Lock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> None:
        self._lock.acquire(self._timeout)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def may_come_from_threads() -> bool:
    """There are threads that could have a kernel of their own, now or later."""
    return threading.active_count() > 1 and any(
        thread is not threading.current_thread() and not thread.name.startswith(HELPER)
        for thread in threading.enumerate()
    )
