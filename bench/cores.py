"""Cores: two computicles compute at the same time.

Two pieces of plain Python, about half a second each: one in each of two computicles, or one after the other in one.
Wall time from making the first until both pieces are known to be done, after a computicle that is not counted. On a
machine with one core, or with other work to do, it says nothing.

Peers: two processes of multiprocessing, forked.
"""

from functools import partial
from time import perf_counter
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

IN_ONE = "computicle one for both"


def on_computicles(number: int, count: int, computicle: Any) -> dict[str, float]:
    def main() -> float:
        computicle.Computicle(work, 1).wait()
        start = perf_counter()
        for world in [computicle.Computicle(work, count, 2 // number) for _ in range(number)]:
            world.wait()
        return perf_counter() - start

    return {"both": computicle.run(main)}


def on_multiprocessing(count: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("fork")
    start = perf_counter()
    processes = [context.Process(target=work, args=(count,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return {"both": perf_counter() - start}


def work(count: int, pieces: int = 1) -> None:
    """So many pieces, one after the other."""
    for _ in range(pieces):
        total = 0
        for number in range(count):
            total += number * number & 7


CASES = [
    Case(
        "two pieces of work in two computicles",
        8_000_000,
        {
            "computicle": partial(on_computicles, 2),
            IN_ONE: partial(on_computicles, 1),
            "multiprocessing two processes": on_multiprocessing,
        },
        {"both": "s"},
        (Target("both", 1 / 1.85, IN_ONE),),
    )
]
