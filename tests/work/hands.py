"""Hands: what a process does with two queues and their heap, written down as it does it.

The items are numbered, and of four kinds. The record of what was done with each outlives whoever has done it.
"""

import mmap
import pickle
from collections.abc import Callable, Sequence
from typing import Any

from computicle import select
from computicle.engine.op import ClosedError
from computicle.work.batch import Batch
from computicle.work.block import Block
from computicle.work.dead import DeadItem
from computicle.work.item import Item
from computicle.work.queue import WorkQueue

NUMBERS = 128  # of items
KINDS = ("small", "large", "block", "parts")
SIZES = {"large": 1000, "block": 5000, "parts": 20_000}  # bytes
KIND_BY_SIZE = {size: kind for kind, size in SIZES.items()}


class Parts:
    """Large buffers lie beside its pickle."""

    def __init__(self, data: Any) -> None:
        self.data = data

    def __reduce__(self) -> Any:
        return Parts, (pickle.PickleBuffer(self.data),)


class Record:
    """What one process has done with each item, in memory that outlives it. A byte for each number."""

    def __init__(self) -> None:
        self.map = mmap.mmap(-1, 16 + 6 * NUMBERS)
        self.view = view = memoryview(self.map)
        self.lines = view[:8].cast("Q")  # it has come to, of the work rooms
        self.passing = view[8:12].cast("I")  # blocks that it has begun to pass on
        self.passed = view[12:16].cast("I")  # of those: that it has
        self.begun, self.put, self.taken, self.done, self.finished, self.dropped = (
            view[16 + index * NUMBERS : 16 + (index + 1) * NUMBERS] for index in range(6)
        )

    def unsure(self, number: int) -> int:
        """Whether it was about to finish that one, or has just done so."""
        return self.done[number] - self.finished[number]


class Hands:
    """What one process does with two queues and their heap, and writes down."""

    def __init__(self, queue: WorkQueue, second: WorkQueue, record: Record, first: int) -> None:
        self.first = first  # of the numbers of its own items
        self.queue = queue
        self.second = second
        self.heap = queue.heap
        self.record = record

    def make(self, kind: str, number: int) -> Any:
        """The item of that number."""
        if kind == "small":
            return number
        data = filling(kind, number)
        if kind == "large":
            return data
        if kind == "parts":
            return Parts(data)
        block = self.heap.alloc(len(data), timeout=0)
        block[:] = data
        return block

    def put(self, kind: str, number: int, queue: WorkQueue | None = None, timeout: float | None = 0) -> None:
        self.record.begun[number] += 1
        (queue or self.queue).enqueue(self.make(kind, number), timeout=timeout)
        self.record.put[number] += 1

    def put_many(self, first: int, kinds: Sequence[str] = KINDS * 2) -> None:
        """Of each of these kinds one."""
        numbers = range(first, first + len(kinds))
        for number in numbers:
            self.record.begun[number] += 1
        self.queue.enqueue_many(map(self.make, kinds, numbers), timeout=0)
        for number in numbers:
            self.record.put[number] += 1

    def pass_on(self, block: Block, queue: WorkQueue) -> None:
        """To one who takes it from that queue."""
        self.record.passing[0] += 1
        queue.enqueue(block, timeout=0)
        self.record.passed[0] += 1

    def take(self, queue: WorkQueue | None = None, timeout: float | None = 0) -> Item | None:
        """The next one; None if nothing is there now, or nothing will ever be."""
        try:
            item = (queue or self.queue).dequeue(timeout=timeout)
        except (TimeoutError, ClosedError):
            return None
        return self.has_taken(item)

    def take_from_any(self, timeout: float | None = 0) -> Item | None:
        """The same, from whichever queue has one."""
        try:
            _queue, item = select(self.queue, self.second, timeout=timeout)
        except (TimeoutError, ClosedError):
            return None
        return self.has_taken(item)

    def take_many(self, count: int, timeout: float | None = 0) -> Batch | None:
        """Up to so many. None as for `take`."""
        try:
            batch = self.queue.dequeue_many(count, timeout=timeout)
        except (TimeoutError, ClosedError):
            return None
        for value in batch.values:
            self.record.taken[number_of(value)] += 1
        return batch

    def has_taken(self, item: Item) -> Item:
        self.record.taken[number_of(item.value)] += 1
        return item

    def finish(self, item: Item, finish: Callable[[], None] | None = None) -> None:
        number = number_of(item.value)
        self.record.done[number] += 1
        (finish or item.finish)()
        self.record.finished[number] += 1

    def drop_dead(self, dead: DeadItem) -> None:
        """Another one may have requeued it a moment before."""
        self.record.dropped[number_of(dead.value)] = 1
        dead.drop()

    def finish_all(self, queue: WorkQueue | None = None) -> None:
        """Whatever is there now."""
        while (item := self.take(queue)) is not None:
            self.finish(item)


def filling(kind: str, number: int) -> bytes:
    return bytes((number,)) * SIZES[kind]


def number_of(value: Any) -> int:
    """Which item it is. It is whole."""
    if isinstance(value, int):
        return value
    data = bytes(value.data if isinstance(value, Parts) else value[:] if isinstance(value, Block) else value)
    kind = KIND_BY_SIZE.get(len(data), "")  # of one among the dead there is only a copy
    assert kind, f"an item has {len(data)} bytes"
    assert data == filling(kind, data[0]), f"an item of kind {kind} is not whole: {data[:20]!r}..."
    return data[0]
