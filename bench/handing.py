"""Handing: one item to a worker that waits, on another core.

From right before it is put in until the worker has it, by the clock that all processes share; the middle one of 2,000, after
200 that are not counted, half a millisecond apart, so that the worker sleeps each time. The worker says when it
had it by a second way of the same kind.

The limit is a raw pipe between two plain processes, the reader blocked in read(2).

Blocks: of 1 KiB, and of 100 MiB; from before it is put in until the worker has read its first and last byte. The block goes to and
fro: to allocate one is not part of this. Beside them, 100 MiB of bytes through multiprocessing's Queue, the middle one of 5.
"""

import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from time import perf_counter, perf_counter_ns
from typing import Any

from bench.case import Case, Target
from bench.outside import put_apart

__all__ = ["CASES"]

TIMES = 2_000
TIMES_SLOW = 5
APART_S = 0.0005
TAKEN = struct.Struct("<q")


def on_computicle(_argument: int, computicle: Any) -> dict[str, float]:
    def main() -> dict[str, float]:
        there, back = computicle.WorkQueue(10), computicle.WorkQueue(10)
        world = computicle.Computicle(_say_when, there, back)
        put_apart(world.pid)

        def once() -> float:
            began = perf_counter_ns()
            there.enqueue(1)
            with back.dequeue() as item:
                return float(item.value - began)

        numbers = {"latency": _middle(once, TIMES) / 1e3}
        world.kill()
        return numbers

    return dict(computicle.run(main))


def _say_when(there: Any, back: Any) -> None:
    for _item in there:
        back.enqueue(perf_counter_ns())


def on_pipe(_argument: int, _os: Any) -> dict[str, float]:
    there, theirs = os.pipe()[::-1]
    mine, back = os.pipe()
    pid = os.fork()
    if pid == 0:
        while os.read(theirs, 128):
            os.write(back, TAKEN.pack(perf_counter_ns()))
    put_apart(pid)
    record = bytes(128)

    def once() -> float:
        began = perf_counter_ns()
        os.write(there, record)
        return float(TAKEN.unpack(os.read(mine, TAKEN.size))[0] - began)

    try:
        return {"latency": _middle(once, TIMES) / 1e3}
    finally:
        os.kill(pid, 9)
        os.waitpid(pid, 0)


def on_blocks(size: int, _argument: int, computicle: Any) -> dict[str, float]:
    def main() -> dict[str, float]:
        heap = computicle.Heap(2 * max(size, 1 << 20))
        there, back = computicle.WorkQueue(10, heap), computicle.WorkQueue(10, heap)
        world = computicle.Computicle(_look_and_return, there, back)
        put_apart(world.pid)
        block = heap.alloc(size)
        block[0] = block[size - 1] = 1
        there.enqueue(block)

        def once() -> float:
            with back.dequeue() as item:
                block = item.value
                block[0:8] = TAKEN.pack(perf_counter_ns())
                there.enqueue(block)
            with back.dequeue() as item:
                block = item.value
                took_ns = TAKEN.unpack(block[0:8])[0]
                there.enqueue(block)
            return float(took_ns)

        numbers = {"hand-off": _middle(once, TIMES) / 1e6}
        world.kill()
        return numbers

    return dict(computicle.run(main))


def _look_and_return(there: Any, back: Any) -> None:
    for item in there:
        block = item.value
        took_ns = perf_counter_ns() - TAKEN.unpack(block[0:8])[0] + block[len(block) - 1] - 1
        block[0:8] = TAKEN.pack(took_ns)
        back.enqueue(block)


def on_queue(size: int, _argument: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("fork")
    there, back = context.Queue(), context.Queue()
    process = context.Process(target=_get_and_say, args=(there, back))
    process.start()
    put_apart(process.pid)
    block = bytes(size)

    def once() -> float:
        began = perf_counter_ns()
        there.put(block)
        return float(back.get() - began)

    numbers = {"hand-off": _middle(once, TIMES_SLOW) / 1e6}
    there.put(None)
    process.join()
    return numbers


def _get_and_say(there: Any, back: Any) -> None:
    while (block := there.get()) is not None:
        assert block[0] == block[-1]
        back.put(perf_counter_ns())


def _middle(once: Callable[[], float], times: int) -> float:
    def apart() -> Iterator[float]:
        for _ in range(times + times // 10):
            rest = perf_counter() + APART_S
            while perf_counter() < rest:
                pass
            yield once()

    return median(list(apart())[times // 10 :])


KIB, MIB_100 = 1 << 10, 100 << 20
LIMIT = "os pipe"
SMALL = "computicle 1 KiB"
QUEUE = "multiprocessing Queue 100 MiB"
CASES = [
    Case(
        "an item to a worker that waits",
        1,
        {"computicle": on_computicle, LIMIT: on_pipe},
        {"latency": "us"},
        (Target("latency", 2.0, LIMIT),),
    ),
    Case(
        "a block to a worker that waits",
        1,
        {
            "computicle": partial(on_blocks, MIB_100),
            SMALL: partial(on_blocks, KIB),
            QUEUE: partial(on_queue, MIB_100),
        },
        {"hand-off": "ms"},
        (Target("hand-off", 1 / 100, QUEUE), Target("hand-off", 3.0, SMALL)),
        rounds=5,
    ),
]
