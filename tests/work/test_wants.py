"""Memory that some wait for much of, and others for little: a wake gets to one who can use it."""

from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from computicle.engine.op import ClosedError
from computicle.testing import simulate
from computicle.work.layout import ROW_WORDS
from computicle.work.queue import WorkQueue
from computicle.work.wants import LOOK, WANTED
from tests.conftest import World
from tests.worlds.conftest import _nothing_is_left  # noqa: F401
from tests.worlds.helpers import state_of

LATE_S = 20.0  # bounds a hang
SIZE = 1 << 20
OTHER = 2 * ROW_WORDS  # the row of another place


def test_who_finds_too_little_passes_the_wake_on_while_another_one_can_use_it() -> None:
    def main() -> None:
        heap = Heap(SIZE)
        small, large = heap.alloc(64), heap.alloc(SIZE - 4096)
        rows, room = heap._space.rows, heap._room
        heap._space.active[2] = 1
        waiting = spawn(heap.alloc, SIZE // 2)
        yield_()
        assert rows[ROW_WORDS + WANTED] == SIZE // 2

        rows[OTHER + WANTED] = 64
        small.free()
        (turn,) = room._turns.values()
        for _ in range(2):  # it looks now and then, whether the other one has taken the wake
            wait_for(lambda: turn.deaf is not None, every=0.001, timeout=LATE_S)
            wait_for(lambda: turn.deaf is None, every=0.0001, timeout=LATE_S)
        wait_for(lambda: turn.deaf is not None, every=0.001, timeout=LATE_S)
        assert room._take_wakes()
        assert not waiting.done

        rows[OTHER + WANTED] = 0
        large.free()
        with waiting.join(timeout=LATE_S):
            assert rows[ROW_WORDS + WANTED] == 0

    run(main)


@pytest.mark.parametrize("wanted", [0, SIZE])
def test_a_wake_that_nobody_can_use_ends(wanted: int) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        small, large = heap.alloc(64), heap.alloc(SIZE - 4096)
        heap._space.active[2] = 1
        heap._space.rows[OTHER + WANTED] = wanted
        waiting = spawn(heap.alloc, SIZE // 2)
        yield_()
        small.free()
        assert not heap._space.hint[0]
        wait_for(lambda: heap._space.hint[0], every=0.001, timeout=LATE_S)  # it has looked
        (turn,) = heap._room._turns.values()
        assert turn.deaf is None
        assert not heap._room._take_wakes()
        large.free()
        waiting.join(timeout=LATE_S).free()

    run(main)


def alloc_once(heap: Heap, n: int, news: WorkQueue) -> None:
    news.enqueue("here")
    with heap.alloc(n):
        news.enqueue(n)


@pytest.mark.parametrize("wanted", [[64, SIZE // 2, SIZE // 2], [SIZE // 2, SIZE // 2, 64]])
def test_among_computicles_each_gets_what_is_enough_for_it(wanted: list[int]) -> None:
    def main() -> None:
        heap, news = Heap(SIZE), WorkQueue(10)
        small, large = heap.alloc(64), heap.alloc(SIZE - 4096)
        rest = [heap.alloc(64) for _ in range((heap._space.layout.limit - heap.stats().used) // 64)]
        makers = [Computicle(alloc_once, heap, n, news) for n in wanted]
        for maker in makers:
            news.dequeue(timeout=LATE_S).finish()
        for maker in makers:
            while state_of(str(maker.pid)) != "S":
                sleep(0.001)
        small.free()
        with news.dequeue(timeout=LATE_S) as item:
            assert item.value == 64
        large.free()
        for _ in range(2):
            news.dequeue(timeout=LATE_S).finish()
        for maker in makers:
            maker.wait()
        for block in rest:
            block.free()

    run(main)


def refused(put: Callable[[Any], None], what: Any) -> None:
    with pytest.raises(ClosedError):
        put(what)


def test_a_closed_queue_wants_no_memory(world: World) -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(5, heap)
        block = heap.alloc(SIZE)
        puts = [spawn(refused, queue.enqueue, bytes(1000)), spawn(refused, queue.enqueue_many, ["a", bytes(1000)])]
        yield_()
        queue.close()
        for put in puts:
            put.join(timeout=1)
        with pytest.raises(ClosedError):
            queue.enqueue(bytes(1000))
        block.free()
        queue.dequeue().finish()
        assert heap.stats().blocks == 0

    world.run(main)


def put_until_closed(queue: WorkQueue, news: WorkQueue) -> None:
    news.enqueue("here")
    try:
        queue.enqueue(bytes(1000))
    except ClosedError:
        news.enqueue("told")
    receive()


def test_all_who_wait_for_memory_to_put_something_in_are_told_that_it_was_closed() -> None:
    """Others wait for memory in between, who have nothing to do with that."""

    def main() -> None:
        heap, news = Heap(SIZE), WorkQueue(20)
        queue, other = WorkQueue(5, heap), WorkQueue(5, heap)
        block = heap.alloc(SIZE)
        queues = [other, queue, queue, other, queue]
        producers = [Computicle(put_until_closed, each, news) for each in queues]
        for producer in producers:
            news.dequeue(timeout=LATE_S).finish()
        for producer in producers:
            while state_of(str(producer.pid)) != "S":
                sleep(0.001)
        for each in (queue, other):
            each.close()
            for _ in range(queues.count(each)):
                with news.dequeue(timeout=LATE_S) as item:
                    assert item.value == "told"
        for producer in producers:
            producer.post("enough")
            producer.wait()
        assert heap._space.rows[OTHER + WANTED] == heap._space.rows[OTHER + LOOK] == 0
        block.free()

    run(main)


def test_time_is_spent_once() -> None:
    def main() -> None:
        heap = Heap(SIZE)
        queue = WorkQueue(1, heap)
        queue.enqueue("first")
        block = heap.alloc(SIZE)
        delay(block.free, 0.6)
        kernel = current().kernel
        started = kernel.now()
        with pytest.raises(TimeoutError):
            queue.enqueue(bytes(1000), timeout=1.0)
        assert kernel.now() - started == pytest.approx(1.0)

    simulate(main)
