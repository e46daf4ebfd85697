"""Echo: what a request costs a server.

A server on one core; a load in C on another, with 1, 100 or 1,000 connections over the loopback, each sending 64 bytes
and waiting for them to come back. After a warm-up, 100,000 requests. The number is the CPU time, user and system, that
the server's process used from the first of them to the last, divided by their number. On a machine with one core they
share it.

Peers: the servers in echo_servers.py, written as each library's manual would; and one in C, which is the limit. The load
is faster than any server in Python, and keeps it busy; not faster than the one in C, which therefore goes to sleep and is
woken more often than the others: its number moves more between runs, and can come out above the least possible.
"""

import os
import subprocess
import tempfile
from functools import partial
from typing import Any

from bench.case import Case, Target
from bench.echo_servers import SERVERS
from bench.outside import compiled, cpu_seconds, python, raise_descriptors, started

__all__ = ["CASES"]

REQUESTS = 100_000
LIMIT = "C epoll"


def on_server(label: str, connections: int, _library: Any) -> dict[str, float]:
    raise_descriptors()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as directory:
        command = [compiled("echo_epoll", directory)] if label == LIMIT else python("echo_servers", label)
        load = compiled("load_epoll", directory)
        with started(command, cores[0]) as server:
            port = _line(server, "the server")
            with started([load, port, str(connections), str(REQUESTS)], cores[-1]) as client:
                return {"CPU": _under_load(server, client) / REQUESTS * 1e6}


def _under_load(server: subprocess.Popen[str], client: subprocess.Popen[str]) -> float:
    assert client.stdin is not None
    assert _line(client, "the load") == "ready"
    before = cpu_seconds(server.pid)
    print("go", file=client.stdin, flush=True)
    assert _line(client, "the load") == "done"
    return cpu_seconds(server.pid) - before


def _line(process: subprocess.Popen[str], what: str) -> str:
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        raise RuntimeError(f"{what} has ended")
    return line


VARIANTS = {label: partial(on_server, label) for label in [*SERVERS, LIMIT]}
UNITS = {"CPU": "us a request"}
CASES = [
    Case("echo, 1 connection", 1, VARIANTS, UNITS, rounds=5, rounds_quick=2),
    Case(
        "echo, 100 connections",
        100,
        VARIANTS,
        UNITS,
        (Target("CPU", 0.8, "gevent"), Target("CPU", 1.0, "uvloop streams")),
        rounds=5,
        rounds_quick=2,
    ),
    Case(
        "echo, 1,000 connections",
        1_000,
        VARIANTS,
        UNITS,
        (Target("CPU", 0.8, "gevent"), Target("CPU", 1.1, "uvloop streams")),
        rounds=5,
        rounds_quick=2,
    ),
]
