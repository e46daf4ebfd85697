"""A heap that several processes have: they allocate side by side, free what others have allocated, and die."""

import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from computicle import *
from computicle.worlds.launcher import launcher
from computicle.work.heap import Heap
from computicle.work.codes import own_place
from computicle.work.arena import DISCARD_MIN
from computicle.work.sizes import counted
from tests.process.conftest import give_back_the_flow
from tests.worlds.conftest import warm_zygote
from tests.worlds.helpers import claim_end

SIZE = 1 << 22

maker: Any  # in a computicle: who has made it
held: list[int]  # in one: what it has allocated


@pytest.fixture(autouse=True)
def _a_zygote() -> Iterator[None]:
    give_back_the_flow()
    warm_zygote()
    yield
    give_back_the_flow()


def test_it_is_the_same_heap_elsewhere() -> None:
    def there(heap: Heap, again: Heap, place: int, maker: Computicle) -> None:
        assert heap is again
        assert own_place() != place
        block = heap.alloc(3)
        block[:] = b"abc"
        maker.post((heap, block.give_up()))
        assert receive() == "freed"
        assert heap.stats().blocks == 0
        heap.check()

    def main() -> None:
        heap = Heap(SIZE)
        world = Computicle(there, heap, heap, own_place(), self_())
        same, (offset, n) = receive()
        assert same is heap
        heap.claim(offset)
        with heap.wrap(offset, n) as block:
            assert bytes(block) == b"abc"
        heap.check()
        world.post("freed")
        world.wait()

    run(main)


def test_the_limit_is_that_of_all_and_who_waits_is_woken_from_elsewhere() -> None:
    def there(heap: Heap, maker: Computicle) -> None:
        with heap.alloc(SIZE):
            maker.post("full")
            receive()

    def main() -> None:
        heap = Heap(SIZE)
        world = Computicle(there, heap, self_())
        assert receive() == "full"
        with pytest.raises(TimeoutError):
            heap.alloc(1, timeout=0)
        waiting = spawn(heap.alloc, SIZE)
        wait_for(lambda: waiting.waits_for == "memory in a heap")
        world.post("free it")
        waiting.join().free()
        world.wait()
        heap.check()

    run(main)


@pytest.mark.parametrize("n", [64, 5000, DISCARD_MIN])
def test_what_the_dead_had_is_free(n: int) -> None:
    def there(heap: Heap, n: int, maker: Computicle) -> None:
        blocks = [heap.alloc(n) for _ in range(SIZE // counted(n) // 2)]
        maker.post([block.offset for block in blocks])
        receive()

    def main() -> None:
        heap = Heap(SIZE)
        kept = heap.alloc(n)
        world = Computicle(there, heap, n, self_())
        theirs = receive()
        mine = theirs[0]
        heap.claim(mine)
        assert heap.stats().blocks == 1 + len(theirs)
        claim_end(world)
        world.kill()
        wait_for(lambda: heap.stats().blocks == 2, every=0.001)
        heap.check()
        heap.release(mine)
        kept.free()
        heap.alloc(SIZE, timeout=10).free()

    run(main)


def test_who_waits_is_woken_by_a_death() -> None:
    def there(heap: Heap, maker: Computicle) -> None:
        block = heap.alloc(SIZE)
        maker.post("full")
        receive()
        block.free()

    def main() -> None:
        heap = Heap(SIZE)
        world = Computicle(there, heap, self_())
        assert receive() == "full"
        waiting = spawn(heap.alloc, SIZE)
        wait_for(lambda: waiting.waits_for == "memory in a heap")
        claim_end(world)
        world.kill()
        waiting.join().free()
        heap.check()

    run(main)


def test_the_place_of_a_dead_one_is_used_again() -> None:
    def there(heap: Heap) -> int:
        blocks = [heap.alloc(1000) for _ in range(500)]
        for block in blocks:
            block.free()
        return own_place()

    def main() -> None:
        heap = Heap(SIZE)
        places = [Computicle(there, heap).wait() for _ in range(4)]
        assert len(set(places)) < 4
        heap.check()
        assert heap.stats().blocks == 0

    run(main)


def test_many_at_once_some_of_them_killed() -> None:
    """Each allocates, and frees what others have sent it."""

    def work(heap: Heap, maker: Computicle) -> None:
        held: list[int] = []
        turn = 0
        while True:
            turn += 1
            offset = heap.try_reserve(turn * 37 % 3000 + 1)
            if offset is None or turn % 3 == 0:
                offset = (held.pop() if held else None) if offset is None else offset
                if offset is not None:
                    heap.release(offset)
            else:
                held.append(offset)
            if turn % 200 == 0:
                maker.post(("turns", turn))
                yield_()

    def main() -> None:
        heap = Heap(SIZE)
        turns = 0
        for round_ in range(6):
            worlds = [Computicle(work, heap, self_()) for _ in range(3)]
            while turns < 30 * (round_ + 1):
                receive()
                turns += 1
            for world in worlds:
                claim_end(world)
                world.kill()
            wait_for(lambda: not any(world.alive for world in worlds), every=0.001)
            wait_for(lambda: heap.stats().blocks == 0, every=0.001)
            heap.check()
        heap.alloc(SIZE, timeout=10).free()

    run(main)


def test_memory_is_the_systems_again_when_nobody_has_it() -> None:
    def main() -> None:
        gc.collect()
        before = heaps_of(os.getpid())  # of tests that have failed
        heap = Heap(SIZE)
        Computicle(keep_none, heap).wait()
        heap.alloc(DISCARD_MIN - 4096).free()
        del heap
        gc.collect()
        zygote = launcher._process
        assert zygote is not None
        wait_for(lambda: not heaps_of(zygote.pid), every=0.001)
        assert heaps_of(os.getpid()) == before

    run(main)


def keep_none(heap: Heap) -> None:
    heap.alloc(100).free()


def heaps_of(pid: int) -> list[str]:
    """What a process has open or mapped of heaps."""
    with open(f"/proc/{pid}/maps") as maps:
        found = [line for line in maps if "computicle-heap" in line]
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            link = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
        if "computicle-heap" in link:
            found.append(link)
    return found
