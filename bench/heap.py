"""Heap: a block of shared memory, allocated, written to once, and freed.

Wall time of one, the middle one of 2,000, after 200 that are not counted. In words (`alloc` and `free`), and as the
work queue does it, which knows what lies where and needs no object for it.

Peers: multiprocessing's SharedMemory, which is a file each, made, mapped, closed and unlinked.
"""

from collections.abc import Callable
from importlib import import_module
from statistics import median
from time import perf_counter
from typing import Any

from bench.case import Case, Target, Variant

__all__ = ["CASES"]

TIMES = 2_000
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


def on_shared_memory(size: int, _multiprocessing: Any) -> dict[str, float]:
    shared_memory = import_module("multiprocessing.shared_memory")

    def once() -> None:
        memory = shared_memory.SharedMemory(create=True, size=size)
        memory.buf[0] = 1
        memory.close()
        memory.unlink()

    return _middle(once)


def _middle(once: Callable[[], None]) -> dict[str, float]:
    for _ in range(TIMES // 10):
        once()
    return {"allocate and free": median(_timed(once) for _ in range(TIMES)) * 1e6}


def _timed(once: Callable[[], None]) -> float:
    start = perf_counter()
    once()
    return perf_counter() - start


PEER = "multiprocessing SharedMemory"
VARIANTS: dict[str, Variant] = {
    "computicle": on_computicle,
    "computicle reserve": on_computicle_without_blocks,
    PEER: on_shared_memory,
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
