"""A work queue between computicles: every item done, whoever dies, and nobody waits for ever."""

import os
import signal
import time
from typing import Any

import pytest

from computicle import *
from computicle.engine.op import ClosedError
from computicle.work.queue import WorkQueue
from computicle.worlds.launcher import launcher
from tests.worlds.conftest import _nothing_is_left, await_gone  # noqa: F401
from tests.worlds.helpers import claim_end, is_running, state_of

LATE_S = 20.0  # bounds a hang


def take_all(queue: WorkQueue) -> list[Any]:
    return [item.value for item in queue]


def put_all(queue: WorkQueue, values: list[Any]) -> None:
    for value in values:
        queue.enqueue(value)


def hold(queue: WorkQueue, news: WorkQueue) -> None:
    """Take one item and keep it, for ever."""
    item = queue.dequeue()
    news.enqueue((os.getpid(), item.value, item.tries))
    sleep(1000)
    item.finish()


def test_items_go_to_whoever_comes_first() -> None:
    def main() -> None:
        queue = WorkQueue(100)
        with scope():
            workers = [Computicle(take_all, queue) for _ in range(3)]
            producers = [Computicle(put_all, queue, list(range(begin, begin + 500))) for begin in (0, 500)]
            for number in range(1000, 1500):
                queue.enqueue(number)
            for producer in producers:
                producer.wait()
            queue.close()
            found = [worker.wait() for worker in workers]
        for values in found:
            for begin in (0, 500, 1000):  # each producer's are in order
                of_one = [value for value in values if begin <= value < begin + 500]
                assert of_one == sorted(of_one)
        assert sorted(value for values in found for value in values) == list(range(1500))
        assert len(queue) == 0
        queue.check()

    run(main)


def test_the_capacity_is_kept_among_many_producers() -> None:
    def main() -> None:
        queue = WorkQueue(10)
        with scope():
            producers = [Computicle(put_all, queue, [0] * 300) for _ in range(3)]
            taken = 0
            while taken < 900:
                item = queue.dequeue()
                assert len(queue) + queue._core.table.held() <= 10
                item.finish()
                taken += 1
            for producer in producers:
                producer.wait()
        assert len(queue) == 0

    run(main)


def test_what_a_dead_one_had_goes_to_another_one() -> None:
    def main() -> None:
        queue, news = WorkQueue(10), WorkQueue(10)
        queue.enqueue("work")
        for tries in range(2):
            holder = Computicle(hold, queue, news)
            with news.dequeue() as item:
                pid, value, tried = item.value
            assert (pid, value, tried) == (holder.pid, "work", tries)
            assert len(queue) == 0
            holder.kill()
            with pytest.raises(ComputicleDied):
                holder.wait()
            assert len(queue) == 1  # at once: it is told of a death after that was seen to
        with queue.dequeue() as item:
            assert (item.value, item.tries) == ("work", 2)
        queue.check()

    run(main)


def test_one_that_waits_gets_what_a_dead_one_had() -> None:
    def main() -> None:
        queue, news = WorkQueue(10), WorkQueue(10)
        queue.enqueue("work")
        holder = Computicle(hold, queue, news)
        news.dequeue().finish()
        waiting = spawn(queue.dequeue, timeout=LATE_S)
        yield_()
        holder.kill()
        item = waiting.join()
        assert (item.value, item.tries) == ("work", 1)
        item.finish()
        with pytest.raises(ComputicleDied):
            holder.wait()

    run(main)


def test_one_that_waits_for_room_gets_it_when_an_item_is_put_with_the_dead() -> None:
    def main() -> None:
        queue, news = WorkQueue(1, max_tries=1), WorkQueue(10)
        queue.enqueue("poison")
        holder = Computicle(hold, queue, news)
        news.dequeue().finish()
        producer = spawn(queue.enqueue, "next", timeout=LATE_S)
        yield_()
        holder.kill()
        producer.join()
        (dead,) = queue.dead
        assert dead.value == "poison"
        dead.drop()
        give_up = time.monotonic() + LATE_S
        while len(queue.dead) and time.monotonic() < give_up:
            sleep(0.001)
        assert len(queue.dead) == 0
        queue.dequeue().finish()

    run(main)


def raise_on(queue: WorkQueue, value: Any) -> None:
    for item in queue:
        if item.value == value:
            raise LookupError(value)


def test_an_error_in_a_worker_gives_its_item_back() -> None:
    def main() -> None:
        queue = WorkQueue(10)
        queue.enqueue_many(range(3))
        worker = Computicle(raise_on, queue, 1)
        with pytest.raises(LookupError):
            worker.wait()
        found: list[Any] = []
        while len(found) < 2:
            with queue.dequeue(timeout=LATE_S) as item:
                found.append((item.value, item.tries))
        assert sorted(found) == [(1, 1), (2, 0)]

    run(main)


def test_consumers_elsewhere_end_when_it_is_closed_and_drained() -> None:
    def main() -> None:
        queue = WorkQueue(10)
        workers = [Computicle(take_all, queue) for _ in range(3)]
        queue.enqueue(1)
        item = None
        while item is None:
            try:
                item = queue.dequeue(timeout=0.001)
            except TimeoutError:
                queue.enqueue(1)
        queue.close()
        item.give_back()
        assert sum(len(worker.wait()) for worker in workers) >= 1
        with pytest.raises(ClosedError):
            queue.dequeue(timeout=LATE_S)

    run(main)


def forward(queue: WorkQueue, second: WorkQueue, written: bool) -> None:
    """Hand a leased block on, and die right before it is written to the other queue, or right after."""
    item = queue.dequeue()
    put = second.gate.put

    def put_and_die(records: bytes | memoryview, count: int) -> bool:
        if written:
            put(records, count)
        os.kill(os.getpid(), signal.SIGKILL)
        return True

    second.gate.put = put_and_die  # type: ignore[method-assign]
    second.enqueue(item.value)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("same", [False, True])
def test_a_block_handed_on_by_a_dead_one_is_in_one_queue(same: bool, written: bool) -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        queue = WorkQueue(10, heap)
        second = queue if same else WorkQueue(10, heap)
        block = heap.alloc(5)
        block[:] = b"block"
        queue.enqueue(block)
        with pytest.raises(ComputicleDied):
            Computicle(forward, queue, second, written).wait()
        expected, other = (second, queue) if written else (queue, second)
        with expected.dequeue(timeout=LATE_S) as item:
            assert bytes(item.value[:]) == b"block"
            assert item.tries == (0 if written else 1)
        assert len(other) == 0
        assert heap.stats().blocks == 0
        heap.check()

    run(main)


def make_queue() -> WorkQueue:
    queue = WorkQueue(5)
    queue.enqueue("from elsewhere")
    return queue


def put_until_closed(queue: WorkQueue, news: WorkQueue) -> None:
    """Wait for room that never comes, and live on."""
    news.enqueue("here")
    try:
        queue.enqueue("more")
    except ClosedError:
        news.enqueue("told")
    receive()


def test_all_who_wait_for_room_are_told_that_it_was_closed() -> None:
    def main() -> None:
        queue, news = WorkQueue(1), WorkQueue(10)
        queue.enqueue("first")
        producers = [Computicle(put_until_closed, queue, news) for _ in range(3)]
        for _ in producers:
            news.dequeue(timeout=LATE_S).finish()
        for producer in producers:
            while state_of(str(producer.pid)) != "S":
                sleep(0.001)
        queue.close()
        for _ in producers:
            with news.dequeue(timeout=LATE_S) as item:
                assert item.value == "told"
        for producer in producers:
            producer.post("enough")
            producer.wait()

    run(main)


def test_a_queue_that_outlives_its_maker() -> None:
    def main() -> None:
        maker = Computicle(make_queue)
        queue = maker.wait()
        assert queue.dequeue(timeout=LATE_S).value == "from elsewhere"
        with queue.dequeue(timeout=LATE_S) as item:
            assert item.tries == 1
        worker = Computicle(take_all, queue)
        queue.enqueue_many(range(3))
        queue.close()
        assert worker.wait() == [0, 1, 2]

    run(main)


def same(first: WorkQueue, second: WorkQueue) -> bool:
    return first is second


def test_in_one_process_it_is_one_object() -> None:
    def main() -> None:
        queue = WorkQueue(5)
        with Computicle(stay=True) as world:
            assert world.call(same, queue, queue)
            assert world.call(make_queue) is not queue
            world["queue"] = queue
            assert world["queue"] is queue

    run(main)


def test_who_dies_asleep_has_taken_no_wake_with_it() -> None:
    def main() -> None:
        queue, done = WorkQueue(100, max_tries=100), WorkQueue(100)
        workers = [Computicle(relay, queue, done) for _ in range(4)]
        seen = set()
        for number in range(40):
            queue.enqueue(number)
            victim = workers[number % 4]
            victim.kill()
            workers[number % 4] = Computicle(relay, queue, done)
            while number not in seen:  # some twice: whoever has told of one may die before it is finished
                with done.dequeue(timeout=LATE_S) as item:
                    seen.add(item.value)
        for worker in workers:
            worker.kill()

    run(main)


def relay(queue: WorkQueue, done: WorkQueue) -> None:
    for item in queue:
        done.enqueue(item.value)


def test_what_is_left_when_the_zygote_dies() -> None:
    def main() -> None:
        queue, news = WorkQueue(10), WorkQueue(10)
        heap = queue.heap
        queue.enqueue("x" * 1000)
        holder = Computicle(hold, queue, news)
        news.dequeue(timeout=LATE_S).finish()
        waiting = spawn(queue.dequeue, timeout=LATE_S)
        yield_()
        assert launcher._process is not None
        os.kill(launcher._process.pid, signal.SIGKILL)
        with pytest.raises(ComputicleDied, match="zygote lost"):
            holder.wait()
        item = waiting.join()
        assert (item.value, item.tries) == ("x" * 1000, 1)
        item.finish()
        assert heap.stats().blocks == 0
        worker = Computicle(take_all, queue)  # and all goes on
        queue.enqueue_many(["y" * 1000] * 20)
        queue.close()
        assert len(worker.wait()) == 20
        assert heap.stats().blocks == 0
        queue.check()

    run(main)


def test_what_others_had_is_in_the_queue_again_after_the_zygote_has_died() -> None:
    def main() -> None:
        queue, news = WorkQueue(10), WorkQueue(10)
        queue.enqueue_many(["held", bytes(1000)])  # the second one lies in the heap
        holders = [Computicle(hold, queue, news) for _ in range(2)]
        for _ in holders:
            news.dequeue(timeout=LATE_S).finish()
        deaths = [claim_end(holder, "zygote lost") for holder in holders]
        assert launcher._process is not None
        zygote = launcher._process.pid
        os.kill(zygote, signal.SIGKILL)
        for death in deaths:
            death.join()
        await_gone(lambda: is_running(zygote))
        assert Computicle(take_all_there, queue).wait() == [(bytes(1000), 1), ("held", 1)]
        assert len(queue) == queue.stats().leased == 0

    run(main)


def take_all_there(queue: WorkQueue) -> list[Any]:
    found = []
    for _ in range(2):
        with queue.dequeue(timeout=LATE_S) as item:
            found.append((item.value, item.tries))
    return sorted(found, key=lambda pair: str(pair[0]))
