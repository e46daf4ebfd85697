"""Idle: a program in which everybody waits does nothing at all.

A program (idle_programs.py) with 1,000 sleepers of an hour, 1,000 waiters for a signal, 1,000 for a predicate and 1,000
silent connections is left alone, and then watched for 5 seconds (watching.py).

Peers: the same program on each library.
"""

import socket
import time
from contextlib import ExitStack
from functools import partial
from typing import Any

from bench.case import Case, Target
from bench.idle_programs import CROWD, PROGRAMS
from bench.outside import python, raise_descriptors, started
from bench.watching import UNITS, watched

__all__ = ["CASES"]

SETTLE_S = 1.5  # until all have come to their wait


def on_program(label: str, _count: int, _library: Any) -> dict[str, float]:
    raise_descriptors()
    with started(python("idle_programs", label)) as program, ExitStack() as connections:
        assert program.stdout is not None
        port = int(program.stdout.readline())
        for _ in range(CROWD):
            connections.enter_context(socket.create_connection(("127.0.0.1", port), timeout=10.0))
        time.sleep(SETTLE_S)
        numbers = watched(program.pid)
        assert program.poll() is None
        return numbers


CASES = [
    Case(
        "4,000 waiters, for 5 s",
        CROWD,
        {label: partial(on_program, label) for label in PROGRAMS},
        UNITS,
        (Target("system calls", 0.0), Target("CPU", 0.0), Target("context switches", 0.0)),
        rounds=3,
        rounds_quick=1,
    )
]
