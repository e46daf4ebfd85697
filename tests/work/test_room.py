"""Room: who waits for it is told of all there is, whatever becomes of others. On every engine."""

from typing import Any

import pytest

from computicle import *
from computicle.work import core
from computicle.work import room as room_module
from computicle.work.queue import WorkQueue
from computicle.work.room import AT_ONCE, LATE
from computicle.work.table import HINT, SEVERAL
from tests.conftest import World


@pytest.mark.parametrize("capacity", [1, 100, 1000])
@pytest.mark.parametrize("many", [False, True])
def test_whoever_makes_room_need_not_come_back(
    world: World, monkeypatch: pytest.MonkeyPatch, capacity: int, many: bool
) -> None:
    """It may be busy with something else then, or wait for just that one."""
    monkeypatch.setattr(core, "may_come_from_threads", lambda: False)  # as it would but for those of the test runner

    def main() -> None:
        queue = WorkQueue(capacity)
        queue.enqueue_many(range(capacity))
        producer: Any = spawn(queue.enqueue_many, ["one more"]) if many else spawn(queue.enqueue, "one more")
        yield_()
        queue.dequeue().finish()
        producer.join()
        assert len(queue) == capacity

    world.run(main)


def test_a_wake_that_comes_while_it_lies_down_is_not_its_last(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        small, large = heap.alloc(64), heap.alloc(800_000)
        take_wakes = heap._room._take_wakes
        others = [small]

        def free_and_take_wakes() -> bool:
            for block in others:
                block.free()  # which is told, but is not enough
            others.clear()
            return take_wakes()

        monkeypatch.setattr(heap._room, "_take_wakes", free_and_take_wakes)
        waiting = spawn(heap.alloc, 500_000)
        sleep(0.01)
        large.free()
        waiting.join(timeout=1).free()

    world.run(main)


@pytest.mark.parametrize("how", ["cancelled", "timed out"])
def test_who_was_woken_and_leaves_wakes_the_next_one(world: World, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    def main() -> None:
        queue = WorkQueue(1)
        queue.enqueue("first")
        room = queue._core.room
        waiting = spawn(queue.enqueue, "second", timeout=0.05 if how == "timed out" else None)
        yield_()
        told: list[bool] = []
        monkeypatch.setattr(room, "call", lambda: told.append(not room._turns))
        if how == "cancelled":
            waiting.cancel()
        with pytest.raises((FiberCancelled, TimeoutError)):
            waiting.join()
        assert told == [True]  # it is not there any more to be woken by that

    world.run(main)


def test_a_word_that_fails_at_once_wakes_the_next_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        told: list[bool] = []
        monkeypatch.setattr(heap._room, "call", lambda: told.append(True))

        def fail() -> None:
            raise LookupError

        with pytest.raises(LookupError):
            heap._room.wait(current(), fail, None)
        assert told == [True]

    world.run(main)


def test_many_that_do_not_all_fit_in_go_in_one_by_one(world: World) -> None:
    """Whoever is to make room may have some of them already, and wait for one more."""

    def main() -> None:
        queue = WorkQueue(4)
        producer = spawn(queue.enqueue_many, [*range(6), "x" * 1000, "y" * 1000])
        first, *others = queue.dequeue(), queue.dequeue(), queue.dequeue()
        for _ in range(5):
            for item in others:
                item.finish()
            others = [queue.dequeue(timeout=1)]
        assert others[0].value == "y" * 1000
        producer.join()
        others[0].finish()
        first.finish()
        assert queue.heap.stats().blocks == 0

    world.run(main)


def test_of_many_some_of_which_are_in_when_it_fails_only_the_others_are_forgotten(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(2)
        queue.enqueue("first")
        with pytest.raises(TimeoutError) as caught:
            queue.enqueue_many(["x" * 1000, "y" * 1000], timeout=0.01)
        assert caught.value.__notes__ == ["1 item was put into the work queue before that"]
        assert queue.heap.stats().blocks == 1
        queue.dequeue().finish()
        with queue.dequeue() as item:
            assert item.value == "x" * 1000
        assert len(queue) == queue.heap.stats().blocks == 0

    world.run(main)


@pytest.mark.parametrize("when", ["lies down", "was woken for nothing"])
def test_room_that_is_seen_late_is_seen(world: World, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """Whoever made it has found nobody waiting."""

    def main() -> None:
        queue = WorkQueue(1)
        queue.enqueue("first")
        core = queue._core
        slot = queue.dequeue().detach()
        held = core.table.held

        def held_late() -> int:
            found = held()
            if core.table.bytes[HINT] and found:
                core.leases.empty(slot)
            return found

        producer = spawn(queue.enqueue, "second")
        if when == "was woken for nothing":
            yield_()
            core.room.call()
        monkeypatch.setattr(core.table, "held", held_late)
        producer.join(timeout=1)

    world.run(main)


def test_the_last_item_that_is_seen_late_to_be_done_is_the_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        queue = WorkQueue(1)
        queue.enqueue("last")
        core = queue._core
        slot = queue.dequeue().detach()
        waiting = spawn(queue.dequeue, timeout=1)
        yield_()
        held = core.table.held

        def held_late() -> int:
            found = held()
            if found:
                core.leases.empty(slot)
            return found

        monkeypatch.setattr(core.table, "held", held_late)
        queue.close()
        with pytest.raises(ClosedError):
            waiting.join()

    world.run(main)


def patient(queue: WorkQueue) -> Any:
    """A producer that was woken a moment ago, and waits again. The queue is full."""
    queue.enqueue_many(range(queue.capacity))
    items = ["first", "second"]

    def put() -> None:
        for item in items:
            queue.enqueue(item)

    producer = spawn(put)
    yield_()
    queue.dequeue().finish()
    wait_for(lambda: queue._core.table.bytes[HINT] == LATE)
    return producer


def test_who_was_woken_a_moment_ago_is_told_late(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(80)
        producer = patient(queue)
        for _ in range(queue.capacity // 8 - 1):
            queue.dequeue().finish()
        assert not queue._core.room._take_wakes()
        queue.dequeue().finish()
        assert queue._core.room._take_wakes()
        queue._core.room.call()
        producer.join(timeout=1)

    world.run(main)


def test_but_before_its_maker_sleeps(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(20)
        producer = patient(queue)
        queue.dequeue().finish()
        assert not queue._core.room._take_wakes()
        queue._core.about_to_sleep()
        assert queue._core.room._take_wakes()
        queue._core.room.call()
        producer.join(timeout=1)

    world.run(main)


def test_and_not_later_than_it_is_patient(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever made the room may be busy with something else."""
    monkeypatch.setattr(core, "may_come_from_threads", lambda: False)

    def main() -> None:
        queue = WorkQueue(80)
        producer = patient(queue)
        queue.dequeue().finish()
        producer.join()

    world.run(main)


def test_as_soon_as_another_one_waits_all_are_told_at_once(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(80)
        producer = patient(queue)
        queue._core.table.bytes[HINT] = AT_ONCE  # by another process, which waits, too
        queue.dequeue().finish()
        assert queue._core.room._take_wakes()
        queue._core.room.call()
        producer.join(timeout=1)

    world.run(main)


def keep_putting(queue: WorkQueue) -> Any:
    """A producer in front of a full queue, which waits for the first time."""
    queue.enqueue_many(range(queue.capacity))

    def put() -> None:
        for item in range(3):
            queue.enqueue(item)

    producer = spawn(put)
    yield_()
    return producer


def hint_again(queue: WorkQueue) -> int:
    """Make some room; what the producer says as it waits for more."""
    queue.dequeue().finish()
    wait_for(lambda: queue._core.table.bytes[HINT])
    return queue._core.table.bytes[HINT]


def test_where_others_put_something_in_nobody_is_told_late(world: World) -> None:
    """One of them may wait since long, and the hint is everybody's."""

    def main() -> None:
        queue = WorkQueue(80)
        producer = keep_putting(queue)
        queue._core.table.bytes[SEVERAL] = 1
        assert [hint_again(queue) for _ in range(2)] == [AT_ONCE, AT_ONCE]
        queue.dequeue().finish()
        producer.join(timeout=1)

    world.run(main)


@pytest.mark.parametrize("where", ["process", "thread"])
def test_nor_where_another_one_comes_in_the_same_moment(
    world: World, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    def main() -> None:
        queue = WorkQueue(80)
        room = queue._core.room
        producer = keep_putting(queue)
        answers = iter([True, where == "thread"])

        def is_one_alone() -> bool:
            answer = next(answers)
            if where == "thread":
                others: Any = {None: None}
                monkeypatch.setattr(room, "_turns", {**room._turns, **others})
            return answer

        with monkeypatch.context() as patch:
            patch.setattr(room, "_is_one_alone", is_one_alone)
            turns = room._turns
            assert hint_again(queue) == AT_ONCE
            assert next(answers, None) is (True if where == "thread" else None)
            room._turns = turns
        for _ in range(2):
            queue.dequeue().finish()
        producer.join(timeout=1)

    world.run(main)


def test_who_stands_in_line_for_an_item_has_told_of_the_room_it_has_made(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_module, "LATE_S", 1000.0)

    def main() -> None:
        queue = WorkQueue(80)
        producer = patient(queue)
        items = [queue.dequeue() for _ in range(80)]
        first = spawn(queue.dequeue)
        yield_()
        items[0].finish()
        assert queue._core._untold == 1
        second = spawn(queue.dequeue)
        yield_()
        assert queue._core._untold == 0
        producer.join(timeout=1)
        queue.close()
        for item in items[1:]:
            item.finish()
        with first.join():
            """The one that there was room for."""
        with pytest.raises(ClosedError):
            second.join()

    world.run(main)
