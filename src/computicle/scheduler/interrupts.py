"""Interrupts: Ctrl-C and SIGTERM, brought to the main fiber at a safe place.

A signal handler may run between any two bytecodes, inside the kernel too. So
it only queues a note, and rings the engine awake; the note is read as an
entry of the ready queue.

Rules:
  1. The first Ctrl-C is raised in the main fiber: at once if it is parked,
     else at its next wait.
  2. While that one has not got through (a busy loop), or the run is ending,
     another one is raised on the spot, unless the spot is in this library.
  3. SIGTERM ends the run cleanly: every fiber is cancelled, then `run` raises
     SystemExit(143).
  4. Handlers the program has installed are left alone, and what we installed
     is taken back.

Not here: how the main fiber is interrupted (kernel.py).
"""

import contextlib
import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING

from computicle.scheduler.carrier import here

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel

__all__ = ["Interrupts"]

EXIT_BY_SIGTERM = 128 + 15  # what a shell reports for a program ended by signal 15


class _Note:
    """An entry of the ready queue: raise something in the main fiber."""

    def __init__(self, kernel: "Kernel", make_error: Callable[[], BaseException]) -> None:
        self._kernel = kernel
        self._make_error = make_error

    def switch(self) -> None:
        self._kernel.interrupt_main(self._make_error())
        self._kernel.ready.popleft().switch()


class Interrupts:
    """The handlers of one kernel, while it serves the main thread."""

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._waiting = False  # a Ctrl-C has come and not got through
        self._note = _Note(kernel, KeyboardInterrupt)
        self._sigterm_note = _Note(kernel, lambda: SystemExit(EXIT_BY_SIGTERM))
        self._wakeup_before: int | None = None
        self._installed: list[signal.Signals] = []

    def install(self) -> None:
        """Take over the signals nobody handles. Does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._on_sigint)
            self._installed.append(signal.SIGINT)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, self._on_sigterm)
            self._installed.append(signal.SIGTERM)
        descriptor = self._kernel.engine.wake_descriptor()
        if descriptor is not None:
            self._wakeup_before = signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)

    def remove(self) -> None:
        """Give back what `install` took."""
        if self._wakeup_before is not None:
            with contextlib.suppress(ValueError):  # what was there before has been closed meanwhile
                signal.set_wakeup_fd(self._wakeup_before)
            self._wakeup_before = None
        ours = {signal.SIGINT: self._on_sigint, signal.SIGTERM: self._on_sigterm}
        for number in self._installed:
            if signal.getsignal(number) == ours[number]:
                signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
        self._installed.clear()

    def quiet(self) -> None:
        """The kernel has nothing to do: whatever came has got through."""
        self._waiting = False

    def _on_sigint(self, _number: int, frame: FrameType | None) -> None:
        kernel = self._kernel
        ours = frame is not None and frame.f_globals.get("__name__", "").startswith("computicle.")
        plain_flow = kernel.run_scope is None and here() is kernel.main.runner
        ending = kernel.run_scope is not None and kernel.run_scope.cancelled
        if (self._waiting or ending or plain_flow) and not ours:
            raise KeyboardInterrupt
        self._waiting = True
        kernel.ready.append(self._note)

    def _on_sigterm(self, _number: int, _frame: FrameType | None) -> None:
        kernel = self._kernel
        if kernel.run_scope is None and here() is kernel.main.runner:
            raise SystemExit(EXIT_BY_SIGTERM)
        kernel.ready.append(self._sigterm_note)
