"""What a Block can do, whichever way this Python counts views."""

import copy
import ctypes
import gc
import mmap
import pickle
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from computicle.work.block import Block, Moved
from computicle.work.heap import Heap
from computicle.work.sizes import counted
from tests.contract.helpers import without_the_collector
from tests.process.children import ended

SIZES = [1, 63, 64, 100, 4095, 4096, 4097, 30_000, 40_000, 200_000, 1 << 20]


@pytest.mark.parametrize("n", SIZES)
def test_a_block_is_as_long_as_was_asked_for(heap: Heap, n: int) -> None:
    with heap.alloc(n) as block:
        assert len(block) == n
        assert block.heap is heap
        view = memoryview(block)
        assert view.nbytes == n
        assert not view.readonly
        assert view.format == "B"
        view[0], view[-1] = 1, 2
        assert block[-1] == 2
        assert heap.stats().used == counted(n)
        del view


def test_bytes_of_it_are_read_and_written(heap: Heap) -> None:
    with heap.alloc(10) as block:
        block[:] = bytes(range(10))
        assert block[3] == 3
        assert block[-1] == 9
        block[-1] = 255
        block[0:2] = bytearray(b"ab")
        block[2:4] = memoryview(b"cd")
        block[::5] = b"xy"
        assert bytes(block) == b"xbcd\x04y\x06\x07\x08\xff"
        assert list(block) == [*b"xbcd\x04y\x06\x07\x08\xff"]
        assert 255 in block
        block[5:5] = b""
        block[5:5] = bytearray()


def test_a_slice_is_a_view_and_not_a_copy(heap: Heap) -> None:
    block = heap.alloc(10)
    part = block[2:4]
    assert isinstance(part, memoryview)
    part[:] = b"xy"
    assert bytes(block)[2:4] == b"xy"
    assert_in_use(block)
    part.release()
    block.free()


def test_bad_accesses_are_errors(heap: Heap) -> None:
    with heap.alloc(10) as block:
        for bad in (10, -11):
            with pytest.raises(IndexError):
                block[bad]
            with pytest.raises(IndexError):
                block[bad] = 1
        with pytest.raises(ValueError, match="."):
            block[0] = 256
        with pytest.raises(ValueError, match="."):
            block[0:2] = b"longer"
        with pytest.raises(TypeError):
            block["0"]
        with pytest.raises(TypeError):
            block[0] = "x"
        assert len(block) == 10


def assert_in_use(block: Block) -> None:
    for deed in (block.free, block.check_movable, block.give_up):
        with pytest.raises(BufferError, match="there are views of the block"):
            deed()
    assert not block.has_moved
    assert len(block) > 0


VIEWS: dict[str, Callable[[Block], Any]] = {
    "a memoryview": memoryview,
    "a slice": lambda block: block[1:3],
    "a slice of a view": lambda block: memoryview(block)[1:3],
    "a cast": lambda block: memoryview(block).cast("H"),
    "a pickle buffer": pickle.PickleBuffer,
    "a ctypes array": lambda block: (ctypes.c_char * 4).from_buffer(block),
    "an iterator of a view": lambda block: iter(memoryview(block)),
}


@pytest.mark.parametrize("make", VIEWS.values(), ids=VIEWS)
def test_with_views_it_is_neither_freed_nor_moved(heap: Heap, make: Callable[[Block], Any]) -> None:
    block = heap.alloc(64)
    view = make(block)
    assert_in_use(block)
    del view
    gc.collect()
    block.check_movable()
    block.free()


def test_arrays_are_views(heap: Heap) -> None:
    numpy = pytest.importorskip("numpy")
    block = heap.alloc(64)
    array = numpy.frombuffer(block, "f8")
    array[:] = 1.5
    part = array[2:4].reshape(2, 1)
    del array
    assert_in_use(block)
    part += 1
    del part
    assert memoryview(block).cast("d").tolist() == [1.5, 1.5, 2.5, 2.5, 1.5, 1.5, 1.5, 1.5]
    block.free()


def test_a_released_view_leaves_its_slices(heap: Heap) -> None:
    block = heap.alloc(64)
    view = memoryview(block)
    part = view[1:3]
    view.release()
    assert_in_use(block)
    part.release()
    block.free()


TOUCHES: dict[str, Callable[[Block], Any]] = {
    "len": len,
    "item": lambda block: block[0],
    "slice": lambda block: block[0:1],
    "set item": lambda block: block.__setitem__(0, 1),
    "set slice": lambda block: block.__setitem__(slice(0, 1), b"x"),
    "iter": lambda block: [*block],
    "free": lambda block: block.free(),
    "with": lambda block: block.__enter__(),
    "check_movable": lambda block: block.check_movable(),
    "give_up": lambda block: block.give_up(),
}
TOUCHES_OF_BUFFERS: dict[str, Callable[[Block], Any]] = {
    "memoryview": memoryview,
    "bytes": bytes,
    "ctypes": lambda block: (ctypes.c_char * 4).from_buffer(block),
}


@pytest.mark.parametrize("touch", (TOUCHES | TOUCHES_OF_BUFFERS).values(), ids=TOUCHES | TOUCHES_OF_BUFFERS)
def test_what_was_freed_is_not_touched(heap: Heap, touch: Callable[[Block], Any]) -> None:
    block = heap.alloc(64)
    block.free()
    with pytest.raises(ValueError, match=r"freed|closed") as caught:
        touch(block)
    assert not isinstance(caught.value, Moved)
    assert "freed" in repr(block)


@pytest.mark.parametrize("touch", TOUCHES.values(), ids=TOUCHES)
def test_what_has_moved_is_not_touched(heap: Heap, touch: Callable[[Block], Any]) -> None:
    block = heap.alloc(64)
    span = block.give_up()
    assert span == (block.offset, 64)
    assert block.has_moved
    with pytest.raises(Moved):
        touch(block)
    assert "moved" in repr(block)
    heap.release(span[0])


@pytest.mark.parametrize("touch", TOUCHES_OF_BUFFERS.values(), ids=TOUCHES_OF_BUFFERS)
def test_what_has_moved_has_no_buffer(heap: Heap, touch: Callable[[Block], Any]) -> None:
    """CPython's own mmap does not know of moving, and says that it is closed."""
    block = heap.alloc(64)
    offset, _n = block.give_up()
    with pytest.raises(ValueError, match=r"moved|closed"):
        touch(block)
    heap.release(offset)


@pytest.mark.parametrize("n", SIZES)
def test_what_was_given_up_in_vain_is_taken_back(heap: Heap, n: int) -> None:
    block = heap.alloc(n)
    block[0] = 7
    for _ in range(3):
        block.check_movable()
        block.give_up()
        block.take_back()
    assert block[0] == 7
    view = block[0:1]
    assert_in_use(block)
    view.release()
    block.free()


def test_what_has_moved_is_another_blocks(heap: Heap) -> None:
    block = heap.alloc(64)
    block[:3] = b"abc"
    offset, n = block.give_up()
    again = heap.wrap(offset, n)
    del block
    gc.collect()
    assert bytes(again[:3]) == b"abc"
    again.free()


def test_a_with_statement_frees_it(heap: Heap) -> None:
    with heap.alloc(64) as block:
        block[0] = 1
    assert heap.stats().blocks == 0
    with heap.alloc(64) as block:
        block.free()
    with heap.alloc(64) as block:
        offset, _n = block.give_up()
    assert heap.stats().blocks == 1
    heap.release(offset)


def test_a_with_statement_that_would_leave_views_says_so(heap: Heap) -> None:
    with pytest.raises(BufferError), heap.alloc(64) as block:
        view = memoryview(block)
    view.release()
    block.free()


def test_an_error_in_a_with_statement_is_not_hidden_by_views(heap: Heap) -> None:
    def fail() -> None:
        with heap.alloc(64) as block:
            view = memoryview(block)
            raise ZeroDivisionError(view)

    with pytest.raises(ZeroDivisionError) as caught:
        fail()
    assert heap.stats().blocks == 1
    del caught
    gc.collect()
    assert heap.stats().blocks == 0


def test_after_an_error_it_is_freed_with_its_last_view(heap: Heap) -> None:
    with without_the_collector():
        with suppress(LookupError), heap.alloc(10) as block:
            view = memoryview(block)
            raise LookupError
        del block
        assert heap.stats().blocks == 1
        del view
        assert heap.stats().blocks == 0


def test_one_that_is_dropped_is_freed_and_told_of(heap: Heap) -> None:
    block = heap.alloc(100)
    with pytest.warns(ResourceWarning, match=r"a block of 100 bytes .*\(allocated at .*test_blocks.py:\d+\)") as told:
        del block
    assert heap.stats().blocks == 0
    assert told[0].filename == __file__


def test_one_that_was_freed_or_has_moved_is_dropped_in_silence(heap: Heap) -> None:
    block = heap.alloc(100)
    block.free()
    del block
    block = heap.alloc(100)
    offset, _n = block.give_up()
    del block
    gc.collect()
    assert heap.stats().blocks == 1
    heap.release(offset)


def test_a_view_keeps_what_was_dropped(heap: Heap) -> None:
    block = heap.alloc(100)
    view = memoryview(block)[2:4]
    del block
    gc.collect()
    view[:] = b"ab"
    assert heap.stats().blocks == 1
    with pytest.warns(ResourceWarning):
        del view
    assert heap.stats().blocks == 0


@pytest.mark.parametrize("how_many", [1, 3])
def test_one_that_is_collected_along_with_its_views_is_freed(heap: Heap, how_many: int) -> None:
    class Knot:
        pass

    with without_the_collector():
        for _ in range(how_many):
            knot: Any = Knot()
            knot.itself = knot
            knot.block = heap.alloc(100)
            knot.view = memoryview(knot.block)[2:4]
            del knot
        assert heap.stats().blocks == how_many
        with pytest.warns(ResourceWarning):
            gc.collect()
    assert heap.stats().blocks == 0
    assert all(getattr(callback, "__module__", "") != "computicle.work.mmap_block" for callback in gc.callbacks)


def test_whatever_becomes_of_a_block_the_memory_of_others_stays() -> None:
    """Where a Block is an mmap object, dropping it would unmap what it seems to have mapped."""
    done = ended("""
import gc
import mmap
import warnings

from computicle.work.heap import Heap

warnings.simplefilter("ignore")
N = mmap.PAGESIZE
heap = Heap(1 << 20)


class Knot:
    pass


def free():
    heap.alloc(N).free()


def drop():
    heap.alloc(N)


def move():
    heap.release(heap.alloc(N).give_up()[0])


def let_go_under_a_view():
    block = heap.alloc(N)
    view = memoryview(block)
    block.let_go(int)
    offset = block.offset
    del block, view
    heap.release(offset)


def collect():
    knot = Knot()
    knot.itself = knot
    knot.block = heap.alloc(N)
    knot.view = memoryview(knot.block)
    del knot
    gc.collect()


for deed in (free, drop, move, let_go_under_a_view, collect):
    deed()
    view = heap.memory(heap._arena._first, 1 << 20)
    view[:] = bytes(len(view))
    say(deed.__name__, heap.stats().blocks)

left = heap.alloc(N)
knot = Knot()
knot.itself = knot
knot.block = heap.alloc(N)
knot.view = memoryview(knot.block)[1:]
pid = os.fork()
if not pid:
    left[0] = knot.view[0] = 1
    os._exit(0)
say(os.waitpid(pid, 0)[1], left[0], knot.view[0])
""")
    deeds = ["free", "drop", "move", "let_go_under_a_view", "collect"]
    assert done.lines == [*(f"{deed} 0" for deed in deeds), "0 1 1"], done.errors
    assert not done.errors
    assert done.status == 0


def test_what_is_let_go_ends_with_its_last_view(heap: Heap) -> None:
    ended = []
    block = heap.alloc(64)
    block.let_go(lambda: ended.append(1))
    assert ended == [1]
    heap.release(block.offset)
    block = heap.alloc(64)
    offset = block.offset
    view = block[0:2]
    block.let_go(lambda: ended.append(2))
    assert ended == [1]
    with pytest.raises(ValueError, match="freed"):
        block[0]
    del block
    view[0] = 3
    del view
    assert ended == [1, 2]
    heap.release(offset)


class Loan:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def finish(self) -> None:
        self.log.append("finish")

    def moving(self) -> None:
        self.log.append("moving")

    def stays(self) -> None:
        self.log.append("stays")

    def moved_on(self) -> None:
        self.log.append("moved_on")


def test_one_on_loan_is_its_lenders(heap: Heap) -> None:
    block = heap.alloc(64)
    offset, n = block.give_up()
    lease = Loan()
    lent = heap.wrap(offset, n, lease=lease)
    view = memoryview(lent)
    with pytest.raises(BufferError):
        lent.free()
    del view
    assert lease.log == []
    lent.free()
    assert lease.log == ["finish"]
    lent.give_up()
    lent.arrived()
    assert lease.log == ["finish", "moving", "moved_on"]
    lent.take_back()
    assert lease.log == ["finish", "moving", "moved_on", "stays"]
    with lent:
        pass
    del lent
    gc.collect()
    assert heap.stats().blocks == 1
    heap.release(offset)


def test_it_is_not_copied(heap: Heap) -> None:
    with heap.alloc(64) as block:
        for carry in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="a Block cannot be copied or pickled"):
                carry(block)


def test_each_is_itself(heap: Heap) -> None:
    with heap.alloc(64) as one, heap.alloc(64) as other:
        assert one == one  # noqa: PLR0124
        assert one != other
        assert len({one, other}) == 2


def test_it_has_nothing_of_a_file(heap: Heap) -> None:
    with heap.alloc(64) as block:
        for name in dir(mmap.mmap):
            if not name.startswith("_"):
                assert not hasattr(block, name), name


def test_its_repr_says_where_and_how_long(heap: Heap) -> None:
    with heap.alloc(64) as block:
        assert repr(block) == f"<Block of 64 bytes at {block.offset:#x}>"


def test_a_block_without_a_known_place_is_told_of_too(heap: Heap) -> None:
    offset, n = heap.alloc(64).give_up()
    block = heap.wrap(offset, n)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del block
    assert ["a block of 64 bytes" in str(one.message) for one in told] == [True]
