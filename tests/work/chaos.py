"""Chaos: two producers and three workers over one queue are killed at random moments, and started again.

What was done with each numbered item is written into a file that all have mapped, right before and after it is done.
"""

import mmap
import os
import random
import signal
from collections import Counter
from typing import Any

from computicle import *
from computicle.work.queue import WorkQueue
from tests.work.hands import Parts
from tests.worlds.helpers import claim_end

PRODUCERS = 2
WORKERS = 3
CAPACITY = 30
HEAP_SIZE = 1 << 21
MAX_TRIES = 255
NUMBERS = 1 << 17  # of items, of each producer
KINDS = ("small", "large", "block", "many", "parts")
SIZES = {"large": 1000, "block": 5000, "parts": 20_000}  # bytes
MANY = len(KINDS)  # items of one enqueue_many
HANG_S = 30.0  # how long one thing may take: bounds a hang


class Book:
    """What was done with each item. Each byte is written by whoever has that item."""

    def __init__(self, path: str) -> None:
        items = PRODUCERS * NUMBERS
        with open(path, "a+b") as file:
            file.truncate(4096 + 4 * items)
            self.map = mmap.mmap(file.fileno(), 0)
        view = memoryview(self.map)
        self.flags = view[:1]  # the producers are to end
        self.at = view[64:128].cast("I")  # by worker: the number of the item it is finishing, and one more
        parts = [view[4096 + index * items : 4096 + (index + 1) * items] for index in range(4)]
        self.begun, self.put, self.done, self.finished = parts

    def next_of(self, producer: int) -> int:
        """The first one that it has not begun."""
        begin = 4096 + producer * NUMBERS
        return self.map.find(b"\0", begin, begin + NUMBERS) - 4096


def produce(queue: WorkQueue, path: str, which: int) -> None:
    book = Book(path)
    number = book.next_of(which)
    while not book.flags[0]:
        kind = KINDS[number // MANY % len(KINDS)]
        numbers = range(number, number + MANY) if kind == "many" else range(number, number + 1)
        for each in numbers:
            book.begun[each] = 1
        if kind == "many":
            queue.enqueue_many(make(queue.heap, KINDS[each % MANY], each) for each in numbers)
        else:
            queue.enqueue(make(queue.heap, kind, number))
        for each in numbers:
            book.put[each] = 1
        number = numbers.stop


def make(heap: Heap, kind: str, number: int) -> Any:
    if kind not in SIZES:
        return number
    data = number.to_bytes(4, "little") * (SIZES[kind] // 4)
    if kind == "large":
        return data
    if kind == "parts":
        return Parts(data)
    block = heap.alloc(len(data))
    block[:] = data
    return block


def number_of(value: Any) -> int:
    """Which item it is. It is whole."""
    if isinstance(value, int):
        return value
    data = bytes(value.data if isinstance(value, Parts) else value[:] if isinstance(value, Block) else value)
    assert len(data) in SIZES.values()
    assert data == data[:4] * (len(data) // 4), "an item is not whole"
    return int.from_bytes(data[:4], "little")


def work(queue: WorkQueue, second: WorkQueue, path: str, which: int) -> None:
    """In two fibers: what comes out of one queue, and what has been handed on to the other one."""
    hands = Hands(Book(path), which)
    hands_on = spawn(hands.take_all, second)
    hands.take_from(queue, second)
    hands_on.join()


class Hands:
    """One worker."""

    def __init__(self, book: Book, which: int) -> None:
        self.book = book
        self.which = which
        self.random = random.Random(os.getpid())

    def finish(self, item: Item) -> None:
        book, number = self.book, number_of(item.value)
        book.at[self.which] = number + 1
        book.done[number] += 1
        item.finish()
        book.finished[number] += 1
        book.at[self.which] = 0

    def take_all(self, queue: WorkQueue) -> None:
        for item in queue:
            self.finish(item)

    def take_from(self, queue: WorkQueue, second: WorkQueue) -> None:
        for item in queue:
            value = item.value
            way = self.random.randrange(10)
            if way == 0 and item.tries < MAX_TRIES // 2:
                item.give_back()
            elif isinstance(value, Block) and way < 6:
                second.enqueue(value)
            else:
                self.finish(item)
            del value
            if way == 9:
                self.take_many(queue)

    def take_many(self, queue: WorkQueue) -> None:
        try:
            batch = queue.dequeue_many(self.random.randrange(2, 8), timeout=0)
        except (TimeoutError, ClosedError):
            return
        for item in batch:
            self.finish(item)


class Chaos:
    """One run of it."""

    def __init__(self, seed: int, kills: int, path: str) -> None:
        self.random = random.Random(seed)
        self.kills = kills
        self.path = path
        self.book = Book(path)
        self.excused: Counter[int] = Counter()  # by number: how many have died that may have finished it
        self.fared: Counter[str] = Counter()

    def main(self) -> None:
        heap = Heap(HEAP_SIZE)
        self.queue, self.second = (WorkQueue(CAPACITY, heap, max_tries=MAX_TRIES) for _ in range(2))
        own = Hands(self.book, WORKERS)
        running = [self.start(index) for index in range(PRODUCERS + WORKERS)]
        for _ in range(self.kills):
            for _ in range(self.random.choice([0, 1, 5, 20, 60])):
                own.finish(self.queue.dequeue(timeout=HANG_S))
            index = self.random.randrange(len(running))
            self.kill(running[index], index)
            running[index] = self.start(index)
        self.book.flags[0] = 1
        for producer in running[:PRODUCERS]:
            producer.wait(timeout=HANG_S)
        self.queue.close()
        own.take_all(self.queue)
        self.second.close()
        own.take_all(self.second)
        for worker in running[PRODUCERS:]:
            worker.wait(timeout=HANG_S)
        self.reckon(heap)

    def start(self, index: int) -> Computicle:
        if index < PRODUCERS:
            return Computicle(produce, self.queue, self.path, index)
        return Computicle(work, self.queue, self.second, self.path, index - PRODUCERS)

    def kill(self, victim: Computicle, index: int) -> None:
        claiming = claim_end(victim)
        if self.random.random() < 0.5:
            victim.kill()
        else:
            os.kill(victim.pid, signal.SIGKILL)
        claiming.join(timeout=HANG_S)
        self.fared["producers" if index < PRODUCERS else "workers"] += 1
        if index >= PRODUCERS:
            at = self.book.at[index - PRODUCERS]
            if at:
                self.excused[at - 1] += 1
                self.book.at[index - PRODUCERS] = 0

    def reckon(self, heap: Heap) -> None:
        book = self.book
        for producer in range(PRODUCERS):
            for number in range(producer * NUMBERS, book.next_of(producer)):
                put, done, finished = book.put[number], book.done[number], book.finished[number]
                told = f"item {number}: put {put}, done {done}, finished {finished}, excused {self.excused[number]}"
                assert put <= done, f"lost: {told}"
                assert done <= 1 + self.excused[number], f"done twice: {told}"
                assert finished <= 1, f"finished twice: {told}"
                self.fared["items"] += put
        assert len(book.done.tobytes().strip(b"\0")) <= book.next_of(PRODUCERS - 1), "done and never begun"
        for queue in (self.queue, self.second):
            queue.check()
            stats = queue.stats()
            assert (stats.queued, stats.leased, stats.dead) == (0, 0, 0)
            assert queue._core.gate._look(CAPACITY) == CAPACITY
        assert heap.stats().blocks == 0
        heap.check()
