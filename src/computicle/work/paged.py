"""Paged: the Block of CPython 3.11, where only classes written in C have buffers, and one of those will do: mmap.

It shows the block's own pages, and counts its views: it refuses to be resized under any. So
blocks begin at pages there, and are counted by whole ones.

A mapping that is closed cannot be opened again, but a block that has moved may have to be
taken back. So it is not closed until then: its address is taken out of the object, which
makes it what it would be if it was closed.

Rules:
  1. What an mmap has and a Block has not cannot be had here either.

Not here: what a Block is (owned.py).
"""

import ctypes
import gc
import mmap
from typing import TYPE_CHECKING, Any, NoReturn, Self

from computicle.work.memory import hollow, map_over
from computicle.work.owned import HELD, Lease, Owned
from computicle.work.sizes import rounded_up

if TYPE_CHECKING:
    from computicle.work.heap import Heap

__all__ = ["PagedBlock"]

ADDRESS_AT = object.__basicsize__  # bytes from where an mmap object begins: its first own field

_postponed: "list[PagedBlock]" = []  # to be seen to when the collection is over in which they were found


class PagedBlock(Owned, mmap.mmap):  # type: ignore[misc]  # an mmap's methods are not wanted
    """Shared memory with one owner, made by `Heap.alloc`.

    A buffer: memoryview, numpy and ctypes lay views over it; an index is a byte, a slice a view. With-statement: freed
    at its end, unless it has moved.

    Attributes:
        heap: which it is of.
        offset: bytes from the start of the heap's file.
    """

    __qualname__ = "Block"  # for people it is that

    _hidden: int | None  # where it is mapped, while it cannot be reached

    def __new__(cls, heap: "Heap", offset: int, n: int, where: str = "", lease: Lease | None = None) -> Self:
        assert offset % mmap.PAGESIZE == 0, "this was not reserved for a block"
        block = super().__new__(cls, -1, n, **hollow())
        map_over(block, n, heap.number, offset)
        block._hidden = None
        block._begin(heap, offset, n, where, lease)
        return block

    def __init__(self, *_arguments: Any, **_names: Any) -> None:
        """Nothing is left to be done."""

    @staticmethod
    def room(n: int) -> int:
        """How many bytes to reserve for one of n bytes."""
        return rounded_up(n, mmap.PAGESIZE)

    def __getitem__(self, index: Any) -> Any:
        if self._state is HELD and type(index) is int:  # without a view: half the time
            return mmap.mmap.__getitem__(self, index)
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._state is HELD and type(index) is int:
            mmap.mmap.__setitem__(self, index, value)
        else:
            super().__setitem__(index, value)

    def _hide(self) -> bool:
        try:
            mmap.mmap.resize(self, self._length)
        except BufferError:
            return False
        field = _address_of(self)
        self._hidden = field.value
        field.value = None
        return True

    def _show(self) -> None:
        _address_of(self).value = self._hidden
        self._hidden = None

    def _forget(self) -> None:
        self._show()
        mmap.mmap.close(self)

    def _postpone(self) -> None:
        _postponed.append(self)
        if _see_to_postponed not in gc.callbacks:
            gc.callbacks.append(_see_to_postponed)


class _Absent:
    """In the place of an attribute that is not there."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, block: object, kind: type | None = None) -> NoReturn:
        raise AttributeError(f"'Block' object has no attribute {self._name!r}")


def _take_away(kind: type) -> None:
    """What an mmap has and a Block has not."""
    for name in vars(mmap.mmap):
        if not name.startswith("_"):
            absent = _Absent()
            absent.__set_name__(kind, name)
            setattr(kind, name, absent)


def _address_of(block: mmap.mmap) -> ctypes.c_void_p:
    """The field of the object that says where it is mapped. None there: it is closed."""
    return ctypes.c_void_p.from_address(id(block) + ADDRESS_AT)


def _check_address() -> None:
    """Assert that an mmap object is what it is taken for."""
    probe = mmap.mmap(-1, 1)
    assert _address_of(probe).value == ctypes.addressof(ctypes.c_char.from_buffer(probe))


def _see_to_postponed(phase: str, _information: dict[str, int]) -> None:
    if phase == "stop":
        _postponed[:] = [block for block in _postponed if not block._ended()]
        if not _postponed:
            gc.callbacks.remove(_see_to_postponed)


_take_away(PagedBlock)
_check_address()
