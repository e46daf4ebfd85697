"""Leases: an item ends once; one that is not finished goes to another."""

import copy
import gc
from typing import Any

import pytest

from computicle import *
from computicle.work.queue import WorkQueue
from tests.conftest import World


def leased(queue: WorkQueue) -> int:
    return queue._core.table.held()


def test_leaving_the_with_statement_finishes_it(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue(1)
        with queue.dequeue() as item:
            assert leased(queue) == 1
            assert item.tries == 0
            assert item.leased
        assert repr(item) == "<Item finished>"
        assert (len(queue), leased(queue)) == (0, 0)
        item.finish()
        with pytest.raises(ValueError, match="finished"):
            item.give_back()
        with pytest.raises(ValueError, match="finished"):
            _ = item.value
        with pytest.raises(ValueError, match="finished"), item:
            pass

    world.run(main)


def test_an_error_gives_it_back(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many(["first", "second"])
        with pytest.raises(LookupError), queue.dequeue() as item:
            raise LookupError
        with pytest.raises(ValueError, match="given back"):
            item.finish()
        with pytest.raises(ValueError, match="given back"):
            item.give_back()
        found = []
        for _ in range(2):
            with queue.dequeue() as item:
                found.append((item.value, item.tries))
        assert found == [("second", 0), ("first", 1)]

    world.run(main)


def test_an_item_is_not_copied(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue(1)
        with queue.dequeue() as item, pytest.raises(TypeError, match="^an Item cannot be copied"):
            copy.copy(item)

    world.run(main)


def test_ending_it_inside_the_with_statement(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many([1, 2])
        with queue.dequeue() as item:
            item.give_back()
        with queue.dequeue() as item:
            item.finish()
        assert len(queue) == 1

    world.run(main)


def test_dropping_it_gives_it_back(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue(1)
        queue.dequeue()
        assert len(queue) == 1
        item = queue.dequeue()
        assert item.tries == 1
        item.finish()

    world.run(main)


def test_the_loop_finishes_the_last_when_it_asks_for_the_next(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many(range(5))
        for item in queue:
            assert leased(queue) == 1
            assert len(queue) == 4 - item.value
            if item.value == 3:
                break
        del item
        gc.collect()
        assert sorted(taken.value for taken in [queue.dequeue() for _ in range(2)]) == [3, 4]

    world.run(main)


def test_an_error_in_the_loop_gives_back(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many(range(3))
        with pytest.raises(LookupError):
            _fail_at(queue, 1)
        assert len(queue) == 2
        assert leased(queue) == 0

    world.run(main)


def _fail_at(queue: WorkQueue, value: Any) -> None:
    for item in queue:
        if item.value == value:
            raise LookupError


def test_items_ended_inside_the_loop(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many(range(3))
        queue.close()
        seen = []
        for item in queue:
            seen.append((item.value, item.tries))
            if item.tries == 0:
                item.give_back()
            else:
                item.finish()
        assert seen == [(0, 0), (1, 0), (2, 0), (0, 1), (1, 1), (2, 1)]

    world.run(main)


def test_batches(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        queue.enqueue_many(range(10))
        with queue.dequeue_many(3) as batch:
            assert batch.values == [0, 1, 2]
            assert leased(queue) == 3
        assert leased(queue) == 0
        with pytest.raises(LookupError), queue.dequeue_many(3):
            raise LookupError
        assert len(queue) == 7
        with queue.dequeue_many(4) as batch:
            for number, item in enumerate(batch):
                assert len(batch) == 4 - number
                if item.value == 9:
                    item.give_back()
        assert len(queue) == 4
        batch = queue.dequeue_many(2)
        del batch
        assert len(queue) == 4
        rest = queue.dequeue_many(100)
        assert [(item.value, item.tries) for item in rest] == [(5, 1), (9, 1), (3, 2), (4, 2)]
        assert (len(queue), leased(queue)) == (0, 0)

    world.run(main)


def test_an_error_in_the_middle_of_a_batch_gives_back_only_the_rest(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        queue.enqueue_many(range(5))
        with pytest.raises(LookupError), queue.dequeue_many(5) as batch:
            for item in batch:
                if item.value == 2:
                    raise LookupError
        assert sorted(queue.dequeue_many(9).values) == [2, 3, 4]

    world.run(main)


def test_wakes_that_were_passed_on_take_up_no_room(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(3)
        for _ in range(3):
            queue.gate.nudge()
        queue.enqueue_many(range(3), timeout=0.05)
        with pytest.raises(TimeoutError):
            queue.enqueue(3, timeout=0.05)
        assert [queue.dequeue().value for _ in range(3)] == [0, 1, 2]

    world.run(main)


def test_an_item_is_done_before_its_memory_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    """Should this process die in between, nobody is given an item whose memory is another's already."""
    queue = WorkQueue(5, max_tries=1)
    queue.enqueue_many(["x" * 1000, "poison" * 100])
    release, leased_then = queue.heap.release, []

    def watched(offset: int) -> None:
        leased_then.append(queue._core.table.held() + len(queue.dead))
        release(offset)

    monkeypatch.setattr(queue.heap, "release", watched)
    queue.dequeue().finish()
    queue.dequeue().give_back()
    (dead,) = queue.dead
    dead.drop()
    assert leased_then == [0, 0]


@pytest.mark.parametrize("tries", [0, 256, "three"])
def test_impossible_tries(tries: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_tries"):
        WorkQueue(1, max_tries=tries)


def test_an_item_whose_rebuilding_fails_is_given_back(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(2, max_tries=1)
        queue.enqueue(Unloadable())
        with pytest.raises(LookupError, match="cannot be rebuilt"), queue.dequeue() as item:
            _ = item.value
        assert len(queue.dead) == 1

    world.run(main)


class Unloadable:
    def __reduce__(self) -> Any:
        return _fail, ()


def _fail() -> None:
    raise LookupError("cannot be rebuilt")


def test_batches_of_all_sizes_use_no_more_slots_than_there_are(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(50, max_tries=255)
        for turn in range(300):
            queue.enqueue_many(range(50))
            held = [queue.dequeue_many(size) for size in (1 + turn % 7, 2 + turn % 11, 3 + turn % 20)]
            held += [queue.dequeue_many(50)] if len(queue) else []
            if turn % 3 == 0:
                held.pop(0).give_back()
                held.append(queue.dequeue_many(50))
            if turn % 5 == 0:
                assert all(item.leased for item in held[1])
            for batch in held:
                batch.finish()
            assert (len(queue), leased(queue)) == (0, 0)
        queue.check()

    world.run(main)


@pytest.mark.parametrize("item", [7, "x" * 1000])
def test_batches_stay_large_whatever_becomes_of_their_items(world: World, item: Any) -> None:
    def main() -> None:
        queue = WorkQueue(1000, max_tries=255)
        for turn in range(40):
            queue.enqueue_many([item] * (100 - len(queue)))
            batch = queue.dequeue_many(100)
            assert len(batch) == 100
            if turn % 3 == 2:
                batch.give_back()
            else:
                assert [each.value for each in batch] == [item] * 100
        queue._core.leases.check()

    world.run(main)


def test_what_a_batch_leaves_free_is_there_for_other_items(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1000)
        queue.enqueue(0)
        first = queue.dequeue_many(1000)
        queue.enqueue_many(range(1, 900))
        held = [queue.dequeue() for _ in range(700)]
        rest = queue.dequeue_many(1000)
        assert rest.values == list(range(701, 900))
        for item in held:
            item.finish()
        assert first.values == [0]
        first.finish()
        rest.finish()
        assert leased(queue) == 0
        queue._core.leases.check()

    world.run(main)


def test_a_batch_of_slots_that_do_not_lie_together(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1000)
        queue.enqueue_many(range(1000))
        for item in [queue.dequeue() for _ in range(1000)]:
            if item.value % 10:
                item.finish()
            else:
                kept.append(item)
        queue.enqueue_many(range(900), timeout=0)
        queue.dequeue_many(900).finish()
        queue.enqueue_many(range(900), timeout=0)
        batch = queue.dequeue_many(900)
        assert batch.values == list(range(900))
        batch.finish()
        queue._core.leases.check()

    kept: list[Any] = []
    world.run(main)


def test_a_batch_that_waited(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(50)

        def take() -> list[Any]:
            with queue.dequeue_many(8) as batch:
                return batch.values

        takers = [spawn(take) for _ in range(2)]
        yield_()
        queue.enqueue_many(range(20))
        first, second = gather(*(taker.join for taker in takers))
        assert first == list(range(8))
        assert second == [8]  # who stands in line gets one
        assert len(queue) == 11
        queue.close()

    world.run(main)
