"""Idle: a kernel with nothing to do makes no system call.

Watched from outside, in a process of its own: strace where there is one, and
everywhere on Linux the kernel's count of how often the process went to sleep.
"""

import os
import shutil
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

CONNECTIONS = 200
WATCH_S = 0.3  # the one real wait: what nothing happens in has no other end
HANG_S = 30  # bounds a hang; nothing takes this long

PROGRAM = textwrap.dedent(
    """
    import resource
    from computicle import *

    def main():
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        listener = listen(0)
        heard = []
        spawn(serve, lambda stream: [heard.append(line) for line in stream], listener, grace=0)
        streams = [connect("127.0.0.1", listener.port) for _ in range(COUNT)]
        for stream in streams:
            stream.sendall(b"one line\\n")
            spawn(wait_signal, "go")
            spawn(wait_for, lambda: False)
            spawn(sleep, 100_000)
        offload(int)
        wait_for(lambda: len(heard) == COUNT)
        door = listen(0)
        print(door.port, flush=True)
        door.accept()
        print("woken", flush=True)
        stop()

    run(main)
    """
).replace("COUNT", str(CONNECTIONS))


@contextmanager
def idle_program(*prefix: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process with much to wait for and nothing to do, and a port where a connection ends it."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    command = [*prefix, sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process, int(line(process))
        finally:
            process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def wake(process: subprocess.Popen[str], port: int) -> None:
    """Show that it was alive all the time."""
    socket.create_connection(("127.0.0.1", port), HANG_S).close()
    assert line(process) == "woken"
    assert process.wait(HANG_S) == 0


def watch() -> None:
    """Let real time pass."""
    threading.Event().wait(WATCH_S)


def still(count: Callable[[], object]) -> object:
    """What `count` says once it has said the same many times: the program has printed its port, and goes to sleep."""
    last, same = count(), 0
    while same < 500:
        os.sched_yield()
        now = count()
        last, same = now, same + 1 if now == last else 0
    return last


def activity(pid: int) -> tuple[object, ...]:
    """Its state, how often each of its threads has stopped running, and the processor time it has used."""
    counts: list[str] = []
    for task in sorted(os.listdir(f"/proc/{pid}/task")):
        status = Path(f"/proc/{pid}/task/{task}/status").read_text()
        counts += [entry for entry in status.splitlines() if "ctxt_switches" in entry or entry.startswith("State")]
    used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (*counts, *used)


def test_idle_it_does_not_run_at_all() -> None:
    with idle_program() as (process, port):
        before = still(lambda: activity(process.pid))
        watch()
        assert activity(process.pid) == before
        assert "R (running)" not in str(before)
        wake(process, port)


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace")
def test_idle_it_makes_no_system_call(tmp_path: Path) -> None:
    log = tmp_path / "calls"
    works = subprocess.run(["strace", "-f", "-o", str(log), "true"], capture_output=True, timeout=HANG_S)
    if works.returncode != 0:
        pytest.skip("strace may not trace here")
    with idle_program("strace", "-f", "-o", str(log)) as (process, port):
        before = still(lambda: log.stat().st_size)
        watch()
        assert log.stat().st_size == before
        assert "epoll_wait(" in log.read_text().splitlines()[-1]
        wake(process, port)
        assert log.stat().st_size > before
