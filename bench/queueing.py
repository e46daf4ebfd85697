"""Queueing: small items from one producer to workers that do nothing but take them.

Wall time from the first item until every worker has said that nothing is left, for each of 60,000 items; 4,000 go before,
which are not counted. Up to 1,000 items may be on the way. The producer has a core, and all workers have the other: nobody
gets in its way, and what more workers cost is what shows.

Peers: multiprocessing's Queue, as long, and with as many processes; lists of 32 put into it at once. The promises for
batches, too, are about the Queue with one item at a time: that is how people use it.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from bench.case import Case, Target
from bench.outside import put_apart

__all__ = ["CASES"]

COUNT = 60_000
WARM = 4_000
LENGTH = 1_000  # items on the way
TOGETHER = 32
ITEM = ("job", 7)


def on_computicle(together: int, workers: int, computicle: Any) -> dict[str, float]:
    def main() -> dict[str, float]:
        worlds = [computicle.Computicle(stay=True) for _ in range(workers)]
        for world in worlds:
            put_apart(world.pid)

        def all_through(count: int) -> None:
            queue = computicle.WorkQueue(LENGTH)
            taking = [world.exec(_take if together == 1 else _take_many, queue) for world in worlds]
            if together == 1:
                for _ in range(count):
                    queue.enqueue(ITEM)
            else:
                for _ in range(count // together):
                    queue.enqueue_many([ITEM] * together)
            queue.close()
            assert sum(taken.result() for taken in taking) == count

        all_through(WARM)
        numbers = _each(all_through)
        for world in worlds:
            world.kill()
        return numbers

    return dict(computicle.run(main))


def _take(queue: Any) -> int:
    count = 0
    for item in queue:
        assert item.value[1] == 7
        count += 1
    return count


def _take_many(queue: Any) -> int:
    from computicle import ClosedError  # noqa: PLC0415  # in the worker

    count = 0
    while True:
        try:
            batch = queue.dequeue_many(TOGETHER)
        except ClosedError:
            return count
        with batch:
            for value in batch.values:
                assert value[1] == 7
                count += 1


def on_queue(together: int, workers: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("fork")

    def start() -> tuple[Any, Any, list[Any]]:
        queue, done = context.Queue(LENGTH // together), context.Queue()
        processes = [context.Process(target=_get, args=(queue, done, together)) for _ in range(workers)]
        for process in processes:
            process.start()
            put_apart(process.pid)
            assert done.get() == "ready"
        return queue, done, processes

    def all_through(count: int, queue: Any, done: Any, processes: list[Any]) -> None:
        what = ITEM if together == 1 else [ITEM] * together
        for _ in range(count // together):
            queue.put(what)
        for _ in processes:
            queue.put(None)
        assert sum(done.get() for _ in processes) == count

    all_through(WARM, *start())
    ready = start()
    return _each(partial(all_through, queue=ready[0], done=ready[1], processes=ready[2]))


def _get(queue: Any, done: Any, together: int) -> None:
    done.put("ready")
    count = 0
    while (got := queue.get()) is not None:
        for value in (got,) if together == 1 else got:
            assert value[1] == 7
            count += 1
    done.put(count)


def _each(all_through: Callable[[int], None]) -> dict[str, float]:
    start = perf_counter()
    all_through(COUNT)
    return {"each": (perf_counter() - start) / COUNT * 1e6}


QUEUE = "multiprocessing Queue"
LISTS = "multiprocessing Queue of lists"
CASES = [
    Case(
        f"{'small items' if together == 1 else 'small items in batches'}, {workers} worker{'s' * (workers > 1)}",
        workers,
        {
            "computicle": partial(on_computicle, together),
            QUEUE: partial(on_queue, 1),
            LISTS: partial(on_queue, TOGETHER),
        },
        {"each": "us"},
        (Target("each", 1 / 2 if together == 1 else 1 / 8, QUEUE),),
        rounds=5,
    )
    for together in (1, TOGETHER)
    for workers in (1, 2, 4)
]
