"""Idle: a program in which everybody waits does nothing at all.

A program (idle_programs.py) with 1,000 sleepers of an hour, 1,000 waiters for a signal, 1,000 for a predicate and 1,000
silent connections is left alone, and then watched twice, 5 seconds each time: first its CPU clock and how often it gave
up the processor of its own will, which does not disturb it; then with strace, which counts its system calls. Without
strace that number is missing.

Peers: the same program on each library.
"""

import os
import shutil
import signal
import socket
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench.case import Case, Target
from bench.idle_programs import CROWD, PROGRAMS
from bench.outside import cpu_seconds, python, raise_descriptors, started

__all__ = ["CASES"]

WATCH_S = 5.0
SETTLE_S = 1.5  # until all have come to their wait
ATTACH_S = 0.5  # strace breaks into the call that the program waits in; what follows from that is not the program's


def on_program(label: str, _count: int, _library: Any) -> dict[str, float]:
    raise_descriptors()
    with started(python("idle_programs", label)) as program, ExitStack() as connections:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        for _ in range(CROWD):
            connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10.0))
        time.sleep(SETTLE_S)
        switches, cpu = _switches(program.pid), cpu_seconds(program.pid)
        time.sleep(WATCH_S)
        numbers = {
            "context switches": float(_switches(program.pid) - switches),
            "CPU": (cpu_seconds(program.pid) - cpu) * 1e6,
        }
        calls = _system_calls(program.pid)
        if calls is not None:
            numbers["system calls"] = float(calls)
        assert program.poll() is None
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


CASES = [
    Case(
        "4,000 waiters, for 5 s",
        CROWD,
        {label: partial(on_program, label) for label in PROGRAMS},
        {"system calls": "calls", "CPU": "us", "context switches": "times"},
        (Target("system calls", 0.0), Target("CPU", 0.0), Target("context switches", 0.0)),
        rounds=3,
        rounds_quick=1,
    )
]
