"""Interrupts: Ctrl-C and SIGTERM, brought to the main fiber at a safe place.

A signal handler may run between any two bytecodes, inside the kernel too. So
it only notes what has come, as an entry of the ready queue, and rings the
engine awake. Where it must raise on the spot, it looks for a spot where that
breaks nothing of ours, and has itself called again and again until there is one.

Rules:
  1. The first Ctrl-C is raised in the main fiber: at once if it is parked,
     else at its next wait, or where its run ends.
  2. While that one has not got through (a busy loop), or the run is ending,
     another one is raised on the spot, in whatever runs. Outside `run` the
     first one is, if the thread's own flow is what runs.
  3. On the spot is never in the middle of this library (spots.py).
  4. SIGTERM is treated alike. It becomes SystemExit(143): every fiber is
     cancelled, and `run` raises it, also if the main fiber has caught it.
  5. Handlers the program has installed are left alone, and what we installed
     is taken back.

A handler of the program's own runs wherever it strikes. It may give signals,
stop and cancel; one that raises does so in whatever runs then, or in the main
fiber if the kernel is asleep.

Not here: how the main fiber is interrupted (kernel.py).
"""

import _thread
import contextlib
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar

from computicle.scheduler.carrier import here
from computicle.scheduler.park import ROOM_TO_LEAVE, check_room
from computicle.scheduler.region import is_doomed
from computicle.scheduler.spots import escapes, is_good_spot

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel

__all__ = ["EXIT_BY_SIGINT", "Interrupts"]

EXIT_BY_SIGINT = 128 + 2  # what a shell reports for a program ended by Ctrl-C
EXIT_BY_SIGTERM = 128 + 15  # and by signal 15

REPEAT_S = 0.001  # until the handler is called at another spot, once it must raise

ESCAPES_MAX = 100  # calls in a row at spots that escape, before it is raised there: a loop may have no other


class Interrupt:
    """What one signal of the system means to a kernel. When it has come: an entry of the ready queue."""

    def __init__(self, kernel: "Kernel", make_error: Callable[[], BaseException]) -> None:
        self._kernel = kernel
        self._make_error = make_error
        self._kind = type(make_error())
        self.noted = False  # it has come, and the main fiber has not been told
        self._insisting = False  # it has come again meanwhile
        self._escapes = 0  # how often in a row it has come at such a spot only
        self._repeating = False  # a thread has the handler called again and again; any thread reads
        self._repeated = False  # the next call is that thread's doing; that thread sets it, the handler resets it

    def switch(self) -> None:
        """As an entry of the ready queue: tell the main fiber."""
        check_room(ROOM_TO_LEAVE)  # to cancel the run
        if self.take_note():
            self._kernel.interrupt_main(self._make_error())
        self._kernel.turn.pass_on()

    def take_note(self) -> bool:
        """True if it had come; it has got through now."""
        noted, self.noted = self.noted, False
        self._insisting = self._repeating = False
        return noted

    def stop_repeating(self) -> None:
        """Whatever has come stays noted, and is not raised on the spot any more."""
        self._repeating = False

    def raise_noted(self) -> None:
        """Raise what has come and not got through."""
        if self.take_note():
            raise self._make_error()

    def handle(self, number: int, frame: FrameType | None) -> None:
        """The handler."""
        kernel = self._kernel
        kernel.told_to_end |= issubclass(self._kind, SystemExit)
        if self._repeated:
            self._repeated = False
            if not self._repeating:
                return  # it has got through meanwhile
        elif self.noted or self._on_its_way() or (kernel.run_scope is not None and is_doomed(kernel.run_scope)):
            self._insisting = True
        if not self.noted:
            self.noted = True
            kernel.ready.append(self)
            kernel.engine.wake_up()
        in_own_flow = here() is kernel.main.runner
        if not self._insisting and (kernel.run_scope is not None or not in_own_flow):
            self._repeating = False
        elif is_good_spot(frame) and not self._would_escape(frame):
            self._insisting = self._repeating = False
            self._escapes = 0
            self.noted = not in_own_flow  # raised elsewhere it may be swallowed: the main fiber is still told
            raise self._make_error()
        elif not self._repeating:
            self._repeating = True
            with contextlib.suppress(RuntimeError):  # no more threads: the next Ctrl-C tries again
                _thread.start_new_thread(self._repeat, (signal.Signals(number),))

    def _would_escape(self, frame: FrameType | None) -> bool:
        """True if it is worth while to look for a spot that lies inside the program's block."""
        self._escapes = self._escapes + 1 if escapes(frame) else 0
        return 0 < self._escapes <= ESCAPES_MAX

    def _repeat(self, number: signal.Signals) -> None:
        """In a thread of its own: have the handler called, at other spots."""
        while self._repeating:
            time.sleep(REPEAT_S)
            # From here on the interpreter does not change threads before the call has been made.
            if self._repeating:
                self._repeated = True
                _thread.interrupt_main(number)

    def _on_its_way(self) -> bool:
        """True if the main fiber has been told, and has not run since."""
        return self._kernel.will_interrupt_main(self._kind)


class Interrupts:
    """The handlers of one kernel, while it serves the main thread."""

    serving: "ClassVar[Interrupts | None]" = None  # whose handlers are installed

    def __init__(self, kernel: "Kernel") -> None:
        self._kernel = kernel
        self._interrupts = {
            signal.SIGINT: Interrupt(kernel, KeyboardInterrupt),
            signal.SIGTERM: Interrupt(kernel, lambda: SystemExit(EXIT_BY_SIGTERM)),
        }
        self._handlers_before: dict[signal.Signals, Any] = {}  # of the signals taken over
        self._bell: int | None = None  # the descriptor the system writes signals to
        self._bell_before = -1
        self._served_before: Interrupts | None = None

    def install(self, *, sigterm: bool = True) -> None:
        """Take over the signals nobody handles, and have all of them wake the engine.

        Does nothing outside the main thread. Without `sigterm`, that one does what it does in any program.
        """
        if threading.get_ident() != threading.main_thread().ident:
            return
        for number, unhandled in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
            handler = signal.getsignal(number)
            # A kernel around this one (a simulation has one inside) sleeps as long as this one runs.
            ours = isinstance(getattr(handler, "__self__", None), Interrupt)
            if (handler is unhandled or ours) and (sigterm or number != signal.SIGTERM):
                self._handlers_before[number] = handler
                signal.signal(number, self._interrupts[number].handle)
        self._bell = self._kernel.engine.wake_descriptor()
        if self._bell is not None:
            self._bell_before = signal.set_wakeup_fd(self._bell, warn_on_full_buffer=False)
        self._served_before, Interrupts.serving = Interrupts.serving, self

    def unplug(self) -> None:
        """Have the system ring the engine no more."""
        if self._bell is None:
            return
        bell, self._bell = self._bell, None
        current = signal.set_wakeup_fd(-1)
        # If somebody else has put theirs in its place, it stays. One from before may have been closed.
        with contextlib.suppress(ValueError, OSError):
            signal.set_wakeup_fd(self._bell_before if current == bell else current)

    def remove(self) -> None:
        """Give back what `install` took. Does nothing if it took nothing."""
        if Interrupts.serving is not self:
            return
        self.unplug()
        for interrupt in self._interrupts.values():
            interrupt.stop_repeating()
        Interrupts.serving = self._served_before
        for number in reversed(self._interrupts):  # SIGINT last: from there on it is raised on the spot
            if number in self._handlers_before and signal.getsignal(number) == self._interrupts[number].handle:
                signal.signal(number, self._handlers_before.pop(number))

    def raise_noted(self) -> None:
        """Raise what has come and not got through. For the main fiber, where its run ends."""
        for interrupt in self._interrupts.values():
            interrupt.raise_noted()
