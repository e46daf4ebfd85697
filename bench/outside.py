"""Outside: programs that are measured from outside, by somebody who watches their process.

Rules:
  1. What is started here is ended here: by its handle, when its with-statement is left.
  2. A program prints one line when it is up: the port it listens on.

Not here: what the programs do (echo_servers.py, idle_programs.py).
"""

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["compiled", "cpu_seconds", "put_apart", "python", "raise_descriptors", "ray_up", "started"]

HERE = os.path.dirname(os.path.abspath(__file__))
CPU_CLOCK_OF_PROCESS = 2  # Linux numbers a process's clocks by its id and by which: this counts user and system time


def raise_descriptors() -> None:
    """Allow this process, and those it will start, as many descriptors as the system lets them have."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def put_apart(pid: int, cores: int = 2) -> None:
    """From now on this process runs on the first core, and `pid` on the last of so many. Of each only this thread.

    The same for each further `pid`.
    """
    allowed = _allowed()[:cores]
    os.sched_setaffinity(0, {allowed[0]})
    os.sched_setaffinity(pid, {allowed[-1]})


@cache
def _allowed() -> list[int]:
    """The cores that this process was given, however it has narrowed that down since."""
    return sorted(os.sched_getaffinity(0))


def compiled(name: str, directory: str) -> str:
    """Compile bench/`name`.c into `directory`. The program's path."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise RuntimeError("needs a C compiler: there is no cc")
    path = os.path.join(directory, name)
    subprocess.run([compiler, "-O2", "-o", path, os.path.join(HERE, f"{name}.c")], check=True)
    return path


def python(module: str, *args: str) -> list[str]:
    """The command for a module of this folder."""
    return [sys.executable, "-m", f"bench.{module}", *args]


@contextmanager
def started(command: list[str], core: int | None = None) -> Iterator[subprocess.Popen[str]]:
    """A process that can be talked to, on `core` if one is given; killed in the end, unless it has ended."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=os.path.dirname(HERE)
    ) as process:
        try:
            if core is not None:
                os.sched_setaffinity(process.pid, {core})
            yield process
        finally:
            process.kill()


@contextmanager
def ray_up(ray: Any) -> Iterator[None]:
    """Ray's own processes, for as many tasks as there are cores in the other measurements."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        yield
    finally:
        ray.shutdown()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all its threads so far, in nanoseconds' resolution.

    The clock that clock_getcpuclockid(3) would name; /proc counts the same in hundredths of a second.
    """
    return time.clock_gettime((~pid << 3) | CPU_CLOCK_OF_PROCESS)
