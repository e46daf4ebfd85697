"""Crowd: 500 computicles alive at once.

All are made, each is posted a number, and each answers with it: wall time from the first call until the last answer is
there. Then all are told to quit: wall time until all ends are known. No process may be left.

Peers: as many processes of multiprocessing by forkserver, a pipe each.
"""

import os
from collections.abc import Callable
from time import perf_counter
from typing import Any

from bench.case import Case, Target
from bench.outside import raise_descriptors

__all__ = ["CASES"]


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def answer(maker: Any) -> None:
        while True:
            maker.post(computicle.receive())

    worlds: list[Any] = []

    def start() -> None:
        maker = computicle.self_()
        worlds.extend(computicle.Computicle(answer, maker) for _ in range(count))
        for number, world in enumerate(worlds):
            world.post(number)
        assert sorted(computicle.receive() for _ in worlds) == [*range(count)]

    def end() -> None:
        for world in worlds:
            world.quit()
        for world in worlds:
            world.wait()

    def main() -> dict[str, float]:
        computicle.Computicle("").wait()  # now there is a zygote
        numbers = {"to start": _seconds(start)}
        assert all(world.alive for world in worlds)
        numbers["to end"] = _seconds(end)
        assert not [world for world in worlds if os.path.exists(f"/proc/{world.pid}")]
        return numbers

    raise_descriptors()
    return dict(computicle.run(main))


def on_forkserver(count: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("forkserver")
    processes: list[Any] = []
    pipes: list[Any] = []

    def start() -> None:
        for number in range(count):
            here, there = context.Pipe()
            pipes.append(here)
            processes.append(context.Process(target=_answer, args=(there,)))
            processes[-1].start()
            there.close()
            here.send(number)
        assert [pipe.recv() for pipe in pipes] == [*range(count)]

    def end() -> None:
        for pipe in pipes:
            pipe.send(None)
        for process in processes:
            process.join()

    raise_descriptors()
    return {"to start": _seconds(start), "to end": _seconds(end)}


def _answer(connection: Any) -> None:
    while (message := connection.recv()) is not None:
        connection.send(message)


def _seconds(work: Callable[[], None]) -> float:
    start = perf_counter()
    work()
    return perf_counter() - start


CASES = [
    Case(
        "500 computicles",
        500,
        {"computicle": on_computicle, "multiprocessing forkserver": on_forkserver},
        {"to start": "s", "to end": "s"},
        (Target("to start", 3.0),),
        rounds=3,
        rounds_quick=1,
    )
]
