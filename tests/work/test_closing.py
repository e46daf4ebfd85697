"""A work queue that is closed while others are at it: what was let in comes out, and everybody is told of the end."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from computicle import *
from computicle.work import gate as gate_module
from computicle.work.gate import Gate
from computicle.work.queue_keeper import QueueKeeper
from computicle.work.record import inline
from computicle.work.table import CLOSED, DRAINED, SEVERAL, SOURCES
from computicle.worlds.launcher import launcher
from tests.conftest import World
from tests.work.meanwhile import Meanwhile
from tests.worlds.conftest import _nothing_is_left  # noqa: F401

LATE_S = 20.0  # bounds a hang


@contextmanager
def keeper_held_up() -> Iterator[None]:
    """What it is rung for has to wait."""
    assert launcher._process is not None
    zygote = launcher._process.pid
    os.kill(zygote, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(zygote, signal.SIGCONT)


def with_dead(queue: WorkQueue, values: list[Any]) -> None:
    """Have the zygote look after it, and these be with the dead."""
    with Computicle() as world:
        world.call(len, queue)
    queue.enqueue_many(values)
    for _ in values:
        queue.dequeue().give_back()
    wait_for(lambda: len(queue.dead) == len(values), every=0.001)


def test_what_was_requeued_before_it_was_closed_comes_out() -> None:
    def main() -> None:
        queue = WorkQueue(10, max_tries=1)
        with_dead(queue, ["again"])
        with keeper_held_up():
            for dead in queue.dead:
                dead.requeue()
            queue.close()
        with fail_after(LATE_S):
            assert [item.value for item in queue] == ["again"]
        assert len(queue.dead) == 0
        queue.check()

    run(main)


def test_what_is_requeued_takes_up_room_at_once() -> None:
    def main() -> None:
        queue = WorkQueue(2, max_tries=1)
        with_dead(queue, [1, 2])
        queue.enqueue(3)
        first, second = queue.dead
        with keeper_held_up():
            first.requeue()
            with pytest.raises(TimeoutError):
                second.requeue(timeout=0)
            with pytest.raises(TimeoutError):
                queue.enqueue(4, timeout=0)
        with fail_after(LATE_S):
            assert sorted(queue.dequeue_many(1).values + queue.dequeue_many(1).values) == [1, 3]

    run(main)


def test_who_is_refused_because_it_was_just_closed_leaves_nobody_waiting(world: World) -> None:
    """Whoever closes it may see another one about to put something in, and leave the rest to that one."""

    def main() -> None:
        queue = WorkQueue(10)
        table = queue._core.table
        table.join(2)
        other = Gate(table, queue._core.pipe, 2, queue._core.room.call)
        table.ints[other._intent] = 1  # as at the beginning of its `put`
        queue.close()
        assert not table.bytes[DRAINED]
        with pytest.raises(ClosedError):
            other.put(inline(b"N.", table.record_size), 1)
        assert table.bytes[DRAINED]
        assert list(queue) == []

    world.run(main)


@pytest.mark.parametrize("before", [0, 1])
def test_the_last_one_may_be_done_before_whoever_put_it_in_has_noted_that(
    monkeypatch: pytest.MonkeyPatch, before: int
) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        put_and_done(queue, before)

        def write_and_see_it_done(number: int, records: bytes) -> None:
            os.write(number, records)
            with queue.dequeue() as item:
                assert item.value == "last"
                queue.close()

        monkeypatch.setattr(gate_module, "write", write_and_see_it_done)
        queue.enqueue("last")
        assert queue._core.table.bytes[DRAINED]

    run(main)


def test_the_last_one_requeued_may_be_done_before_the_keeper_has_noted_that(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        queue = WorkQueue(10, max_tries=1)
        queue.enqueue("again")
        queue.dequeue().give_back()
        write = QueueKeeper._write

        def write_and_see_it_done(keeper: QueueKeeper, at: int, tries: int) -> bool:
            written = write(keeper, at, tries)
            with queue.dequeue() as item:
                assert item.value == "again"
                queue.close()
            return written

        monkeypatch.setattr(QueueKeeper, "_write", write_and_see_it_done)
        (dead,) = queue.dead
        dead.requeue()
        with pytest.raises(ClosedError):
            queue.dequeue(timeout=LATE_S)

    run(main)


def put_and_done(queue: WorkQueue, count: int) -> None:
    """After one, it is known that there is room."""
    for _ in range(count):
        queue.enqueue("before")
        queue.dequeue().finish()


@pytest.mark.parametrize("word", ["put", "put_small", "revive"])
def test_who_puts_something_in_sees_that_it_was_closed_by_one_that_did_not_see_that(
    world: World, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What one has stored, others can see before it loads what they have."""

    def main() -> None:
        queue = WorkQueue(10)
        put_and_done(queue, 1)
        table, gate = queue._core.table, queue.gate
        gate.shared = True
        intents: list[int] = []

        def close() -> None:
            intents.append(table.intents(-1))
            table.bytes[CLOSED] = 1

        gate._fence = Meanwhile(close)  # type: ignore[assignment]
        monkeypatch.setattr(gate_module, "let_others_see", close)
        with pytest.raises(ClosedError):
            if word == "put":
                gate.put(inline(b"N.", table.record_size), 1)
            elif word == "put_small":
                gate.put_small(b"N.")
            else:
                gate.revive(lambda: None)
        assert {*intents} == {1}
        assert table.bytes[DRAINED]

    world.run(main)


def test_who_closes_it_sees_who_is_about_to_put_something_in(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        table, gate = queue._core.table, queue.gate

        def begin() -> None:
            assert table.bytes[CLOSED]
            table.ints[gate._intent] = 1

        monkeypatch.setattr(gate_module, "let_others_see", begin)
        gate.close()
        assert not table.bytes[DRAINED]

    world.run(main)


def test_who_was_about_to_put_something_in_looks_once_others_can_see_that_it_is_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def main() -> None:
        queue = WorkQueue(1)
        table, gate = queue._core.table, queue.gate

        def close() -> None:
            queue.dequeue().finish()
            table.bytes[CLOSED] = 1

        queue.enqueue("first")
        monkeypatch.setattr(gate, "_lock", Meanwhile(close))  # and not for good: it holds the queue
        assert not gate.put(inline(b"N.", table.record_size), 1)
        assert table.bytes[DRAINED]

    world.run(main)


def test_two_that_begin_to_put_something_in_see_each_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        table, gate = queue._core.table, queue.gate

        def begin() -> None:
            assert table.bytes[SOURCES + gate._place]
            table.bytes[SOURCES + 2] = 1

        monkeypatch.setattr(gate_module, "let_others_see", begin)
        queue.enqueue("first")
        assert table.bytes[SEVERAL]

    world.run(main)
