"""A work queue between fibers: order, room, leases, the end. On every engine."""

import os
from typing import Any

import pytest

from computicle import *
from computicle.engine.op import ClosedError
from computicle.work import core
from computicle.work.queue import WorkQueue
from computicle.work.record import inline
from tests.conftest import World
from tests.contract.helpers import without_the_collector
from tests.descriptors import open_descriptors, settled_descriptors


def values(queue: WorkQueue, count: int) -> list[Any]:
    """Take so many, one after the other, and finish each."""
    found = []
    for _ in range(count):
        with queue.dequeue() as item:
            found.append(item.value)
    return found


def drained(queue: WorkQueue) -> bool:
    queue.check()
    return len(queue) == 0 and queue._core.table.held() == 0


def let_others_run() -> None:
    """As far as they come, what the engine has for them, too: it is looked at every 16 turns at the latest."""
    for _ in range(100):
        yield_()


def test_first_in_first_out(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(100)
        for number in range(50):
            queue.enqueue(number)
        assert len(queue) == 50
        assert values(queue, 50) == list(range(50))
        assert drained(queue)

    world.run(main)


@pytest.mark.parametrize(
    "value", [None, True, 7, -(2**80), 1.5, "x" * 100, "x" * 4000, b"bytes", (1, "a"), [1, {2: 3}]]
)
def test_objects_arrive_as_they_were(world: World, value: Any) -> None:
    def main() -> Any:
        queue = WorkQueue(1)
        queue.enqueue(value)
        return values(queue, 1)[0]

    assert world.run(main) == value


def test_a_consumer_that_waits_is_woken(world: World) -> None:
    def main() -> list[Any]:
        queue = WorkQueue(5)
        consumer = spawn(values, queue, 3)
        yield_()
        for number in range(3):
            queue.enqueue(number)
            yield_()
        return consumer.join()

    assert world.run(main) == [0, 1, 2]


def test_consumers_get_items_in_the_order_in_which_they_came(world: World) -> None:
    def main() -> list[Any]:
        queue = WorkQueue(10)
        consumers = [spawn(values, queue, 1) for _ in range(5)]
        yield_()
        for number in range(5):
            queue.enqueue(number)
        return [consumer.join() for consumer in consumers]

    assert world.run(main) == [[0], [1], [2], [3], [4]]


def test_a_full_queue_makes_its_producer_wait_until_an_item_is_finished(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(2)
        log = []

        def produce() -> None:
            for number in range(4):
                queue.enqueue(number)
                log.append(number)

        producer = spawn(produce)
        let_others_run()
        assert log == [0, 1]
        first = queue.dequeue()
        let_others_run()
        assert log == [0, 1]  # queued and leased are counted together
        first.finish()
        let_others_run()
        assert log == [0, 1, 2]
        values(queue, 1)
        producer.join()
        assert values(queue, 2) == [2, 3]

    world.run(main)


def test_producers_get_room_in_the_order_in_which_they_came(world: World) -> None:
    def main() -> list[Any]:
        queue = WorkQueue(1)
        queue.enqueue("first")
        producers = [spawn(queue.enqueue, number) for number in range(5)]
        yield_()
        found = values(queue, 6)
        for producer in producers:
            producer.join()
        return found

    assert world.run(main) == ["first", 0, 1, 2, 3, 4]


def test_timeouts(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1)
        with pytest.raises(TimeoutError, match=r"waited 0\.05 s for an item"):
            queue.dequeue(timeout=0.05)
        with pytest.raises(TimeoutError):
            queue.dequeue(timeout=0)
        queue.enqueue(1, timeout=0)
        with pytest.raises(TimeoutError, match=r"waited 0\.05 s for room"):
            queue.enqueue(2, timeout=0.05)
        with pytest.raises(TimeoutError):
            queue.enqueue(2, timeout=0)
        assert len(queue) == 1
        assert values(queue, 1) == [1]
        assert drained(queue)

    world.run(main)


def test_closing_lets_the_rest_drain_and_ends_every_loop(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        found: list[Any] = []

        def consume() -> None:
            for item in queue:
                found.append(item.value)
                yield_()

        consumers = [spawn(consume) for _ in range(3)]
        for number in range(10):
            queue.enqueue(number)
        queue.close()
        queue.close()
        assert queue.closed
        with pytest.raises(ClosedError, match="closed"):
            queue.enqueue(11)
        for consumer in consumers:
            consumer.join()
        assert sorted(found) == list(range(10))
        with pytest.raises(ClosedError, match="nothing is left"):
            queue.dequeue()
        assert list(queue) == []
        assert drained(queue)

    world.run(main)


def test_closing_tells_who_waits(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1)
        queue.enqueue(1)
        told = []

        def note(word: Any, *args: Any) -> None:
            try:
                with word(*args) as item:
                    assert item.value == 1
            except ClosedError:
                told.append(word.__name__)

        producers = [spawn(note, queue.enqueue, number) for number in range(3)]
        yield_()
        queue.close()
        gather(*(producer.join for producer in producers))
        consumers = [spawn(note, queue.dequeue) for _ in range(3)]
        gather(*(consumer.join for consumer in consumers))
        assert told == ["enqueue"] * 3 + ["dequeue"] * 2

    world.run(main)


def test_consumers_end_only_once_nothing_is_leased(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many(["one", "two"])
        queue.close()
        first, second = queue.dequeue(), queue.dequeue()
        consumers = [spawn(lambda: [item.value for item in queue]) for _ in range(3)]
        let_others_run()
        first.finish()
        let_others_run()
        assert not any(consumer.done for consumer in consumers)
        second.give_back()
        found = [value for consumer in consumers for value in consumer.join()]
        assert found == ["two"]
        assert drained(queue)

    world.run(main)


def test_select_takes_an_item_or_a_message(world: World) -> None:
    def main() -> None:
        queue, channel = WorkQueue(5), Channel[str](5)
        queue.enqueue("item")
        source, item = select(queue, channel)
        assert source is queue
        assert item.value == "item"
        item.finish()
        spawn(channel.send, "message")
        assert select(queue, channel) == (channel, "message")
        spawn(queue.enqueue, "late")
        source, item = select(channel, queue)
        assert source is queue
        assert item.value == "late"
        item.finish()
        with pytest.raises(TimeoutError):
            select(queue, channel, timeout=1)
        queue.enqueue("after")
        assert values(queue, 1) == ["after"]
        assert drained(queue)

    world.run(main)


def test_cancelling_who_waits_loses_nothing(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        for cancelled in range(3):
            consumers = [spawn(queue.dequeue) for _ in range(3)]
            yield_()
            consumers[cancelled].cancel()
            for number in range(2):
                queue.enqueue(number)
            others = [consumer for consumer in consumers if consumer is not consumers[cancelled]]
            for number, consumer in enumerate(others):
                item = consumer.join()
                assert item.value == number
                item.finish()
            with pytest.raises(FiberCancelled):
                consumers[cancelled].join()
            assert drained(queue)

    world.run(main)


def test_a_producer_that_is_cancelled_puts_nothing_in(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1)
        queue.enqueue(1)
        producers = [spawn(queue.enqueue, "x" * size) for size in (1, 1000)]
        yield_()
        for producer in producers:
            producer.cancel()
        yield_()
        assert values(queue, 1) == [1]
        let_others_run()
        assert drained(queue)

    world.run(main)


def test_who_waits_for_ever_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def waiting() -> None:
        WorkQueue(1).dequeue()

    def full() -> None:
        queue = WorkQueue(1)
        queue.enqueue(1)
        queue.enqueue(2)

    monkeypatch.setattr(core, "may_come_from_threads", lambda: False)  # as it would but for those of the test runner
    for main, what in ((waiting, "an item of a work queue"), (full, "room in a work queue")):
        with pytest.raises(Deadlock, match=what):
            world.run(main)


def test_many_at_once(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1000)
        queue.enqueue_many(range(500))
        found: list[Any] = []
        while len(found) < 500:
            with queue.dequeue_many(64) as batch:
                assert len(batch) in {64, 500 % 64}
                found += batch.values
        assert found == list(range(500))
        assert drained(queue)

    world.run(main)


def test_many_items_through_a_small_queue(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(3)
        producer = spawn(queue.enqueue_many, (str(number) * 50 for number in range(100)))
        found: list[Any] = []
        while len(found) < 100:
            with queue.dequeue_many(2) as batch:
                found += batch.values
        producer.join()
        assert found == [str(number) * 50 for number in range(100)]
        assert drained(queue)

    world.run(main)


def test_how_many_were_put_in_before_an_error(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(100)

        def items() -> Any:
            yield from range(70)
            raise LookupError("no more")

        with pytest.raises(LookupError) as caught:
            queue.enqueue_many(items())
        (note,) = caught.value.__notes__
        assert note.startswith(f"{len(queue)} items")
        with pytest.raises(TimeoutError):
            queue.enqueue_many(range(1000), timeout=0)

    world.run(main)


def test_what_cannot_be_carried(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(2)
        with pytest.raises(TypeError, match="generator"):
            queue.enqueue([1, (number for number in range(3))])
        for value in (queue, queue.heap, self_()):
            kind = type(value).__name__
            with pytest.raises(TypeError, match=rf"^<{kind} .*> \(at \['it'\]\) cannot .* a {kind} cannot"):
                queue.enqueue({"it": value})
        assert drained(queue)

    real = World("readiness")
    real.run(main)


def test_a_heap_that_is_none() -> None:
    for heap in (1_000_000, "heap"):
        with pytest.raises(TypeError, match="heap must be a Heap, not "):
            WorkQueue(5, heap)  # type: ignore[arg-type]


@pytest.mark.parametrize("capacity", [0, -1, 1.5, True, "many"])
def test_impossible_capacities(capacity: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="capacity"):
        WorkQueue(capacity)


def test_more_than_a_pipe_holds() -> None:
    with pytest.raises(ValueError, match=r"15000 or less, not 1000000"):
        WorkQueue(1_000_000)


@pytest.mark.parametrize("capacity", [3_500, 3_501, 15_000])
def test_the_largest_ones(world: World, capacity: int) -> None:
    def main() -> None:
        queue = WorkQueue(capacity)
        for number in range(capacity):  # singly and in uneven heaps, so that pages are not full
            if number % 20 == 0:
                queue.enqueue(number)
            elif number % 20 == 1:
                queue.enqueue_many(range(number, min(number + 19, capacity)))
        assert len(queue) == capacity
        with pytest.raises(TimeoutError):
            queue.enqueue(0, timeout=0)
        batch = queue.dequeue_many(capacity)
        assert len(batch) == capacity
        batch.give_back()
        assert len(queue) == capacity

    world.run(main)


def test_a_queue_that_is_dropped_is_gone_at_once(world: World) -> None:
    def main() -> None:
        with without_the_collector():
            before = settled_descriptors()
            queue = WorkQueue(5)
            consumers = [spawn(values, queue, 1) for _ in range(2)]
            yield_()
            queue.enqueue_many([1, 2, "x" * 1000])
            gather(*(consumer.join for consumer in consumers))
            with pytest.raises(LookupError), queue.dequeue():
                raise LookupError
            spawn(queue.dequeue).cancel()
            yield_()
            item = queue.dequeue()
            del queue, consumers
            assert item.value == "x" * 1000
            del item
            assert open_descriptors() == before

    world.run(main)


def test_a_slot_that_is_taken_into_while_somebody_looks() -> None:
    class Changing:
        """A table's memory, in which the slot is taken into by somebody else after each look at it."""

        def __init__(self, memory: memoryview) -> None:
            self.memory = memory

        def __getitem__(self, at: int | slice) -> Any:
            found = self.memory[at]
            found = memoryview(bytes(found)) if isinstance(found, memoryview) else found
            self.memory[begin : begin + len(small)] = small
            return found

    queue = WorkQueue(5)
    queue.enqueue(b"x" * 1000)
    item = queue.dequeue()
    table = queue._core.table
    begin, memory = table.slots_at(queue._core.place), table.bytes
    (span,) = table.spans_held()
    large, small = bytes(memory[begin : begin + table.record_size]), inline(b"N.", table.record_size)
    table.bytes = Changing(memory)  # type: ignore[assignment]
    assert list(table.spans_held()) == [span]
    assert list(table.spans_held()) == []
    table.bytes = memory
    memory[begin : begin + len(large)] = large
    item.finish()
