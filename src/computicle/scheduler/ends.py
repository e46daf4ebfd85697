"""Ends: what becomes of a thread's fibers when the thread ends, or the interpreter.

Rules:
  1. A thread that ends cancels its fibers and waits until they have cleaned
     up.
  2. The main thread, at interpreter exit, waits for them as a scope does. If
     an uncaught error is what ends the program, or the program was told to
     end, they are cancelled. (sys.exit by the program's own flow is how many
     programs return, so it is taken for that.)
  3. An error that ends this waiting decides the exit status.
  4. Threads that go on behind that (daemons) are brought to a stand, as far
     as their fibers give way soon: the interpreter cuts them off, and to be
     cut off in a switch is a crash.

Not here: how flows begin (flows.py), signals of the system (interrupts.py).
"""

import atexit
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any
from weakref import ref

from computicle.scheduler.carrier import fiber_here, here, is_own_flow
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.hosted import drop_open
from computicle.scheduler.interrupts import EXIT_BY_SIGINT
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.log import log_error

__all__ = ["after_leaving", "close_flow", "exit_status", "leave", "watch_thread"]

REACH_S = 0.1  # what is waited for fibers of other threads to give way at the exit
STAND_S = 1.0  # how long exit hooks older than ours have, before they are taken to wait for such a thread


def close_flow() -> None:
    """End this thread's kernel. Its fibers have ended."""
    flow = here()
    kernel = flow.fiber.kernel
    kernel.interrupts.unplug()
    del flow.fiber
    kernel.close()
    _elsewhere.pop(id(kernel), None)
    kernel.interrupts.remove()  # only now: until here nothing is raised in the middle of this


def leave(kernel: Kernel, *, cancel: bool) -> BaseException | None:
    """Leave the implicit scope, and close the kernel. In its main fiber.

    What interrupted that, if anything did. It has been logged, unless it was a wish to end.
    """
    me = kernel.main
    assert here() is me.runner
    try:
        if me.region is not me:
            log_error(RuntimeError(drop_open(me, me, kernel.base)), "the thread's own flow has ended")
        if cancel:
            kernel.base.cancel()
        kernel.base.drain(me)
    except (SystemExit, KeyboardInterrupt) as wish:
        return wish
    except BaseException as error:
        log_error(error, "the fibers left at the end of the thread did not end well")
        return error
    finally:
        close_flow()
    return None


def exit_status(error: BaseException | None) -> int:
    """What the system is told of a program that ended so. Prints the message of a SystemExit that has one."""
    if isinstance(error, SystemExit):
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        sys.stderr.write(f"{error.code}\n")
        return 1
    if isinstance(error, KeyboardInterrupt):
        return EXIT_BY_SIGINT
    return 0 if error is None or isinstance(error, Cancelled) else 1


# Threads.


class _LastResort:
    """Ends a thread's fibers when the thread's locals are cleared. In no other thread, and not at the exit."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def __del__(self) -> None:
        if self._thread == threading.get_ident() and not sys.is_finalizing():
            _leave_thread()


_threads = threading.local()
_elsewhere: dict[int, ref[Kernel]] = {}  # by id, the kernels of all threads but the main one, until they are closed


def watch_thread(kernel: Kernel) -> None:
    """Have this thread end its fibers when it ends. For the main thread the interpreter's exit does that.

    A thread calls its own `_delete` as the last thing while it is a whole
    thread, so we step in there. Should it not (some other library's thread,
    a Python without that method), the finaliser of a threading.local does:
    late, when current_thread() does not know this thread any more.
    """
    if threading.get_ident() == threading.main_thread().ident:
        return
    _elsewhere[id(kernel)] = ref(kernel)
    if hasattr(_threads, "last_resort"):
        return
    _threads.last_resort = _LastResort()
    thread: Any = threading.current_thread()
    delete: Callable[[], None] | None = getattr(thread, "_delete", None)
    if delete is None:
        return

    def leave_and_delete() -> None:
        del thread._delete  # it would hold itself
        try:
            _leave_thread()
        finally:
            delete()

    thread._delete = leave_and_delete


def _leave_thread() -> None:
    fiber = fiber_here()
    if fiber is not None and fiber is fiber.kernel.main:
        leave(fiber.kernel, cancel=True)


# The interpreter.


class _Standstill:
    """As an entry of the ready queue: nothing goes on in that thread until it is let go."""

    def __init__(self, kernel: Kernel) -> None:
        self.reached = False
        self._kernel = kernel
        self._held = threading.Lock()
        self._held.acquire()

    def switch(self) -> None:
        self.reached = True
        # Without a timeout: who waits so asks for the interpreter only when let go, and so is not cut off here.
        self._held.acquire()
        self._kernel.turn.pass_on()

    def let_go(self) -> None:
        self._held.release()


def _let_go_later(stands: list[_Standstill]) -> None:
    """In a thread of its own, which runs no fiber: to be cut off harms it not, and then nobody is let go."""
    time.sleep(STAND_S)
    for stand in stands:
        stand.let_go()


@atexit.register  # before the next one, so it is called after it
def _stand_still_at_exit() -> None:
    """Bring the fibers of all other threads to a stand, as far as they give way."""
    stands: list[_Standstill] = []
    for reference in [*_elsewhere.values()]:
        kernel = reference()
        if kernel is not None and not kernel.is_left_behind():
            stands.append(_Standstill(kernel))
            kernel.ready.appendleft(stands[-1])
            kernel.engine.wake_up()
    if not stands:
        return
    with contextlib.suppress(RuntimeError):  # no more threads: then they stand for good
        threading.Thread(target=_let_go_later, args=[stands], daemon=True).start()
    end = time.monotonic() + REACH_S
    while not all(stand.reached for stand in stands) and time.monotonic() < end:
        time.sleep(REACH_S / 100)


_afterwards: list[Callable[[], None]] = []


def after_leaving(fn: Callable[[], None]) -> None:
    """Have `fn` called at the interpreter's exit, once the main thread's fibers have ended."""
    _afterwards.append(fn)


@atexit.register  # before the last one, so it is called after it
def _go_on_afterwards() -> None:
    for fn in _afterwards:
        fn()


class _Status:
    """Ends the process with a status once the interpreter has ended all else.

    An exit hook cannot change the status, and to end the process in one would
    skip the hooks of others. The tearing down of modules comes after them all.
    """

    def __init__(self, status: int) -> None:
        self._status = status
        self._exit = os._exit  # the module may be gone by then

    def __del__(self) -> None:
        self._exit(self._status)


_last: list[_Status] = []  # kept until the modules are torn down


@atexit.register
def _leave_at_exit() -> None:
    fiber = fiber_here()
    if fiber is None or not is_own_flow(here()) or fiber is not fiber.kernel.main:
        return
    kernel = fiber.kernel
    failed = getattr(sys, "last_value", None) is not None and not hasattr(sys, "ps1")
    status = exit_status(leave(kernel, cancel=failed or kernel.told_to_end))
    if status:
        _last.append(_Status(status))
