"""Preload: modules that a zygote imports, so that its computicles find them there.

Rules:
  1. What starts a thread is refused, by name: after a fork it would be missing.
     So each module is tried in a child first. Libraries with a pool of threads
     are told to do with one.
  2. The zygote stands still meanwhile, for a bounded time.

Not here: when that is done (zygote.py).
"""

import importlib
import os
import select
import signal
import sys
from collections.abc import Iterable

__all__ = ["preload"]

ONE_THREAD = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
PRELOAD_S_MAX = 60.0  # one module may take so long in the child; meanwhile nobody is started or buried


def preload(modules: Iterable[str]) -> None:
    """Import them, as far as they are not there yet. Raises ImportError."""
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    for name in ONE_THREAD:
        os.environ.setdefault(name, "1")  # read by thread pools that start when they are imported
    try:
        for name in modules:
            if name in sys.modules:
                continue
            problem = _try_in_child(name)
            if problem:
                raise ImportError(f"cannot preload {name!r}: {problem}")
            importlib.import_module(name)
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]


def _try_in_child(module: str) -> str:
    """Import a module in a child of its own; what speaks against importing it here, or nothing."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        problem = ""
        try:
            importlib.import_module(module)
            if len(os.listdir("/proc/self/task")) > 1:
                problem = "it starts a thread, which would be missing in the computicles"
        except BaseException as error:
            problem = f"{type(error).__name__}: {error}"
        finally:
            os.write(writing, problem.encode(errors="replace")[:4096])
            os._exit(0)
    os.close(writing)
    if not select.select([reading], [], [], PRELOAD_S_MAX)[0]:
        os.kill(pid, signal.SIGKILL)
    with open(reading, "rb") as file:
        problem = file.read().decode(errors="replace")
    _pid, status = os.waitpid(pid, 0)
    return problem or ("" if status == 0 else "importing it ends the process")
