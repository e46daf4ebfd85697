"""Yielding: what giving way once costs.

A crowd of 1, 10 or 100 fibers, each giving way again and again, 200,000 times between them, after a warm-up. The
number is CPU time, so that a neighbour on the machine does not count, divided by how often somebody gave way.
Spawning and joining the crowd is in it, and is too little to be seen.

Peers: gevent.sleep(0), asyncio.sleep(0) on asyncio and on uvloop, trio's checkpoint, tealetio's yield_.
"""

import asyncio
from time import process_time
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

TURNS = 200_000  # of the whole crowd
WARM = 20_000


def on_computicle(crowd: int, computicle: Any) -> dict[str, float]:
    def body(turns: int) -> None:
        yield_ = computicle.yield_
        for _ in range(turns):
            yield_()

    def all_of(turns: int) -> None:
        fibers = [computicle.spawn(body, turns // crowd) for _ in range(crowd)]
        for fiber in fibers:
            fiber.join()

    def main() -> float:
        all_of(WARM)
        start = process_time()
        all_of(TURNS)
        return process_time() - start

    return _each(computicle.run(main))


def on_gevent(crowd: int, gevent: Any) -> dict[str, float]:
    def body(turns: int) -> None:
        sleep = gevent.sleep
        for _ in range(turns):
            sleep(0)

    def all_of(turns: int) -> None:
        gevent.joinall([gevent.spawn(body, turns // crowd) for _ in range(crowd)])

    all_of(WARM)
    start = process_time()
    all_of(TURNS)
    return _each(process_time() - start)


def on_asyncio(crowd: int, loop: Any) -> dict[str, float]:
    async def body(turns: int) -> None:
        sleep = asyncio.sleep
        for _ in range(turns):
            await sleep(0)

    async def all_of(turns: int) -> None:
        tasks = [asyncio.create_task(body(turns // crowd)) for _ in range(crowd)]
        for task in tasks:
            await task

    async def main() -> float:
        await all_of(WARM)
        start = process_time()
        await all_of(TURNS)
        return process_time() - start

    return _each(loop.run(main()))


def on_trio(crowd: int, trio: Any) -> dict[str, float]:
    async def body(turns: int) -> None:
        checkpoint = trio.lowlevel.checkpoint
        for _ in range(turns):
            await checkpoint()

    async def all_of(turns: int) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(crowd):
                nursery.start_soon(body, turns // crowd)

    async def main() -> float:
        await all_of(WARM)
        start = process_time()
        await all_of(TURNS)
        return process_time() - start

    return _each(trio.run(main))


def on_tealetio(crowd: int, tealetio: Any) -> dict[str, float]:
    def main() -> float:
        scheduler = tealetio.get_running_scheduler()

        def body(turns: int) -> None:
            yield_ = scheduler.yield_
            for _ in range(turns):
                yield_()

        def all_of(turns: int) -> None:
            tasks = [scheduler.spawn(lambda: body(turns // crowd)) for _ in range(crowd)]
            for task in tasks:
                task.wait()

        all_of(WARM)
        start = process_time()
        all_of(TURNS)
        return process_time() - start

    return _each(tealetio.run(main))


def _each(seconds: float) -> dict[str, float]:
    return {"a turn": seconds / TURNS * 1e6}


VARIANTS = {
    "computicle": on_computicle,
    "gevent": on_gevent,
    "asyncio": on_asyncio,
    "uvloop": on_asyncio,
    "trio": on_trio,
    "tealetio": on_tealetio,
}
HEADLINE = (
    Target("a turn", 0.45, "gevent"),
    Target("a turn", 1.0, "asyncio"),
    Target("a turn", 1.0, "uvloop"),
    Target("a turn", 1.0, "trio"),
)
CASES = [
    Case("yield_, 10 fibers", 10, VARIANTS, {"a turn": "us"}, HEADLINE),
    Case("yield_, 1 fiber", 1, VARIANTS, {"a turn": "us"}),
    Case("yield_, 100 fibers", 100, VARIANTS, {"a turn": "us"}),
]
