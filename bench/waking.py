"""Waking: how often workers are woken that wait for items; and that they do nothing while there are none.

Four workers wait, on whichever cores they like. 1,000 items are put in one at a time, each once the one before is done.
A wake-up is a return from the wait for the queue, whether there was something to be taken then or not: the queue counts them. One
item needs one.

Then none is put in, for 5 seconds, in which one worker is watched from outside (watching.py).
"""

import time
from typing import Any

from bench.case import Case, Target
from bench.watching import UNITS, watched

__all__ = ["CASES"]

ITEMS = 1_000
SETTLE_S = 0.3  # until all of them wait


def on_computicle(workers: int, computicle: Any) -> dict[str, float]:
    def main() -> dict[str, float]:
        queue, done = computicle.WorkQueue(10), computicle.WorkQueue(10)
        worlds = [computicle.Computicle(_take, queue, done) for _ in range(workers)]
        time.sleep(SETTLE_S)
        before = queue.stats().wakes
        for number in range(ITEMS):
            queue.enqueue(number)
            done.dequeue().finish()
        wakes = queue.stats().wakes - before
        for world in worlds:
            world.kill()
        return {"wake-ups an item": wakes / ITEMS}

    return dict(computicle.run(main))


def _take(queue: Any, done: Any) -> None:
    for item in queue:
        done.enqueue(item.value)


def idle_on_computicle(workers: int, computicle: Any) -> dict[str, float]:
    def main() -> dict[str, float]:
        queue, done = computicle.WorkQueue(10), computicle.WorkQueue(10)
        worlds = [computicle.Computicle(_take, queue, done) for _ in range(workers)]
        for number in range(workers):
            queue.enqueue(number)
            done.dequeue().finish()
        time.sleep(SETTLE_S)
        numbers = watched(worlds[0].pid)
        for world in worlds:
            world.kill()
        return numbers

    return dict(computicle.run(main))


CASES = [
    Case(
        "1,000 items, one at a time, to 4 workers that wait",
        4,
        {"computicle": on_computicle},
        {"wake-ups an item": ""},
        (Target("wake-ups an item", 1.2),),
        rounds=5,
    ),
    Case(
        "a worker of an idle queue, for 5 s",
        4,
        {"computicle": idle_on_computicle},
        UNITS,
        (Target("system calls", 0.0), Target("CPU", 0.0), Target("context switches", 0.0)),
        rounds=3,
        rounds_quick=1,
    ),
]
