"""A heap as one process has it: its limit, who waits, threads, and whatever strikes in the middle."""

import errno
import gc
import os
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

import pytest

from computicle import *
from computicle.scheduler.flows import running
from computicle.testing import simulate
from computicle.work.heap import Heap
from computicle.work.layout import SIZE_MAX
from computicle.work.codes import own_place
from computicle.work.sizes import counted
from tests.conftest import World
from tests.descriptors import open_descriptors, settled_descriptors
from tests.process.children import ended
from tests.work.conftest import SIZE


@pytest.mark.parametrize(
    ("size", "error"), [(0, ValueError), (-1, ValueError), (SIZE_MAX + 1, ValueError), (1.5, TypeError)]
)
def test_a_heap_has_a_size(size: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="Heap: size must be"):
        Heap(size)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-1, ValueError), ("1", TypeError), (True, TypeError)])
def test_a_block_has_a_length(heap: Heap, n: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="alloc: n must be"):
        heap.alloc(n)


def test_what_can_never_be_had_is_refused_at_once(heap: Heap) -> None:
    with pytest.raises(ValueError, match=f"alloc: {SIZE + 1} bytes do not fit into a heap of {SIZE} bytes"):
        heap.alloc(SIZE + 1)
    with pytest.raises(ValueError, match=f"reserve: {SIZE + 1} bytes"):
        heap.reserve(running(), SIZE + 1, None)


@pytest.mark.parametrize("size", [1, 63, 65, 5000, 40_000, 100_001])
def test_all_of_it_fits_into_one_block(kind: Any, size: int) -> None:
    heap = Heap(size)
    with heap.alloc(size, timeout=0) as block:
        assert len(block) == size
        with pytest.raises(TimeoutError):
            heap.alloc(1, timeout=0)


def test_who_finds_none_waits_until_some_is_freed(world: World, heap: Heap) -> None:
    def main() -> list[str]:
        log = []
        first = heap.alloc(SIZE)

        def second() -> None:
            with heap.alloc(SIZE // 2):
                log.append("second")

        def third() -> None:
            with heap.alloc(SIZE // 2):
                log.append("third")

        waiting = [spawn(second), spawn(third)]
        sleep(1)
        log.append("freed")
        first.free()
        for fiber in waiting:
            fiber.join()
        return log

    assert world.run(main) == ["freed", "second", "third"]


def test_who_waits_is_said_to_wait_for_memory(heap: Heap) -> None:
    def main() -> str | None:
        with heap.alloc(SIZE):
            waiting = spawn(heap.alloc, 1)
            yield_()
            found = waiting.waits_for
            waiting.cancel()
        return found

    assert simulate(main) == "memory in a heap"


def test_who_has_waited_long_enough_is_told(world: World, heap: Heap) -> None:
    def main() -> None:
        with heap.alloc(SIZE):
            with pytest.raises(TimeoutError, match="memory in a heap"):
                heap.alloc(1, timeout=0.05)
            with pytest.raises(TimeoutError):
                heap.alloc(1, timeout=0)
        heap.alloc(1, timeout=0).free()

    world.run(main)


def test_where_nobody_can_free_it_is_a_deadlock(world: World, heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threading, "active_count", lambda: 1)  # another thread might, and pytest has some

    def main() -> None:
        with heap.alloc(SIZE):
            heap.alloc(1)

    with pytest.raises(Deadlock, match="memory in a heap"):
        world.run(main)


def test_helper_threads_are_told_that_words_are_not_for_them(heap: Heap) -> None:
    def main() -> None:
        with pytest.raises(RuntimeError, match="helper thread"):
            offload(heap.alloc, 1)

    run(main)


def test_the_parts_that_others_build_on(heap: Heap) -> None:
    offset = heap.try_reserve(100)
    assert offset is not None
    memory = heap.memory(offset, 100)
    memory[:] = b"x" * 100
    assert heap.try_reserve(SIZE) is None
    heap.claim(offset)
    heap.release(offset)
    with pytest.raises(AssertionError, match="held by somebody else, or nobody"):
        heap.release(offset)
    offset = heap.reserve(running(), 100, 1.0)
    heap.release(offset)


def test_stats_say_what_is_in_use(heap: Heap) -> None:
    offsets = [heap.try_reserve(n) for n in (64, 100, 5000)]
    stats = heap.stats()
    assert stats.size == SIZE
    assert stats.blocks == 3
    assert stats.used == stats.allocated == 64 + 128 + 5120
    assert stats.freed == 0
    share = stats.places[own_place()]
    assert share.pid == os.getpid()
    assert (share.allocated, share.allocated_blocks, share.freed_blocks) == (stats.used, 3, 0)
    assert f"{stats.used} in use" in repr(heap)
    assert "3 blocks allocated" in heap.dump()
    for offset in offsets:
        assert offset
        heap.release(offset)
    assert heap.stats().freed == stats.used


def test_a_block_that_cannot_be_made_takes_no_memory(heap: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOMEM, "as if there were too many mappings")

    with monkeypatch.context() as patches:
        patches.setattr(heap, "memory", refuse)
        with pytest.raises(OSError, match="too many mappings"):
            heap.alloc(100)
    assert heap.stats().blocks == 0
    heap.alloc(SIZE, timeout=0).free()


def memory_of(heap: Heap) -> int:
    """What the system has given it, in bytes."""
    return os.fstat(heap.number).st_blocks * 512


def test_what_was_freed_is_used_again(heap: Heap) -> None:
    for n in (64, 1000, 32_768, 60_000):
        for turn in range(4):
            offsets = [heap.try_reserve(n) for _ in range(SIZE // counted(n) // 2)]
            for offset in offsets:
                assert offset
                heap.memory(offset, n)[:] = b"x" * n
                heap.release(offset)
            if turn == 0:
                before = memory_of(heap)
        assert memory_of(heap) <= before * 5 // 4 + 65_536


def test_large_blocks_go_back_to_the_system(heap: Heap) -> None:
    heap.alloc(64).free()
    before = memory_of(heap)
    with heap.alloc(SIZE) as block:
        block[:] = b"x" * SIZE
        assert memory_of(heap) >= before + SIZE
    assert memory_of(heap) <= before + 16_384  # a page of its holders, and of tables
    heap.alloc(SIZE).free()


def test_one_that_nobody_has_takes_no_memory() -> None:
    heap = Heap(1 << 40)
    assert memory_of(heap) <= 65_536
    descriptor = heap.number
    del heap
    gc.collect()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)


def test_blocks_keep_their_heap(kind: Any) -> None:
    block = Heap(SIZE).alloc(10)
    gc.collect()
    block[0] = 1
    view = memoryview(block)
    assert view[0] == 1
    del view
    block.free()


def test_no_descriptor_is_kept_for_a_block(heap: Heap) -> None:
    first = heap.alloc(1)
    before = settled_descriptors()
    blocks = [heap.alloc(1) for _ in range(100)]
    assert open_descriptors() == before
    for block in (first, *blocks):
        block.free()


# Threads, and what strikes in the middle.


def test_threads_share_a_place(heap: Heap) -> None:
    errors = []

    def work(seed: int) -> None:
        held: list[int] = []
        try:
            for turn in range(400):
                offset = heap.try_reserve((seed * turn) % 3000 + 1)
                if offset:
                    held.append(offset)
                while held and (not offset or turn % 3 == 0):
                    heap.release(held.pop(0))
                    if offset:
                        break
            for offset in held:
                heap.release(offset)
        except BaseException as error:
            errors.append(error)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work, args=(seed,)) for seed in (3, 5, 7, 11)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not errors


def test_what_is_freed_while_somebody_is_at_it_is_freed_by_that_one(heap: Heap) -> None:
    one, other = heap.try_reserve(64), heap.try_reserve(64)
    assert one
    assert other
    with heap._lock:
        heap.release(one)
        heap.release(other)
        assert heap.stats().blocks == 2
        with pytest.raises(AssertionError):
            heap.release(other + 64)
    offset = heap.try_reserve(64)
    assert offset
    assert heap.stats().blocks == 1
    heap.release(offset)


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_finalisers_strike_anywhere(heap: Heap) -> None:
    """The collector runs again and again in the middle of allocations, and drops blocks that are in circles."""

    class Knot:
        pass

    thresholds = gc.get_threshold()
    gc.set_threshold(7)
    try:
        for turn in range(300):
            knot: Any = Knot()
            knot.itself = knot
            knot.block = heap.alloc(turn % 200 + 1, timeout=0)
            knot.view = memoryview(knot.block) if turn % 2 else None
            del knot
            heap.alloc(100).free()
    finally:
        gc.set_threshold(*thresholds)
    gc.collect()
    heap.alloc(1).free()


class StrikeError(BaseException):
    """From outside."""


class Striker:
    """Raises at the nth line of the allocator's that is run."""

    FILES = ("ledger.py", "arena.py", "space.py")

    def __init__(self, lines: int) -> None:
        self.left = lines

    def __call__(self, frame: FrameType, event: str, _argument: object) -> Any:
        if not frame.f_code.co_filename.endswith(self.FILES):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                sys.settrace(None)
                raise StrikeError
        return self


@pytest.mark.parametrize("n", [64, 700, 40_000])
def test_errors_may_strike_at_any_line(heap: Heap, n: int) -> None:
    for lines in range(1, 300):
        offset = None
        trace = sys.gettrace()
        sys.settrace(Striker(lines))
        try:
            offset = heap.try_reserve(n)
            assert offset
            heap.release(offset)
        except StrikeError:
            pass
        else:
            sys.settrace(trace)
            break
        finally:
            sys.settrace(trace)
        if offset is not None and heap.stats().blocks:
            heap.release(offset)  # the strike came before it was done
        assert heap.stats().blocks == 0
        heap.check()
    assert 20 < lines < 299


def test_a_forked_child_has_no_heap() -> None:
    done = ended("""
from computicle.work.heap import Heap

heap = Heap(1 << 20)
block = heap.alloc(100)
block[0] = 1
other = heap.alloc(100)
read, write = os.pipe()
pid = os.fork()
if not pid:
    for word in (lambda: heap.alloc(1), lambda: heap.try_reserve(1), heap.stats, heap.dump, block.free):
        try:
            word()
        except RuntimeError as error:
            say(error)
    say(repr(heap), heap.number)
    del other, heap
    os._exit(0)
os.waitpid(pid, 0)
say(heap.stats().blocks, block[0])
other.free()
block.free()
""")
    text = "this heap belongs to the process that has forked this one"
    assert done.lines == [text] * 5 + ["<Heap of the process that has forked this one> -1", "2 1"], done.errors
    assert not done.errors
    assert done.status == 0


@pytest.fixture
def alone() -> Iterator[Heap]:
    yield Heap(SIZE)


def test_who_withdraws_a_claim_tells_those_who_wait(alone: Heap, monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(alone._room, "announce", lambda: told.append(1))
    assert alone.try_reserve(SIZE + 1) is None  # claimed, and withdrawn
    assert told == [1]
    assert alone.try_reserve(SIZE + 1) is None  # looked first
    assert told == [1]
