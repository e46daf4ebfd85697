"""Producers that keep each other out for a moment, and both have to wait: one of them is told."""

import os
from typing import Any

import pytest

from computicle import *
from computicle.work import gate
from computicle.work.gate import Gate
from computicle.work.record import inline
from computicle.work.table import SEVERAL, SOURCES
from tests.conftest import World
from tests.work.meanwhile import Meanwhile
from tests.worlds.conftest import _nothing_is_left  # noqa: F401

LATE_S = 20.0  # bounds a hang


def test_who_was_refused_for_somebody_elses_sake_is_told_when_that_one_is_refused(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(2)
        core = queue._core
        table = core.table
        table.join(2)
        table.bytes[SOURCES + 2] = table.bytes[SEVERAL] = 1
        other = Gate(table, core.pipe, 2, core.room.call)
        table.ints[other._intent] = 2  # as at the beginning of its `put`
        waiting = spawn(queue.enqueue_many, ["a", "b"])
        yield_()
        assert "room" in (waiting.waits_for or "")

        table.ints[core.gate._intent] = 2  # as this one's was, when the other one looked
        record = inline(b"N.", table.record_size)
        assert not other.put(record * 2, 2)
        table.ints[core.gate._intent] = 0
        waiting.join(timeout=1)
        assert queue.dequeue_many(2).values == ["a", "b"]

    world.run(main)


def test_who_finds_it_full_wakes_nobody(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(2)
        core = queue._core
        core.table.join(2)
        told: list[bool] = []
        other = Gate(core.table, core.pipe, 2, lambda: told.append(True))
        queue.enqueue_many("ab")
        waiting = spawn(queue.enqueue, "c")
        yield_()
        record = inline(b"N.", core.table.record_size)
        for _ in range(3):
            assert not other.put(record, 1)
        assert not told
        queue.dequeue().finish()
        waiting.join()
        for _ in range(2):
            queue.dequeue().finish()
        assert other.put(record, 1)

    world.run(main)


@pytest.mark.parametrize("at", ["_lock", "_fence"])
def test_where_somebody_else_begins_to_put_something_in_the_room_seen_before_is_not_ones_own(
    world: World, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> None:
        queue = WorkQueue(3)
        core = queue._core
        core.table.join(2)
        other = Gate(core.table, core.pipe, 2, core.room.call)
        record = inline(b"N.", core.table.record_size)

        def fill() -> None:
            while other.put(record, 1):
                """As many as there is room for."""

        queue.enqueue("first")
        core.gate.shared = True
        with monkeypatch.context() as patch:
            patch.setattr(core.gate, at, Meanwhile(fill, taken=True))
            with pytest.raises(TimeoutError):
                for _ in range(2):
                    queue.enqueue("more", timeout=0)
            assert len(queue) == 3

    world.run(main)


def test_who_says_that_several_put_something_in_has_said_so_before_it_looks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> None:
        queue = WorkQueue(3)
        core = queue._core
        core.table.join(2)
        other = Gate(core.table, core.pipe, 2, core.room.call)
        said: list[int] = []
        queue.enqueue("first")
        monkeypatch.setattr(gate, "let_others_see", lambda: said.append(core.table.bytes[SEVERAL]))
        assert other.put(inline(b"N.", core.table.record_size), 1)
        assert said[-1]

    world.run(main)


@pytest.mark.parametrize("many", [False, True])
def test_an_interrupt_right_after_an_item_is_in_makes_no_room_for_one_more(
    world: World, monkeypatch: pytest.MonkeyPatch, many: bool
) -> None:
    def main() -> None:
        queue = WorkQueue(3)

        def put(item: int) -> None:
            if many:
                queue.enqueue_many([item], timeout=0)
            else:
                queue.enqueue(item, timeout=0)

        def write_and_interrupt(number: int, records: Any) -> None:
            os.write(number, records)
            raise KeyboardInterrupt

        put(0)
        with monkeypatch.context() as patch:
            patch.setattr(gate, "write", write_and_interrupt)
            with pytest.raises(KeyboardInterrupt):
                put(1)
        put(2)
        with pytest.raises(TimeoutError):
            put(3)
        assert len(queue) == 3

    world.run(main)


def test_who_looks_while_another_thread_is_in_the_middle_of_putting_something_in_leaves_its_lock_alone() -> None:
    queue = WorkQueue(3)
    with queue.gate._fence:
        queue.close()
        assert queue.gate._fence.locked()


def put_pairs(queue: WorkQueue, count: int) -> None:
    for number in range(count):
        queue.enqueue_many([number, number])


def test_producers_whose_batches_only_just_fit_in() -> None:
    def main() -> None:
        queue = WorkQueue(2)
        for _ in range(2):
            Computicle(put_pairs, queue, 1000)
        found: list[Any] = []
        while len(found) < 4000:
            with queue.dequeue(timeout=LATE_S) as item:
                found.append(item.value)
        assert sorted(found) == sorted([*range(1000)] * 4)

    run(main)
