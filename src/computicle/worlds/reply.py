"""Reply: what comes back for code that another computicle runs.

Rules:
  1. It is settled once: with a value, with the error it raised there, or with
     the end of that computicle.
  2. An error that nobody has asked for when the last reference goes is logged.

Not here: asking (handle.py), how answers come in (home.py).
"""

import sys
from collections.abc import Callable
from typing import Any

from computicle.scheduler.arguments import checked_timeout
from computicle.scheduler.errors import FiberCancelled
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.line import Line
from computicle.scheduler.log import log_error
from computicle.scheduler.outside import FromOutside
from computicle.scheduler.park import wake
from computicle.scheduler.single import Single
from computicle.scheduler.traces import with_trace
from computicle.scheduler.word import entering
from computicle.worlds.errors import ComputicleDied

__all__ = ["Reply"]


class Reply(Single):
    """What `exec` returns: the value to come.

    Attributes:
        done: True once it has come, or never will.
        what: what was asked for, in words.
    """

    __slots__ = ("__weakref__", "_asked", "_cancel", "_error", "_kernel", "_line", "_value", "done", "uid", "what")

    def __init__(self, kernel: Kernel, what: str, uid: bytes, cancel: Callable[[], None]) -> None:
        self.what = what
        self.uid = uid  # of the computicle that it will come from
        self.done = False
        self._kernel = kernel
        self._cancel = cancel
        self._line = Line(f"the reply of {what}")
        self._value: Any = None
        self._error: BaseException | None = None
        self._asked = False

    def result(self, timeout: float | None = None) -> Any:
        """The value. Waits for it.

        Raises:
            Exception: what was raised there, with where as its cause.
            FiberCancelled: it was cancelled, here or there.
            ComputicleDied: the computicle ended before.
            TimeoutError: it has not come within `timeout` seconds; it goes on there.
            RuntimeError: the code was another thread's.
        """
        timeout = checked_timeout("result", timeout)
        me = entering()
        me.credit -= 1
        self._kernel.check_thread("this reply belongs to another thread: ask for it there")
        if not self.done:
            with FromOutside(me):
                self._line.wait(me, timeout)
        self._asked = True
        if self._error is None:
            return self._value
        try:
            raise with_trace(self._error, None)
        finally:
            del self  # the traceback holds this frame, and this the error: a circle

    def cancel(self) -> None:
        """Cancel the fiber that runs it there, and wait for its answer no more. Never waits.

        Asked for its result, it raises FiberCancelled. Does nothing once it is done. For the thread that has asked.
        """
        if not self.done:
            self._kernel.check_thread("this reply belongs to another thread: cancel it there")
            self._asked = True
            self._cancel()
            self.settle(None, FiberCancelled(f"{self.what} was cancelled"))

    def settle(self, value: Any, error: BaseException | None) -> None:
        """It has come."""
        if self.done:
            return
        self.done = True
        self._value, self._error = value, error
        while (woken := next(iter(self._line.fibers), None)) is not None:
            self._line.call_off(woken)
            wake(woken)

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        error = getattr(self, "_error", None)
        if error is None or self._asked or _ending() or isinstance(error, ComputicleDied):
            return  # of its computicle's end others are told
        log_error(error, "%s failed, and nobody has asked for its result", self.what)

    def __repr__(self) -> str:
        state = "waiting" if not self.done else "failed" if self._error is not None else "done"
        return f"<Reply of {self.what}, {state}>"
