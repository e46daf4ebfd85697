"""Sleepers: what 100,000 sleeps cost.

100,000 fibers, each of which sleeps once, for a time between 0 and 5 seconds; the times are the same for everybody,
from a fixed seed. CPU time, all in all: from the start until the last has been joined ("CPU"), and until all of them are
gone and the library's own run has ended, too ("to the end"). Ours keeps idle stacks for ten seconds (crew.py), so only
the second has what it costs to give them back.

Peers: gevent.sleep, asyncio.sleep on asyncio and on uvloop, trio.sleep, tealetio's sleep.
"""

import asyncio
import random
from collections.abc import Callable
from time import process_time
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

SEED = 20_11
LONGEST_S = 5.0


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def main(delays: list[float]) -> float:
        fibers = [computicle.spawn(computicle.sleep, delay) for delay in delays]
        for fiber in fibers:
            fiber.join()
        return process_time()

    return _timed(count, lambda delays: computicle.run(main, delays))


def on_gevent(count: int, gevent: Any) -> dict[str, float]:
    def main(delays: list[float]) -> float:
        fibers = [gevent.spawn(gevent.sleep, delay) for delay in delays]
        for fiber in fibers:
            fiber.join()
        return process_time()

    return _timed(count, main)


def on_asyncio(count: int, loop: Any) -> dict[str, float]:
    async def main(delays: list[float]) -> float:
        tasks = [asyncio.create_task(asyncio.sleep(delay)) for delay in delays]
        for task in tasks:
            await task
        return process_time()

    return _timed(count, lambda delays: loop.run(main(delays)))


def on_trio(count: int, trio: Any) -> dict[str, float]:
    async def main(delays: list[float]) -> float:
        async with trio.open_nursery() as nursery:
            for delay in delays:
                nursery.start_soon(trio.sleep, delay)
        return process_time()

    return _timed(count, lambda delays: trio.run(main, delays))


def on_tealetio(count: int, tealetio: Any) -> dict[str, float]:
    def main(delays: list[float]) -> float:
        scheduler = tealetio.get_running_scheduler()
        tasks = [scheduler.spawn(lambda delay=delay: scheduler.sleep(delay)) for delay in delays]
        for task in tasks:
            task.wait()
        return process_time()

    return _timed(count, lambda delays: tealetio.run(lambda: main(delays)))


def _timed(count: int, sleep_all: Callable[[list[float]], float]) -> dict[str, float]:
    """`sleep_all` returns the CPU time when the last one was joined."""
    draw = random.Random(SEED)
    delays = [draw.uniform(0.0, LONGEST_S) for _ in range(count)]
    start = process_time()
    joined = sleep_all(delays)
    return {"CPU": joined - start, "to the end": process_time() - start}


CASES = [
    Case(
        "100,000 sleepers",
        100_000,
        {
            "computicle": on_computicle,
            "gevent": on_gevent,
            "asyncio": on_asyncio,
            "uvloop": on_asyncio,
            "trio": on_trio,
            "tealetio": on_tealetio,
        },
        {"CPU": "s", "to the end": "s"},
        (
            Target("CPU", 0.7, "gevent"),
            Target("CPU", 1.2, "asyncio"),
            Target("to the end", 0.7, "gevent"),
            Target("to the end", 1.2, "asyncio"),
        ),
        rounds=5,
        rounds_quick=2,
        timeout_s=120.0,
    )
]
