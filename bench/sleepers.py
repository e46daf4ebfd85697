"""Sleepers: what 100,000 sleeps cost.

100,000 fibers, each of which sleeps once, for a time between 0 and 5 seconds; the times are the same for everybody,
from a fixed seed. CPU time from the first spawn until the last has been joined, all in all.

Peers: gevent.sleep, asyncio.sleep on asyncio and on uvloop, trio.sleep, tealetio's sleep.
"""

import asyncio
import random
from time import process_time
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

SEED = 20_11
LONGEST_S = 5.0


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def main(delays: list[float]) -> float:
        start = process_time()
        fibers = [computicle.spawn(computicle.sleep, delay) for delay in delays]
        for fiber in fibers:
            fiber.join()
        return process_time() - start

    return {"CPU": computicle.run(main, _delays(count))}


def on_gevent(count: int, gevent: Any) -> dict[str, float]:
    delays = _delays(count)
    start = process_time()
    fibers = [gevent.spawn(gevent.sleep, delay) for delay in delays]
    for fiber in fibers:
        fiber.join()
    return {"CPU": process_time() - start}


def on_asyncio(count: int, loop: Any) -> dict[str, float]:
    async def main(delays: list[float]) -> float:
        start = process_time()
        tasks = [asyncio.create_task(asyncio.sleep(delay)) for delay in delays]
        for task in tasks:
            await task
        return process_time() - start

    return {"CPU": loop.run(main(_delays(count)))}


def on_trio(count: int, trio: Any) -> dict[str, float]:
    async def main(delays: list[float]) -> float:
        start = process_time()
        async with trio.open_nursery() as nursery:
            for delay in delays:
                nursery.start_soon(trio.sleep, delay)
        return process_time() - start

    return {"CPU": trio.run(main, _delays(count))}


def on_tealetio(count: int, tealetio: Any) -> dict[str, float]:
    def main() -> float:
        scheduler = tealetio.get_running_scheduler()
        delays = _delays(count)
        start = process_time()
        tasks = [scheduler.spawn(lambda delay=delay: scheduler.sleep(delay)) for delay in delays]
        for task in tasks:
            task.wait()
        return process_time() - start

    return {"CPU": tealetio.run(main)}


def _delays(count: int) -> list[float]:
    draw = random.Random(SEED)
    return [draw.uniform(0.0, LONGEST_S) for _ in range(count)]


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
        {"CPU": "s"},
        (Target("CPU", 0.7, "gevent"), Target("CPU", 1.2, "asyncio")),
        rounds=5,
        rounds_quick=2,
        timeout_s=120.0,
    )
]
