"""Starting: how long it takes until a new computicle runs the first line of its function.

From the call that makes it until the function reads the clock; wall time, the middle one of 30, one after the other,
after one that is not counted. The function lies in a module of its own, which the new process imports, as most
programs have it; `by value` it travels whole, as those of a script do.

The limit is what the system takes to fork a process as large as the zygote and to end it again (bare_fork.py).

Peers: a multiprocessing Process, by forkserver and by spawn, with a pipe to tell the time over; a new interpreter in
the same process (CPython 3.14), which is also what InterpreterPoolExecutor makes for each worker; and an actor of Ray.
"""

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

from bench.case import Case, Target
from bench.first_line import now, send_now
from bench.outside import python, ray_up, started

__all__ = ["CASES"]

LIMIT = "os fork and exit"
FORKSERVER, SPAWN = "multiprocessing forkserver", "multiprocessing spawn"
INTERPRETERS, ACTOR = "concurrent.interpreters", "ray actor"


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def once() -> int:
        start = time.monotonic_ns()
        return int(computicle.Computicle(now).wait()) - start

    return dict(computicle.run(_middle, count, once))


def on_computicle_by_value(count: int, computicle: Any) -> dict[str, float]:
    def here() -> int:
        return time.monotonic_ns()

    def once() -> int:
        start = time.monotonic_ns()
        return int(computicle.Computicle(here).wait()) - start

    return dict(computicle.run(_middle, count, once))


def on_bare_fork(count: int, _os: Any) -> dict[str, float]:
    with started(python("bare_fork", str(count))) as program:
        assert program.stdout is not None
        return {"start": float(program.stdout.readline()) / 1e3}


def on_multiprocessing(method: str, count: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context(method)

    def once() -> int:
        receiving, sending = context.Pipe(duplex=False)
        start = time.monotonic_ns()
        process = context.Process(target=send_now, args=(sending,))
        process.start()
        there = int(receiving.recv())
        process.join()
        return there - start

    return _middle(count, once)


def on_interpreters(count: int, interpreters: Any) -> dict[str, float]:
    def once() -> int:
        start = time.monotonic_ns()
        interpreter = interpreters.create()
        there = int(interpreter.call(now))
        interpreter.close()
        return there - start

    return _middle(count, once)


def on_ray(count: int, ray: Any) -> dict[str, float]:
    class Actor:
        def now(self) -> int:
            return time.monotonic_ns()

    with ray_up(ray):
        remote = ray.remote(Actor)

        def once() -> int:
            start = time.monotonic_ns()
            actor = remote.remote()
            there = int(ray.get(actor.now.remote()))
            ray.kill(actor)
            return there - start

        return _middle(count, once)


def _middle(count: int, once: Callable[[], int]) -> dict[str, float]:
    once()
    return {"start": median(once() for _ in range(count)) / 1e3}


CASES = [
    Case(
        "until the first line of a new computicle",
        30,
        {
            "computicle": on_computicle,
            "computicle by value": on_computicle_by_value,
            LIMIT: on_bare_fork,
            FORKSERVER: partial(on_multiprocessing, "forkserver"),
            SPAWN: partial(on_multiprocessing, "spawn"),
            INTERPRETERS: on_interpreters,
            ACTOR: on_ray,
        },
        {"start": "us"},
        (
            Target("start", 2.0, LIMIT),
            *(Target("start", 1.0, peer) for peer in (FORKSERVER, SPAWN, INTERPRETERS, ACTOR)),
        ),
        rounds=5,
        rounds_quick=2,
    )
]
