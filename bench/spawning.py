"""Spawning: what it costs to start an empty function and wait for its end.

One at a time (spawn, join, and the next), which is the promise; and 100 at a time (spawn all, then join all), which
shows what is reused and what is not. 50,000 of them, after a warm-up, in CPU time.

Peers: gevent.spawn and join; asyncio's create_task and await, on asyncio and on uvloop; a trio nursery for each batch,
since it is the only way to wait for a trio task; tealetio's spawn and wait.
"""

import asyncio
from collections.abc import Callable
from time import process_time
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

SPAWNS = 50_000
WARM = 5_000


def on_computicle(batch: int, computicle: Any) -> dict[str, float]:
    def some(count: int) -> None:
        spawn = computicle.spawn
        for _ in range(count // batch):
            fibers = [spawn(_empty) for _ in range(batch)]
            for fiber in fibers:
                fiber.join()

    return _each(computicle.run(_timed, some))


def on_gevent(batch: int, gevent: Any) -> dict[str, float]:
    def some(count: int) -> None:
        spawn = gevent.spawn
        for _ in range(count // batch):
            fibers = [spawn(_empty) for _ in range(batch)]
            for fiber in fibers:
                fiber.join()

    return _each(_timed(some))


def on_asyncio(batch: int, loop: Any) -> dict[str, float]:
    async def some(count: int) -> None:
        create_task = asyncio.create_task
        for _ in range(count // batch):
            tasks = [create_task(_empty_async()) for _ in range(batch)]
            for task in tasks:
                await task

    async def main() -> float:
        await some(WARM)
        start = process_time()
        await some(SPAWNS)
        return process_time() - start

    return _each(loop.run(main()))


def on_trio(batch: int, trio: Any) -> dict[str, float]:
    async def some(count: int) -> None:
        for _ in range(count // batch):
            async with trio.open_nursery() as nursery:
                for _ in range(batch):
                    nursery.start_soon(_empty_async)

    async def main() -> float:
        await some(WARM)
        start = process_time()
        await some(SPAWNS)
        return process_time() - start

    return _each(trio.run(main))


def on_tealetio(batch: int, tealetio: Any) -> dict[str, float]:
    def some(count: int) -> None:
        spawn = tealetio.get_running_scheduler().spawn
        for _ in range(count // batch):
            tasks = [spawn(_empty) for _ in range(batch)]
            for task in tasks:
                task.wait()

    return _each(tealetio.run(lambda: _timed(some)))


def _empty() -> None:
    """What is spawned."""


async def _empty_async() -> None:
    """What is spawned where functions are async."""


def _timed(some: Callable[[int], None]) -> float:
    some(WARM)
    start = process_time()
    some(SPAWNS)
    return process_time() - start


def _each(seconds: float) -> dict[str, float]:
    return {"each": seconds / SPAWNS * 1e6}


VARIANTS = {
    "computicle": on_computicle,
    "gevent": on_gevent,
    "asyncio": on_asyncio,
    "uvloop": on_asyncio,
    "trio": on_trio,
    "tealetio": on_tealetio,
}
CASES = [
    Case(
        "spawn and join, one at a time",
        1,
        VARIANTS,
        {"each": "us"},
        (Target("each", 0.2, "gevent"), Target("each", 0.5, "asyncio")),
    ),
    Case("spawn and join, 100 at a time", 100, VARIANTS, {"each": "us"}),
]
