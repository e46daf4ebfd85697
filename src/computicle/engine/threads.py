"""Threads: blocking calls, dressed as operations that complete.

A bounded crew of daemon threads takes calls from one queue. Threads are made
when a call finds none idle, and end when they have been idle for a while.
They are daemons on purpose: a call that was given up on (a read from a
terminal, a dead mount) must not hold up the end of the program.

Rules:
  1. At most `threads_max` calls run at once; the others wait their turn.
  2. A call withdrawn before its turn never runs; one that runs is left to end
     by itself, and its result is dropped. Calls withdrawn do not pile up.
  3. Everything but `call` and `close` happens on the helper threads,
     and only `finished` (a thread-safe append and a wake-up) reaches the owner.

Not here: context variables and tracebacks (words.py), who waits (scheduler/).
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from computicle.engine.op import Op

__all__ = ["HELPER", "Threads", "as_helper", "in_helper_thread", "leave_helpers"]

HELPER = "computicle-helper"  # how helper threads are called, with a number each
THREADS_MAX = 64  # blocking calls are short or few; 64 stacks are 512 MiB of address space at most
IDLE_S_MAX = 10.0  # a helper without work for this long ends

_here = threading.local()


def in_helper_thread() -> bool:
    """True in a thread that runs blocking calls: no fiber can live there."""
    return getattr(_here, "helper", False)


def leave_helpers() -> None:
    """In a forked child: whichever thread has forked is its main thread now."""
    _here.helper = False


@contextmanager
def as_helper() -> Iterator[None]:
    """For an engine that makes calls in place: what runs inside is taken for a helper thread."""
    before = in_helper_thread()
    _here.helper = True
    try:
        yield
    finally:
        _here.helper = before


class Threads:
    """The helper threads of one engine."""

    def __init__(self, finished: Callable[[Op], None], *, threads_max: int = THREADS_MAX) -> None:
        self._finished = finished  # any thread
        self._threads_max = threads_max
        self._lock = threading.Condition()
        self._calls: deque[tuple[Op, Callable[[], Any]]] = deque()  # under _lock
        self._threads = 0  # under _lock
        self._idle = 0  # under _lock
        self._closed = False  # under _lock
        self._purge_at = threads_max * 2  # with so many calls in line, those withdrawn are thrown out

    def call(self, fn: Callable[[], Any], label: str, waiter: Any) -> Op:
        """Run `fn` on a helper; the operation comes out of `finished`."""
        op = Op(lambda: label)
        op.waiter = waiter
        with self._lock:
            if len(self._calls) >= self._purge_at:
                self._calls = deque(call for call in self._calls if call[0].waiter is not None)
                self._purge_at = max(self._threads_max, len(self._calls)) * 2
            self._calls.append((op, fn))
            if self._idle >= len(self._calls):
                self._lock.notify()
            elif self._threads < self._threads_max:
                self._add_thread()
        return op

    def close(self) -> None:
        """Let idle threads end now, and busy ones after their call."""
        with self._lock:
            self._closed = True
            self._calls.clear()
            self._lock.notify_all()

    def _add_thread(self) -> None:
        """Under _lock. If the system has none left, those that exist must do."""
        self._threads += 1
        try:
            threading.Thread(target=self._work, name=f"{HELPER}-{self._threads}", daemon=True).start()
        except RuntimeError:
            self._threads -= 1
            if self._threads == 0:
                self._calls.pop()
                raise

    def _next(self) -> tuple[Op, Callable[[], Any]] | None:
        with self._lock:
            while not self._calls:
                if self._closed:
                    self._threads -= 1
                    return None
                self._idle += 1
                woken = self._lock.wait(IDLE_S_MAX)
                self._idle -= 1
                if not woken and not self._calls:
                    self._threads -= 1
                    return None
            return self._calls.popleft()

    def _work(self) -> None:
        _here.helper = True
        while (job := self._next()) is not None:
            op, fn = job
            if op.waiter is not None:  # withdrawn while it stood in line: skip it
                try:
                    op.result = fn()
                except BaseException as error:
                    if not _here.helper:
                        raise
                    op.error = error
                if not _here.helper:
                    return  # it has forked: in the child this is a thread like any other, and there is nobody to tell
            self._finished(op)
            del job, op, fn
