"""Predicates: what a turn costs while 1,000 predicates are false.

1,000 fibers wait for a condition that is false; one more fiber gives way 500 times, and each time all the predicates
are asked. CPU time for a turn. Then the condition becomes true, and all 1,000 must come back.

Peers have no predicates. What their users write instead is a loop that asks and gives way, `while not items: sleep(0)`,
and that is their variant: it never lets the machine rest, and ours does.
"""

import asyncio
from time import process_time
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

TURNS = 500
WARM = 50


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    items: list[int] = []

    def turn(times: int) -> None:
        yield_ = computicle.yield_
        for _ in range(times):
            yield_()

    def main() -> float:
        fibers = [computicle.spawn(computicle.wait_for, lambda: items) for _ in range(count)]
        turn(WARM)
        start = process_time()
        turn(TURNS)
        seconds = process_time() - start
        assert not any(fiber.done for fiber in fibers)
        items.append(1)
        for fiber in fibers:
            assert fiber.join() is items
        return seconds

    return _each(computicle.run(main))


def on_gevent(count: int, gevent: Any) -> dict[str, float]:
    items: list[int] = []

    def body() -> None:
        while not items:
            gevent.sleep(0)

    def turn(times: int) -> None:
        for _ in range(times):
            gevent.sleep(0)

    fibers = [gevent.spawn(body) for _ in range(count)]
    turn(WARM)
    start = process_time()
    turn(TURNS)
    seconds = process_time() - start
    items.append(1)
    gevent.joinall(fibers)
    return _each(seconds)


def on_asyncio(count: int, loop: Any) -> dict[str, float]:
    items: list[int] = []

    async def body() -> None:
        while not items:  # noqa: ASYNC110  this loop is what is measured
            await asyncio.sleep(0)

    async def turn(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    async def main() -> float:
        tasks = [asyncio.create_task(body()) for _ in range(count)]
        await turn(WARM)
        start = process_time()
        await turn(TURNS)
        seconds = process_time() - start
        items.append(1)
        for task in tasks:
            await task
        return seconds

    return _each(loop.run(main()))


def on_trio(count: int, trio: Any) -> dict[str, float]:
    items: list[int] = []

    async def body() -> None:
        while not items:
            await trio.lowlevel.checkpoint()

    async def turn(times: int) -> None:
        for _ in range(times):
            await trio.lowlevel.checkpoint()

    async def main() -> float:
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(body)
            await turn(WARM)
            start = process_time()
            await turn(TURNS)
            seconds = process_time() - start
            items.append(1)
        return seconds

    return _each(trio.run(main))


def on_tealetio(count: int, tealetio: Any) -> dict[str, float]:
    items: list[int] = []

    def main() -> float:
        scheduler = tealetio.get_running_scheduler()

        def body() -> None:
            while not items:
                scheduler.yield_()

        def turn(times: int) -> None:
            for _ in range(times):
                scheduler.yield_()

        tasks = [scheduler.spawn(body) for _ in range(count)]
        turn(WARM)
        start = process_time()
        turn(TURNS)
        seconds = process_time() - start
        items.append(1)
        for task in tasks:
            task.wait()
        return seconds

    return _each(tealetio.run(main))


def _each(seconds: float) -> dict[str, float]:
    return {"a turn": seconds / TURNS * 1e6}


CASES = [
    Case(
        "1,000 false predicates",
        1_000,
        {
            "computicle": on_computicle,
            "gevent": on_gevent,
            "asyncio": on_asyncio,
            "uvloop": on_asyncio,
            "trio": on_trio,
            "tealetio": on_tealetio,
        },
        {"a turn": "us"},
        (Target("a turn", 60.0),),
    )
]
