"""Locks: for invariants that must hold across a wait.

Between two waits nothing else of the thread's fibers runs, so plain state
needs no lock. These are for work that waits in the middle.

Rules:
  1. First come, first served: what is released goes straight to the longest
     waiter, and nobody who comes later can overtake it.
  2. Only its holder may release a Lock.

Not here: locks between threads or processes.
"""

from types import TracebackType
from typing import Self

from computicle.scheduler.arguments import checked_count, checked_timeout
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import running
from computicle.scheduler.line import Line
from computicle.scheduler.single import Single
from computicle.scheduler.word import entering

__all__ = ["Lock", "Semaphore"]


class Semaphore(Single):
    """At most `n` fibers at once. A context manager.

    Args:
        n: how many acquisitions fit, 1 or more.
    """

    def __init__(self, n: int) -> None:
        checked_count("Semaphore", "n", n, 1)
        self._n = n
        self._free = n
        self._line = Line("a semaphore")

    def acquire(self, timeout: float | None = None) -> None:
        """Take one. Waits while none is free.

        Raises:
            TimeoutError: none came free within `timeout` seconds.
        """
        timeout = checked_timeout("acquire", timeout)
        me = entering()
        if self._free:
            self._free -= 1
            me.credit -= 1
        else:
            me.credit -= 1
            self._line.wait(me, timeout)

    def release(self) -> None:
        """Give one back, to the longest waiter if there is one. Never waits.

        Raises:
            RuntimeError: more were released than acquired.
        """
        if self._line.wake_first() is not None:
            return
        if self._free == self._n:
            raise RuntimeError("Semaphore: released more often than acquired")
        self._free += 1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<Semaphore {self._free} of {self._n} free, {len(self._line.fibers)} waiting>"


class Lock(Single):
    """One fiber at a time. A context manager; not re-entrant."""

    def __init__(self) -> None:
        self._holder: Fiber | None = None
        self._line = Line("a lock")

    @property
    def locked(self) -> bool:
        """True while a fiber holds it."""
        return self._holder is not None

    def acquire(self, timeout: float | None = None) -> None:
        """Take it. Waits while another fiber holds it.

        Raises:
            TimeoutError: it did not come free within `timeout` seconds.
            RuntimeError: this fiber holds it already.
        """
        timeout = checked_timeout("acquire", timeout)
        me = entering()
        if self._holder is None:
            self._holder = me
            me.credit -= 1
        elif self._holder is me:
            raise RuntimeError("Lock: this fiber holds it already: it would wait for itself forever")
        else:
            me.credit -= 1
            self._line.wait(me, timeout)

    def release(self) -> None:
        """Give it back, to the longest waiter if there is one. Never waits.

        Raises:
            RuntimeError: this fiber does not hold it.
        """
        if self._holder is not running():
            raise RuntimeError("Lock: only the fiber that holds it can release it")
        woken = self._line.wake_first()
        self._holder = None if woken is None else woken[0]

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        holder = f"held by {self._holder.name!r}" if self._holder is not None else "free"
        return f"<Lock {holder}, {len(self._line.fibers)} waiting>"
