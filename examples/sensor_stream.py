"""A stream of readings: numpy's records, written and read where they lie, without a copy.

Needs numpy, which computicle itself does not.
"""

import numpy as np

from computicle import Block, Computicle, Heap, WorkQueue, gather, run

READING = np.dtype([("sensor", "u2"), ("value", "f8")])
SENSORS, COUNT, BLOCKS = 4, 50_000, 20  # so many readings in a block, and so many blocks


def fill(block: Block, number: int) -> None:
    readings = np.frombuffer(block, READING)
    readings["sensor"] = np.arange(COUNT) % SENSORS
    readings["value"] = number


def reduce(stream: WorkQueue) -> object:
    total = np.zeros(SENSORS)
    for item in stream:
        readings = np.frombuffer(item.value, READING)
        total += np.bincount(readings["sensor"], readings["value"])
    return total


def main() -> None:
    heap = Heap(4_000_000)  # room for some blocks: a producer that is too quick waits
    stream = WorkQueue(10, heap)
    workers = [Computicle(reduce, stream) for _ in range(2)]
    for number in range(BLOCKS):
        with heap.alloc(COUNT * READING.itemsize) as block:  # freed at the end, unless it has moved by then
            fill(block, number)
            stream.enqueue(block)
    stream.close()
    print("by sensor:", sum(gather(*[worker.wait for worker in workers])))


run(main)
