"""The dead: what was tried too often, and what becomes of it once somebody has decided."""

from collections.abc import Callable

import pytest

from computicle import *
from computicle.engine.op import ClosedError
from computicle.work.dead import DeadItem
from computicle.work.queue import WorkQueue
from tests.conftest import World


def leased(queue: WorkQueue) -> int:
    return queue._core.table.held()


def test_after_some_tries_it_is_put_with_the_dead(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(10, max_tries=2)
        queue.enqueue_many(["poison", "x" * 1000])
        for _ in range(4):
            queue.dequeue().give_back()
        assert (len(queue), leased(queue), len(queue.dead)) == (0, 0, 2)
        first, second = queue.dead
        assert (first.value, first.tries) == ("poison", 2)
        assert second.value == "x" * 1000
        queue.check()

        first.requeue()
        assert len(queue.dead) == 1
        with pytest.raises(ValueError, match="not among the dead"):
            first.requeue()
        with pytest.raises(ValueError, match="not among the dead"):
            first.drop()
        item = queue.dequeue()
        assert (item.value, item.tries) == ("poison", 0)
        item.finish()

        second.drop()
        assert len(queue.dead) == 0
        with pytest.raises(ValueError, match="not among the dead"):
            _ = second.value

    world.run(main)


def test_dead_items_wait_for_room_and_not_behind_the_end(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1, max_tries=1)
        queue.enqueue("poison")
        queue.dequeue().give_back()
        queue.enqueue("other")
        (dead,) = queue.dead
        with pytest.raises(TimeoutError):
            dead.requeue(timeout=0.05)
        queue.dequeue().finish()
        queue.close()
        with pytest.raises(ClosedError):
            dead.requeue()
        assert list(queue) == []

    world.run(main)


def test_as_many_dead_as_there_is_room_for(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(1000, max_tries=1)
        queue.enqueue_many(range(300))
        for _ in range(300):
            queue.dequeue().give_back()
        assert len(queue.dead) == 256
        assert len(queue) == 300 - 256  # the others go on being tried
        for dead in queue.dead:
            dead.requeue()
        assert len(queue) == 300

    world.run(main)


def two_views_of_a_dead_item(queue: WorkQueue) -> tuple[DeadItem, DeadItem]:
    queue.enqueue("poison" * 100)
    queue.dequeue().give_back()
    (first,), (second,) = queue.dead, queue.dead
    return first, second


def in_between(monkeypatch: pytest.MonkeyPatch, dead: DeadItem, act: Callable[[], object]) -> None:
    """Another one acts between its look and its store."""
    check = dead._check_there

    def check_and_act() -> None:
        check()
        monkeypatch.undo()
        act()

    monkeypatch.setattr(dead, "_check_there", check_and_act)


def test_one_who_drops_what_another_one_has_just_requeued_frees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue(5, max_tries=1)
    first, second = two_views_of_a_dead_item(queue)
    in_between(monkeypatch, first, second.requeue)
    first.drop()
    assert len(queue) == queue.heap.stats().blocks == 1
    assert leased(queue) == len(queue.dead) == 0
    with queue.dequeue(timeout=0) as item:
        assert item.value == "poison" * 100
    assert queue.heap.stats().blocks == 0
    queue.check()


def test_one_who_requeues_what_another_one_has_just_dropped_puts_nothing_in(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue(5, max_tries=1)
    first, second = two_views_of_a_dead_item(queue)
    check, looks = first._check_there, []

    def check_and_drop() -> None:
        check()
        looks.append(0)
        if len(looks) == 2:  # right before its store
            second.drop()

    monkeypatch.setattr(first, "_check_there", check_and_drop)
    first.requeue()
    assert len(looks) == 2
    assert len(queue) == leased(queue) == len(queue.dead) == queue.heap.stats().blocks == 0
    queue.check()


def test_one_who_drops_what_is_gone_does_not_hit_the_next_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue(5, max_tries=1)
    first, second = two_views_of_a_dead_item(queue)

    def replace() -> None:
        second.drop()
        queue.enqueue("next" * 100)
        queue.dequeue().give_back()

    in_between(monkeypatch, first, replace)
    first.drop()
    assert [dead.value for dead in queue.dead] == ["next" * 100]


def test_slots_of_the_dead_are_used_in_turn() -> None:
    queue = WorkQueue(300, max_tries=1)
    for turn in range(3):
        for number in range(200):
            queue.enqueue(number)
            queue.dequeue().give_back()
            if number % 5:
                next(iter(dead for dead in queue.dead if dead.value == number)).drop()
        assert len(queue.dead) == min(40 * (turn + 1), 256)
    queue.check()


def test_what_a_dying_one_has_decided_is_done() -> None:
    """It may have died before it had rung."""
    queue = WorkQueue(5, max_tries=1)
    first, _second = two_views_of_a_dead_item(queue)
    first._mark_revived()
    core = queue._core
    core.table.join(2)
    assert core._keeper is not None
    core._keeper.bury(2)
    with queue.dequeue(timeout=0) as item:
        assert item.tries == 0
