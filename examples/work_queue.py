"""Work for whoever comes first: the essay's program, in its smallest form.

Four computicles do nothing but take an item, act on it and free it. An item is
a structure in shared memory: what changes hands is the block that it lies in.
"""

import ctypes

from computicle import Computicle, Heap, WorkQueue, gather, run


class Message(ctypes.Structure):
    _fields_ = (("number", ctypes.c_uint32), ("time", ctypes.c_double))
    number: int


def work(queue: WorkQueue) -> int:
    total = 0
    for item in queue:
        block = item.value
        total += Message.from_buffer(block).number
        block.free()
    return total


def main() -> None:
    heap = Heap(16_000_000)
    queue = WorkQueue(100, heap)
    workers = [Computicle(work, queue) for _ in range(4)]
    for number in range(1000):
        with heap.alloc(ctypes.sizeof(Message)) as block:  # freed at the end, unless it has moved by then
            Message.from_buffer(block).number = number
            queue.enqueue(block)
    queue.close()
    print("all numbers together:", sum(gather(*[worker.wait for worker in workers])))
    print("blocks left:", heap.stats().blocks)


run(main)
