"""Birth: what a zygote's process does first, and a computicle's.

Rules:
  1. A computicle has nothing of the zygote's but its modules: no descriptor,
     no signal handler, no signal that its program ignores, no place in its process group.
  2. If the zygote dies, the system kills it.
  3. What modules want done at a fork (os.register_at_fork) is done at its own
     forks, and not at the one it comes from: the zygote has but one thread, holds
     no lock and has no kernel, so there is nothing to be done. It would touch 220
     of the 900 pages that a new computicle touches in all.

Not here: what it does then (world.py), what the zygote does (zygote.py).

Sources: prctl(2), setpgid(2), close_range(2).
"""

import atexit
import ctypes
import gc
import io
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable

import cloudpickle  # noqa: F401  # here, so that no computicle has to

from computicle.engine.packets import PacketSocket
from computicle.scheduler.flows import run_main
from computicle.worlds.compact import move_together
from computicle.worlds.orders import Birth
from computicle.worlds.own import receive, self_
from computicle.worlds.world import live
from computicle.worlds.zygote import Zygote

__all__ = ["begin_zygote"]

PR_SET_PDEATHSIG = 1
SIGKILL = int(signal.SIGKILL)
DESCRIPTORS_END = 1 << 20  # beyond all that a process may have

IGNORED = {signal.SIGPIPE, signal.SIGXFSZ}  # as any Python begins

REHEARSALS = 10  # CPython settles on how to run a line within eight

# In a computicle, put in once, as it is born: dropped, the zygote's objects would close descriptors whose numbers are
# others' now.
_kept: list[Zygote] = []

_prctl = ctypes.CDLL(None, use_errno=True).prctl


def begin_zygote(root: int, watch: int, hooks: list[dict[str, Callable[[], None]]]) -> None:
    """The zygote's process. Returns in no process.

    Args:
        root: leads to the program.
        watch: the program's pidfd.
        hooks: what the modules that have been imported so far want to register.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass  # one that was closed: nothing of ours may get its number
    os.close(descriptor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True, write_through=False)  # whole lines: others write there, too
    _rehearse()
    move_together(_rehearse)
    for _ in range(REHEARSALS):
        _rehearse()
    signals = signal.valid_signals() - IGNORED
    ignored = [int(number) for number in signals if signal.getsignal(number) is signal.SIG_IGN]
    zygote = Zygote(PacketSocket(root), watch)
    pid = os.getpid()
    birth = zygote.serve()
    if birth is None:
        os._exit(0)
    status = 1
    try:
        _kept.append(zygote)
        _be_born(birth, pid, hooks, ignored)
        status = live(birth.link, birth.place)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
    finally:
        os._exit(status)


def _rehearse() -> None:
    run_main(_be_lively, (), {})


def _be_lively() -> None:
    """What every computicle does.

    Done here first, the interpreter has written down what it learns from that, and does not write it into each one's
    own copy of a page: 0.25 MiB of some 3 (bench/footprint.py).
    """
    me = self_()
    me.post(["rehearsal"])
    receive()
    me.call(len, "rehearsal")
    me.call(lambda: me)
    me["rehearsal"] = me.exec("1 + 1").result()


def _be_born(birth: Birth, zygote: int, hooks: list[dict[str, Callable[[], None]]], ignored: list[int]) -> None:
    os.setpgid(0, 0)
    _prctl(PR_SET_PDEATHSIG, SIGKILL)
    if os.getppid() != zygote:  # it has died before that
        os._exit(1)
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _close_all_but({0, 1, 2, birth.link})
    resource.setrlimit(resource.RLIMIT_NOFILE, birth.limit)
    atexit._clear()
    gc.enable()
    for each in hooks:
        os.register_at_fork(**each)
    threading.main_thread()._set_native_id()  # type: ignore[attr-defined]  # which its own hook would have done
    if "numpy.random" in sys.modules:  # else all would draw the same numbers; Python's own random sees to that itself
        sys.modules["numpy.random"].seed()


def _close_all_but(kept: set[int]) -> None:
    begin = 0
    for descriptor in [*sorted(kept), DESCRIPTORS_END]:
        if begin < descriptor:  # CPython takes (0, 0) for all there are
            os.closerange(begin, descriptor)
        begin = descriptor + 1
