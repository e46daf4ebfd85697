"""What lies in the heap of a work queue: blocks that move, large objects, and what is left of them."""

import ctypes
import gc
from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from computicle.work.block import Block, Moved
from computicle.work.heap import Heap
from computicle.work.queue import WorkQueue
from tests.conftest import World
from tests.work.test_queue import drained

SIZE = 1 << 20


class Sensor(ctypes.Structure):
    _fields_ = (("number", ctypes.c_uint32), ("value", ctypes.c_double))


def an_array(block: Block) -> Any:
    return pytest.importorskip("numpy").frombuffer(block, "u1")


def blocks(queue: WorkQueue) -> int:
    gc.collect()
    queue.heap.check()
    return queue.heap.stats().blocks


def test_a_block_moves(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(5, heap)
        block = heap.alloc(100)
        block[0:5] = b"hello"
        offset = block.offset
        queue.enqueue(block)
        with pytest.raises(Moved):
            len(block)
        with pytest.raises(Moved):
            queue.enqueue(block)
        with pytest.raises(Moved):
            block.free()
        with queue.dequeue() as item:
            taken = item.value
            assert isinstance(taken, Block)
            assert taken is item.value
            assert (taken.offset, len(taken), bytes(taken[0:5])) == (offset, 100, b"hello")
        with pytest.raises(ValueError, match="freed"):
            taken[0]
        assert blocks(queue) == 0
        assert drained(queue)

    world.run(main)


def test_structures_lie_over_a_block(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(5, heap)
        block = heap.alloc(ctypes.sizeof(Sensor))
        sensor = Sensor.from_buffer(block)
        sensor.number, sensor.value = 7, 0.5
        with pytest.raises(BufferError):
            queue.enqueue(block)
        del sensor
        queue.enqueue(block)
        for item in queue:
            sensor = Sensor.from_buffer(item.value)
            assert (sensor.number, sensor.value) == (7, 0.5)
            del sensor
            break
        assert blocks(queue) == 1  # leaving the loop early gives it back
        queue.dequeue().finish()
        assert blocks(queue) == 0

    world.run(main)


def test_a_block_that_finds_no_room_is_still_yours(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(1, heap)
        queue.enqueue(1)
        block = heap.alloc(10)
        with pytest.raises(TimeoutError):
            queue.enqueue(block, timeout=0)
        with pytest.raises(TimeoutError):
            queue.enqueue(block, timeout=0.01)
        waiting = spawn(queue.enqueue, block)
        yield_()
        block[0] = 1  # as long as it is not in
        waiting.cancel()
        yield_()
        block.free()
        queue.dequeue().finish()
        assert blocks(queue) == 0

    world.run(main)


def test_views_taken_while_it_waits_for_room_keep_it_back(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(1, heap)
        queue.enqueue(1)
        block = heap.alloc(10)
        failed = []

        def put() -> None:
            try:
                queue.enqueue(block)
            except BufferError:
                failed.append(True)

        waiting = spawn(put)
        yield_()
        view = memoryview(block)
        queue.dequeue().finish()
        waiting.join()
        assert failed == [True]
        del view
        block.free()

    world.run(main)


def test_only_blocks_of_its_own_heap(world: World) -> None:
    def main() -> None:
        queue, other = WorkQueue(1), Heap(SIZE)
        with other.alloc(10) as block:
            with pytest.raises(ValueError, match="of another heap"):
                queue.enqueue(block)
        with queue.heap.alloc(10) as block, pytest.raises(TypeError, match="Block") as caught:
            queue.enqueue([block])
        assert "(at [0])" in str(caught.value)
        assert "a Block goes into a work queue by itself" in str(caught.value)
        assert blocks(queue) == 0

    world.run(main)


def test_a_block_goes_on_to_another_queue(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        first, second = WorkQueue(5, heap), WorkQueue(5, heap)
        first.enqueue(heap.alloc(10))
        with first.dequeue() as item:
            block = item.value
            second.enqueue(block)
            assert not item.leased
            with pytest.raises(Moved):
                block[0]
        assert drained(first)
        assert blocks(first) == 1
        with second.dequeue() as item:
            item.value[0] = 7
        assert blocks(first) == 0

    world.run(main)


def test_freeing_what_was_taken_finishes_its_item(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(5, heap)
        queue.enqueue(heap.alloc(10))
        item = queue.dequeue()
        item.value.free()
        assert not item.leased
        item.finish()
        assert drained(queue)
        assert blocks(queue) == 0

    world.run(main)


@pytest.mark.parametrize("view", [memoryview, lambda block: block[2:5], an_array])
def test_finished_memory_is_free_when_its_last_view_is_gone(world: World, view: Callable[[Block], Any]) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(5, heap)
        queue.enqueue(heap.alloc(10))
        with queue.dequeue() as item:
            seen = view(item.value)
        assert drained(queue)
        assert blocks(queue) == 1
        seen[0] = 7
        del seen
        assert blocks(queue) == 0

    world.run(main)


def test_what_is_given_back_is_anothers_when_its_last_view_is_gone(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(5, heap)
        queue.enqueue(heap.alloc(10))
        item = queue.dequeue()
        view = memoryview(item.value)
        item.give_back()
        assert len(queue) == 0
        view[0] = 9
        del view
        assert len(queue) == 1
        with queue.dequeue() as item:
            assert item.tries == 1
            assert item.value[0] == 9
        assert blocks(queue) == 0

    world.run(main)


def test_a_block_keeps_the_item_that_it_came_with(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(5, heap)
        queue.enqueue(heap.alloc(10))
        block = queue.dequeue().value
        gc.collect()
        assert len(queue) == 0
        block[0] = 3
        del block
        gc.collect()
        assert len(queue) == 1
        queue.dequeue().finish()
        assert blocks(queue) == 0

    world.run(main)


@pytest.mark.parametrize("size", [0, 10, 10_000, 200_000])
def test_arrays_are_not_copied_out(world: World, size: int) -> None:
    numpy = pytest.importorskip("numpy")

    def main() -> None:
        queue = WorkQueue(5, Heap(4 * SIZE))
        sent: Any = {"name": "array", "values": numpy.arange(size), "more": [numpy.ones(5000)]}
        queue.enqueue(sent)
        sent["values"][:] = 0
        with queue.dequeue() as item:
            got = item.value
            assert got["name"] == "array"
            assert numpy.array_equal(got["values"], numpy.arange(size))
            assert got["more"][0].sum() == 5000
            got["more"][0][0] = 7  # it may be written to
            assert got is item.value
        kept = got.pop("values")
        del got
        assert blocks(queue) == (1 if size >= 10_000 else 0)
        assert numpy.array_equal(kept, numpy.arange(size))
        del kept
        assert blocks(queue) == 0

    world.run(main)


@pytest.mark.parametrize("value", [b"x" * 100_000, "x" * 100_000, list(range(10_000)), bytearray(50_000)])
def test_large_objects(world: World, value: Any) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue(value)
        with queue.dequeue() as item:
            got = item.value
        assert got == value
        del got
        assert blocks(queue) == 0
        queue.enqueue_many([value, 1, value])
        batch = queue.dequeue_many(5)
        assert batch.values == [value, 1, value]
        batch.finish()
        del batch
        assert blocks(queue) == 0

    world.run(main)


def test_functions_and_classes_of_no_module(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        factor = 3
        queue.enqueue(lambda x: factor * x)
        with queue.dequeue() as item:
            assert item.value(4) == 12
        assert blocks(queue) == 0

    world.run(main)


def test_larger_than_the_heap(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5, Heap(100_000))
        with pytest.raises(ValueError, match="do not fit into a heap of 100000 bytes"):
            queue.enqueue(b"x" * 200_000)
        with pytest.raises(ValueError, match="do not fit"):
            queue.heap.alloc(200_000)
        assert drained(queue)
        assert blocks(queue) == 0

    world.run(main)


def test_a_heap_that_is_exhausted_makes_producers_wait(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(50, Heap(100_000))
        producer = spawn(queue.enqueue_many, [b"x" * 30_000] * 10)
        sleep(0.01)
        assert len(queue) < 10
        with pytest.raises(TimeoutError):
            queue.enqueue(b"x" * 60_000, timeout=0.01)
        for _ in range(10):
            queue.dequeue().finish()
        producer.join()
        assert drained(queue)
        assert blocks(queue) == 0

    world.run(main)


def test_what_is_left_when_a_queue_is_dropped(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(50, heap, max_tries=1)
        queue.enqueue_many([b"x" * 1000] * 5)
        queue.enqueue(heap.alloc(10))
        queue.dequeue().give_back()
        assert len(queue.dead) == 1
        assert heap.stats().blocks == 6
        del queue
        gc.collect()
        assert heap.stats().blocks == 0
        heap.check()

    world.run(main)


def test_dead_blocks_are_shown_as_bytes(world: World) -> None:
    numpy = pytest.importorskip("numpy")

    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(50, heap, max_tries=1)
        block = heap.alloc(4)
        block[0:4] = b"dead"
        queue.enqueue(block)
        queue.enqueue(numpy.arange(10_000))
        queue.dequeue().give_back()
        queue.dequeue().give_back()
        first, second = queue.dead
        assert first.value == b"dead"
        assert numpy.array_equal(second.value, numpy.arange(10_000))
        first.requeue()
        second.drop()
        with queue.dequeue() as item:
            assert bytes(item.value) == b"dead"
        assert blocks(queue) == 0

    world.run(main)
