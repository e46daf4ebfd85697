"""Bursts: what it costs to have 10,000 fibers at once, again and again.

Ten times 10,000 fibers, each of which sleeps 10 ms, and 10 ms of quiet after each time; CPU time of one fiber.

This is why idle stacks are not given back at once (crew.py).

Peers: gevent, asyncio, and asyncio on uvloop.
"""

import asyncio
from time import process_time
from typing import Any

from bench.case import Case

__all__ = ["CASES"]

BURSTS = 10
SLEEP_S = 0.01


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def main() -> float:
        start = process_time()
        for _ in range(BURSTS):
            fibers = [computicle.spawn(computicle.sleep, SLEEP_S) for _ in range(count)]
            for fiber in fibers:
                fiber.join()
            computicle.sleep(SLEEP_S)
        return process_time() - start

    return _each(count, computicle.run(main))


def on_gevent(count: int, gevent: Any) -> dict[str, float]:
    start = process_time()
    for _ in range(BURSTS):
        fibers = [gevent.spawn(gevent.sleep, SLEEP_S) for _ in range(count)]
        for fiber in fibers:
            fiber.join()
        gevent.sleep(SLEEP_S)
    return _each(count, process_time() - start)


def on_asyncio(count: int, loop: Any) -> dict[str, float]:
    async def main() -> float:
        start = process_time()
        for _ in range(BURSTS):
            tasks = [asyncio.create_task(asyncio.sleep(SLEEP_S)) for _ in range(count)]
            for task in tasks:
                await task
            await asyncio.sleep(SLEEP_S)
        return process_time() - start

    return _each(count, loop.run(main()))


def _each(count: int, seconds: float) -> dict[str, float]:
    return {"each": seconds / BURSTS / count * 1e6}


CASES = [
    Case(
        "bursts of 10,000 fibers",
        10_000,
        {"computicle": on_computicle, "gevent": on_gevent, "asyncio": on_asyncio, "uvloop": on_asyncio},
        {"each": "us"},
    )
]
