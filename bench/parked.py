"""Parked: what 100,000 fibers that wait cost, in memory and in time to make.

All wait for one signal, or one Event. Memory is how much the resident set grew, from before the first spawn until all
are parked, for each fiber. The time is CPU time, for each fiber to be spawned and to run to its wait. Then they are
released, and must all come back: so many were parked.

Peers: gevent, asyncio and trio with their own Event; tealetio with an Event for each fiber, because its Event looks
through a list for every waiter, which would take hours.
"""

import asyncio
import resource
from time import process_time
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]


class _Gauge:
    """Taken before the first spawn, read when all are parked."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.arrived = 0
        self.back = 0
        self._bytes = _resident_bytes()
        self._start = process_time()

    def read(self) -> dict[str, float]:
        seconds = process_time() - self._start
        grown = _resident_bytes() - self._bytes
        assert self.arrived == self.count
        assert self.back == 0
        return {"memory": grown / self.count, "making": seconds / self.count * 1e6}

    def all_back(self) -> None:
        assert self.back == self.count


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def body(gauge: _Gauge) -> None:
        gauge.arrived += 1
        computicle.wait_signal("go")
        gauge.back += 1

    def main() -> dict[str, float]:
        gauge = _Gauge(count)
        fibers = [computicle.spawn(body, gauge) for _ in range(count)]
        while gauge.arrived < count:
            computicle.yield_()
        numbers = gauge.read()
        assert computicle.signal_all("go") == count
        for fiber in fibers:
            fiber.join()
        gauge.all_back()
        return numbers

    return dict(computicle.run(main))


def on_gevent(count: int, gevent: Any) -> dict[str, float]:
    event = gevent.event.Event()

    def body(gauge: _Gauge) -> None:
        gauge.arrived += 1
        event.wait()
        gauge.back += 1

    gauge = _Gauge(count)
    fibers = [gevent.spawn(body, gauge) for _ in range(count)]
    while gauge.arrived < count:
        gevent.sleep(0)
    numbers = gauge.read()
    event.set()
    for fiber in fibers:
        fiber.join()
    gauge.all_back()
    return numbers


def on_asyncio(count: int, loop: Any) -> dict[str, float]:
    async def body(gauge: _Gauge, event: asyncio.Event) -> None:
        gauge.arrived += 1
        await event.wait()
        gauge.back += 1

    async def main() -> dict[str, float]:
        event = asyncio.Event()
        gauge = _Gauge(count)
        tasks = [asyncio.create_task(body(gauge, event)) for _ in range(count)]
        while gauge.arrived < count:  # noqa: ASYNC110  nobody is there to tell: all are to be parked
            await asyncio.sleep(0)
        numbers = gauge.read()
        event.set()
        for task in tasks:
            await task
        gauge.all_back()
        return numbers

    return dict(loop.run(main()))


def on_trio(count: int, trio: Any) -> dict[str, float]:
    async def body(gauge: _Gauge, event: Any) -> None:
        gauge.arrived += 1
        await event.wait()
        gauge.back += 1

    async def main() -> dict[str, float]:
        event = trio.Event()
        gauge = _Gauge(count)
        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(body, gauge, event)
            while gauge.arrived < count:
                await trio.lowlevel.checkpoint()
            numbers = gauge.read()
            event.set()
        gauge.all_back()
        return numbers

    return dict(trio.run(main))


def on_tealetio(count: int, tealetio: Any) -> dict[str, float]:
    def main() -> dict[str, float]:
        scheduler = tealetio.get_running_scheduler()
        events: list[Any] = []

        def body() -> None:
            gauge.arrived += 1
            events.append(event := tealetio.Event())
            event.swait()
            gauge.back += 1

        gauge = _Gauge(count)
        tasks = [scheduler.spawn(body) for _ in range(count)]
        while gauge.arrived < count:
            scheduler.yield_()
        numbers = gauge.read()
        for event in events:
            event.set()
        for task in tasks:
            task.wait()
        gauge.all_back()
        return numbers

    return dict(tealetio.run(main))


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


CASES = [
    Case(
        "100,000 parked fibers",
        100_000,
        {
            "computicle": on_computicle,
            "gevent": on_gevent,
            "asyncio": on_asyncio,
            "uvloop": on_asyncio,
            "trio": on_trio,
            "tealetio": on_tealetio,
        },
        {"memory": "bytes a fiber", "making": "us a fiber"},
        (Target("memory", 1.0, "gevent"), Target("making", 0.7, "gevent")),
        rounds=5,
        rounds_quick=2,
        timeout_s=120.0,
    )
]
