"""Signals: what it costs to wake 10,000 waiters.

All wait for one signal, or one Event. CPU time from the call that wakes them until each of them has run on, for each of
them: the middle one of three crowds in the same process, each made afresh, the making not counted.

Peers: Event.set of gevent, of asyncio on asyncio and on uvloop, of trio, and of tealetio.
"""

import asyncio
from statistics import median
from time import process_time
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

CROWDS = 3


class _Count:
    """Of the waiters who are about to wait, and of those who have run on."""

    def __init__(self) -> None:
        self.arrived = 0
        self.back = 0


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def body(seen: _Count) -> None:
        seen.arrived += 1
        computicle.wait_signal("go")
        seen.back += 1

    def crowd() -> float:
        seen = _Count()
        fibers = [computicle.spawn(body, seen) for _ in range(count)]
        while seen.arrived < count:
            computicle.yield_()
        start = process_time()
        computicle.signal_all("go")
        while seen.back < count:
            computicle.yield_()
        seconds = process_time() - start
        for fiber in fibers:
            fiber.join()
        return seconds

    return _each([computicle.run(crowd) for _ in range(CROWDS)], count)


def on_gevent(count: int, gevent: Any) -> dict[str, float]:
    def body(seen: _Count, event: Any) -> None:
        seen.arrived += 1
        event.wait()
        seen.back += 1

    def crowd() -> float:
        seen, event = _Count(), gevent.event.Event()
        fibers = [gevent.spawn(body, seen, event) for _ in range(count)]
        while seen.arrived < count:
            gevent.sleep(0)
        start = process_time()
        event.set()
        while seen.back < count:
            gevent.sleep(0)
        seconds = process_time() - start
        gevent.joinall(fibers)
        return seconds

    return _each([crowd() for _ in range(CROWDS)], count)


def on_asyncio(count: int, loop: Any) -> dict[str, float]:
    async def body(seen: _Count, event: asyncio.Event) -> None:
        seen.arrived += 1
        await event.wait()
        seen.back += 1

    async def crowd() -> float:
        seen, event = _Count(), asyncio.Event()
        tasks = [asyncio.create_task(body(seen, event)) for _ in range(count)]
        while seen.arrived < count:  # noqa: ASYNC110  nobody is there to tell: all are to wait
            await asyncio.sleep(0)
        start = process_time()
        event.set()
        while seen.back < count:  # noqa: ASYNC110  to be told would be one more thing to measure
            await asyncio.sleep(0)
        seconds = process_time() - start
        for task in tasks:
            await task
        return seconds

    return _each([loop.run(crowd()) for _ in range(CROWDS)], count)


def on_trio(count: int, trio: Any) -> dict[str, float]:
    async def body(seen: _Count, event: Any) -> None:
        seen.arrived += 1
        await event.wait()
        seen.back += 1

    async def crowd() -> float:
        seen, event = _Count(), trio.Event()
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(body, seen, event)
            while seen.arrived < count:
                await trio.lowlevel.checkpoint()
            start = process_time()
            event.set()
            while seen.back < count:
                await trio.lowlevel.checkpoint()
            return process_time() - start

    return _each([trio.run(crowd) for _ in range(CROWDS)], count)


def on_tealetio(count: int, tealetio: Any) -> dict[str, float]:
    def crowd() -> float:
        scheduler, event = tealetio.get_running_scheduler(), tealetio.Event()
        seen = _Count()

        def body() -> None:
            seen.arrived += 1
            event.swait()
            seen.back += 1

        tasks = [scheduler.spawn(body) for _ in range(count)]
        while seen.arrived < count:
            scheduler.yield_()
        start = process_time()
        event.set()
        while seen.back < count:
            scheduler.yield_()
        seconds = process_time() - start
        for task in tasks:
            task.wait()
        return seconds

    return _each([tealetio.run(crowd) for _ in range(CROWDS)], count)


def _each(crowds: list[float], count: int) -> dict[str, float]:
    return {"a waiter": median(crowds) / count * 1e6}


CASES = [
    Case(
        "signal to 10,000 waiters",
        10_000,
        {
            "computicle": on_computicle,
            "gevent": on_gevent,
            "asyncio": on_asyncio,
            "uvloop": on_asyncio,
            "trio": on_trio,
            "tealetio": on_tealetio,
        },
        {"a waiter": "us"},
        (Target("a waiter", 0.5, "gevent"),),
    )
]
