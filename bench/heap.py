"""Heap: a block of shared memory, allocated, written to once, and freed.

Wall time of one, the middle one of 2,000, after 200 that are not counted. In words (`alloc` and `free`), and as the
work queue does it, which knows what lies where and needs no object for it. Then what another computicle has allocated, and
this one frees: as the queue does that, to take it over and free it.

Peers: multiprocessing's SharedMemory, which is a file each, made, mapped, closed and unlinked; an object of Ray's store, put
there, got and dropped.
"""

from collections.abc import Callable
from importlib import import_module
from statistics import median
from time import perf_counter
from typing import Any

from bench.case import Case, Target, Variant
from bench.outside import ray_up

__all__ = ["CASES"]

TIMES = 2_000
TIMES_SLOW = 300
TIMES_ELSEWHERE = 220  # as many of the largest as fit into the heap
HEAP_SIZE = 1 << 28


def on_computicle(size: int, _computicle: Any) -> dict[str, float]:
    heap = import_module("computicle.work.heap").Heap(HEAP_SIZE)

    def once() -> None:
        block = heap.alloc(size)
        block[0] = 1
        block.free()

    return _middle(once)


def on_computicle_without_blocks(size: int, _computicle: Any) -> dict[str, float]:
    heap = import_module("computicle.work.heap").Heap(HEAP_SIZE)

    def once() -> None:
        offset = heap.try_reserve(size)
        heap.memory(offset, size)[0] = 1
        heap.release(offset)

    return _middle(once)


def on_computicle_from_elsewhere(size: int, computicle: Any) -> dict[str, float]:
    def main() -> dict[str, float]:
        heap = computicle.Heap(HEAP_SIZE)
        with computicle.Computicle(stay=True) as world:
            offsets = iter(world.call(_reserve_many, heap, size, TIMES_ELSEWHERE))

            def once() -> None:
                offset = next(offsets)
                heap.claim(offset)
                heap.release(offset)

            numbers = _middle(once, TIMES_ELSEWHERE * 10 // 11)
            for offset in offsets:
                heap.claim(offset)
                heap.release(offset)
        return numbers

    return dict(computicle.run(main))


def _reserve_many(heap: Any, size: int, count: int) -> list[int]:
    return [heap.try_reserve(size) for _ in range(count)]


def on_ray(size: int, ray: Any) -> dict[str, float]:
    what = import_module("numpy").zeros(size, "u1")

    def once() -> None:
        ray.get(ray.put(what))

    with ray_up(ray):
        return _middle(once, TIMES_SLOW)


def on_shared_memory(size: int, _multiprocessing: Any) -> dict[str, float]:
    shared_memory = import_module("multiprocessing.shared_memory")

    def once() -> None:
        memory = shared_memory.SharedMemory(create=True, size=size)
        memory.buf[0] = 1
        memory.close()
        memory.unlink()

    return _middle(once)


def _middle(once: Callable[[], None], times: int = TIMES) -> dict[str, float]:
    for _ in range(times // 10):
        once()
    return {"allocate and free": median(_timed(once) for _ in range(times)) * 1e6}


def _timed(once: Callable[[], None]) -> float:
    start = perf_counter()
    once()
    return perf_counter() - start


PEER = "multiprocessing SharedMemory"
VARIANTS: dict[str, Variant] = {
    "computicle": on_computicle,
    "computicle reserve": on_computicle_without_blocks,
    "computicle free what others have": on_computicle_from_elsewhere,
    PEER: on_shared_memory,
    "ray put and get": on_ray,
}
SIZES = {64: "64 bytes", 4096: "4 KiB", 65_536: "64 KiB", 1 << 20: "1 MiB"}
CASES = [
    Case(
        f"a block of {text}",
        size,
        VARIANTS,
        {"allocate and free": "us"},
        (Target("allocate and free", 0.75, PEER),),
    )
    for size, text in SIZES.items()
]
