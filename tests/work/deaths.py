"""Deaths: one life, ended or held up at one line, what others do meanwhile, and the reckoning."""

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.work.dying import HEAP_SIZE, NEVER, Arena
from tests.work.hands import Hands
from tests.work.lives import (
    BEFORE,
    closes,
    takes_all,
    waits_at_both,
    waits_for_a_batch,
    waits_for_an_item,
    waits_for_an_item_for_a_while,
    waits_for_memory,
    waits_for_room,
    waits_in_several_fibers,
    works_on,
)
from tests.worlds.helpers import state_of

Life = Callable[[Hands], None]

TAKING = [
    waits_for_an_item,
    waits_for_an_item_for_a_while,
    waits_for_a_batch,
    waits_at_both,
    waits_in_several_fibers,
    closes,
    takes_all,  # of what has been closed
]
WAITING_LIVES = [*TAKING, waits_for_room, waits_for_memory]

TRIES_MAX = 2  # where it has to do with the dead


@contextmanager
def at(arena: Arena, line: int) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        error.add_note(f"line={line}\n{arena.hands.queue.dump()}\n{arena.hands.second.dump()}")
        raise


def lines_of(arena: Arena, life: Life) -> int:
    """How many lines of the work rooms it comes to, if nobody holds it up."""
    for _ in range(2):  # the first one at a place has a little more to do
        begin(arena, life)
        assert arena.end_of(arena.fork(life)) == 0
        arena.reckon()
    return int(arena.records[1].lines[0])


def begin(arena: Arena, life: Life) -> None:
    arena.forget_items()
    hands = arena.hands
    hands.put_many(0)
    for _ in range(BEFORE.get(life, 0)):
        for item in [hands.take() for _ in range(len(hands.queue))]:
            assert item is not None
            item.give_back()
        arena.look()


def dies_and_is_reckoned(arena: Arena, life: Life, line: int) -> bool:
    """Whether it has come to that line."""
    with at(arena, line):
        begin(arena, life)
        status = arena.end_of(arena.fork(life, line))
        arena.reckon()
    return status == -signal.SIGKILL


def stands_still_and_is_reckoned(arena: Arena, life: Life, line: int, other_line: int) -> bool:
    """Meanwhile others do a lot, and one of them dies at another line. Whether it has come to its own."""
    with at(arena, line):
        begin(arena, life)
        pid = arena.fork(life, line, signal.SIGSTOP)
        stopped = arena.stopped(pid)
        if stopped:
            bustle(arena, other_line)
            os.kill(pid, signal.SIGCONT)
        assert arena.end_of(pid) == 0
        arena.reckon()
    return stopped


def bustle(arena: Arena, line: int) -> None:
    """Items come and go, another one dies, and all memory that is free is used."""
    hands = arena.hands
    hands.put_many(8)
    for _ in range(6):
        item = hands.take()
        if item is not None:
            hands.finish(item)
    arena.end_of(arena.fork(works_on, line))
    hands.finish_all()
    for dead in hands.queue.dead:
        dead.requeue(timeout=0)
    arena.look()
    hands.finish_all()
    item = hands.take(hands.second)
    if item is not None:
        item.give_back()
        arena.look()
    blocks = [hands.heap.alloc(n, timeout=0) for n in (1000, 1000, 5000, 5000, 20_480, 20_480, 1_200_000)]
    for block in blocks:
        block[:] = bytes((255,)) * len(block)
    hands.put_many(16)
    for block in blocks:
        block.free()
    hands.finish_all(hands.second)


def dies_once_woken(arena: Arena, life: Life, line: int) -> bool:
    """Two wait for one thing, and the one that is woken dies, or did so before: the other one goes on.

    Whether it has come to that line. The arena has a capacity of 2, and is used up.
    """
    with at(arena, line):
        give, see_to_the_rest = prepare(arena, life)
        rival = arena.fork(takes_all if life in TAKING else life)
        arena.wait(lambda: sleeps(rival), "to sleep")
        pid = arena.fork(life, line)
        arena.wait(lambda: sleeps(pid), "to sleep")
        give()
        statuses = {}
        while arena.alive:
            arena.wait(lambda: any(map(arena.has_ended, arena.alive)) or see_to_the_rest(), "to go on")
            for each in [*filter(arena.has_ended, arena.alive)]:
                statuses[each] = arena.end_of(each)
        arena.reckon()
    return statuses[pid] == -signal.SIGKILL


def lines_once_woken(monkeypatch: pytest.MonkeyPatch, life: Life) -> int:
    """How many lines it comes to, if nobody is killed: of who came first, or last, whichever comes to more."""
    arena = Arena(monkeypatch, capacity=2)
    try:
        dies_once_woken(arena, life, NEVER)
        return max(int(record.lines[0]) for record in arena.records[1 + (life in TAKING) :])
    finally:
        arena.close()


def prepare(arena: Arena, life: Life) -> tuple[Callable[[], object], Callable[[], bool]]:
    """Nobody gets what it waits for, until the first of these is called; or what else it waits for, until the second is."""
    hands = arena.hands
    queue = hands.queue
    if life is waits_for_memory:
        return hands.heap.alloc(HEAP_SIZE, timeout=0).free, lambda: False
    if life is waits_for_room:

        def make_room() -> bool:
            if len(queue) == queue.capacity:
                item = hands.take()
                assert item is not None
                hands.finish(item)
            return False

        hands.put("small", 0)
        hands.put("small", 1)
        return make_room, make_room

    def close_once_empty() -> bool:
        if not len(queue) and not queue._core.table.held():
            queue.close()
        return False

    def put_two() -> None:
        hands.put_many(0, ["small", "large"])  # at once: `closes` closes it
        if life is takes_all:
            queue.close()

    return put_two, close_once_empty


def sleeps(pid: int) -> bool:
    """Or it has ended."""
    return state_of(str(pid)) in "SZ"
