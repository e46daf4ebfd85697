"""Preload: modules that a zygote imports, so that its computicles find them there.

What starts a thread is refused, by name: after a fork it would be missing. That
shows only once it has been imported. So modules are imported twice: on trial, in a
child like any other, and in the zygote if that went well.

Rules:
  1. During the trial the zygote goes on as ever. Those that need what is tried
     wait; others are started.
  2. While the zygote imports, it must not be deaf, and may not have a second
     thread. So a timer's signal interrupts the import, and it looks aside: it goes
     on to kill, to reap and to tell, and ends with its program. Only starts wait,
     for whoever was forked now would have half a module.
     The timer is set for one look at a time: one that takes long is not
     interrupted by the next one.
  3. Both may take a bounded time.
  4. Libraries with a pool of threads are told to do with one.

Not here: what else the zygote does (zygote.py).
"""

import importlib
import os
import pickle
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from computicle.worlds.orders import Birth, Start, trying

if TYPE_CHECKING:
    from computicle.worlds.zygote import World, Zygote

__all__ = ["Preloads", "try_out"]

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PRELOAD_S_MAX = 60.0  # so long may be imported, on trial and again in the zygote
PROBLEM_MAX = 4096  # bytes of what speaks against a module
LOOK_S = 0.02  # how often the zygote looks aside while it imports
TRIAL = b"trial"  # in place of a uid


class Preloads:
    """Who waits for modules, and how these get into the zygote.

    What returns a Birth may fork: see there.
    """

    def __init__(self, zygote: "Zygote") -> None:
        self._zygote = zygote
        self._waiting: deque[Start] = deque()  # in the order in which they came
        self.trial: World | None = None  # tries what the first of them needs, or one needed who has been given up
        self._import_by: float | None = None  # while the zygote imports: when it is to be done

    def concern(self, start: Start) -> bool:
        """True if it cannot be started now."""
        return self._import_by is not None or bool(absent(start.preload))

    def wait(self, start: Start) -> Birth | None:
        """Have it wait for its modules."""
        self._waiting.append(start)
        return self._go_on()

    def give_up(self, concerned: Callable[[Start], bool]) -> None:
        """Nobody wants those any more that `concerned` says True of."""
        for start in [*filter(concerned, self._waiting)]:
            self._waiting.remove(start)
            start.drop()
            if self.trial is not None and self.trial.start is start:
                self._zygote.kill(self.trial, "nobody wants to know any more")

    def judge(self) -> Birth | None:
        """The trial has ended: import what has stood it."""
        trial, self.trial = self.trial, None
        assert trial is not None
        start = trial.start
        if start in self._waiting:
            modules = absent(start.preload)
            try:
                _check(trial, modules)
                self._import(modules)
            except Exception as error:
                self._waiting.remove(start)
                start.refuse(error)
        return self._go_on()

    def _go_on(self) -> Birth | None:
        """Start those for whom all is there by now, and have tried out what the next one needs."""
        birth = None
        while self._waiting and self.trial is None and self._import_by is None and birth is None:
            start = self._waiting[0]
            modules = absent(start.preload)
            if modules:
                birth = self._try(start, modules)
            else:
                self._waiting.popleft()
                birth = self._zygote.begin(start)
        return birth

    def _try(self, start: Start, modules: tuple[str, ...]) -> Birth | None:
        try:
            trial = self._zygote.use_blank(TRIAL, start, trying(modules), ())
        except Exception as error:
            self._waiting.popleft()
            start.refuse(error)
            return None
        if isinstance(trial, Birth):
            return trial
        trial.deadline = time.monotonic() + PRELOAD_S_MAX
        self.trial = trial
        return None

    def _import(self, modules: tuple[str, ...]) -> None:
        """Import them here, by rule 2. Raises ImportError."""
        self._zygote.drop_blank()
        self._import_by = time.monotonic() + PRELOAD_S_MAX
        signal.signal(signal.SIGALRM, self._look_aside)  # what that interrupts, Python takes up again (PEP 475)
        signal.setitimer(signal.ITIMER_REAL, LOOK_S)
        try:
            preload(modules)
        finally:
            self._import_by = None  # first: from now on nobody sets the timer again
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            self._zygote.freeze()

    def _look_aside(self, *_: Any) -> None:
        """The signal's handler: it runs in the middle of the import, and what it raises is raised there."""
        if self._import_by is None:
            return
        try:
            self._zygote.look()
            if self._zygote.ended:
                os._exit(0)
            if self._import_by < time.monotonic():
                self._import_by = None  # here: what is raised may strike anywhere, also where this would be done
                raise TimeoutError(f"it takes more than {PRELOAD_S_MAX:g} s")
        finally:
            signal.setitimer(signal.ITIMER_REAL, LOOK_S)


def _check(trial: "World", modules: tuple[str, ...]) -> None:
    """Raise ImportError if the trial has shown that it would not go well."""
    if trial.outcome is None:
        how = f"takes more than {PRELOAD_S_MAX:g} s" if trial.why else "ends the process"
        raise ImportError(f"cannot preload {', '.join(map(repr, modules))}: importing it {how}")
    if trial.outcome.data:
        raise ImportError(trial.outcome.data.decode(errors="replace"))


def absent(modules: Iterable[str]) -> tuple[str, ...]:
    """Those that are not imported yet."""
    return tuple(name for name in modules if name not in sys.modules)


def preload(modules: Iterable[str]) -> None:
    """Import them. Raises ImportError, whatever went wrong, and names the one that it was."""
    with _one_thread():
        for name in modules:
            try:
                importlib.import_module(name)
            except BaseException as error:
                raise ImportError(f"cannot preload {name!r}: {type(error).__name__}: {error}") from error
            if len(os.listdir("/proc/self/task")) > 1:
                raise ImportError(
                    f"cannot preload {name!r}: it starts a thread, which would be missing in the computicles"
                )


def try_out(order: bytes) -> bytes:
    """In the child: import them; what speaks against that, or nothing."""
    try:
        preload(pickle.loads(order[1:]))  # noqa: S301  # from our own zygote
    except ImportError as error:
        return str(error).encode(errors="replace")[:PROBLEM_MAX]
    return b""


@contextmanager
def _one_thread() -> Iterator[None]:
    """For thread pools that start when they are imported, and read then how large they are to be.

    Whatever else a module does to the environment is undone as well: it is no program's.
    """
    before = dict(os.environ)
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")
    try:
        yield
    finally:
        if before != dict(os.environ):
            os.environ.clear()
            os.environ.update(before)
