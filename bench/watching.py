"""Watching: what a process does while it should do nothing.

It is watched twice, 5 seconds each time: first its CPU clock and how often it gave up the processor of its own will,
which does not disturb it; then with strace, which counts its system calls. Without strace that number is missing.

Not here: the processes (idle.py, idle_world.py).
"""

import os
import shutil
import signal
import tempfile
import time

from bench.outside import cpu_seconds, started

__all__ = ["UNITS", "watched"]

UNITS = {"system calls": "calls", "CPU": "us", "context switches": "times"}
WATCH_S = 5.0
ATTACH_S = 0.5  # strace breaks into the call that the program waits in; what follows from that is not the program's


def watched(pid: int) -> dict[str, float]:
    """What the process, with all its threads, has done."""
    switches, cpu = _switches(pid), cpu_seconds(pid)
    time.sleep(WATCH_S)
    numbers = {
        "context switches": float(_switches(pid) - switches),
        "CPU": (cpu_seconds(pid) - cpu) * 1e6,
    }
    calls = _system_calls(pid)
    if calls is not None:
        numbers["system calls"] = float(calls)
    return numbers


def _switches(pid: int) -> int:
    total = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="ascii") as file:
            total += sum(int(line.split()[1]) for line in file if line.startswith("voluntary_ctxt_switches"))
    return total


def _system_calls(pid: int) -> int | None:
    strace = shutil.which("strace")
    if strace is None:
        return None
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "calls")
        # Its messages go where ours go; `-ttt` begins each call with when it was made.
        with started([strace, "-f", "-qq", "-ttt", "-o", path, "-p", str(pid)]) as tracer:
            time.sleep(ATTACH_S)
            since = time.time()
            time.sleep(WATCH_S)
            until = time.time()
            if tracer.poll() is not None:
                return None
            tracer.send_signal(signal.SIGINT)
            tracer.wait(timeout=10.0)
        with open(path, encoding="utf-8", errors="replace") as file:
            return sum(since <= float(line.split()[1]) <= until for line in file if " resumed>" not in line)
