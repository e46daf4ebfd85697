"""Mmap block: the Block of CPython 3.11, where only classes written in C have buffers, and one of those will do: mmap.

It is an mmap object that maps nothing: what it says of its memory is written into it, and is part of what
the heap has mapped. It counts its views; how many there are is read out of it.

Rules:
  1. What an mmap has and a Block has not cannot be had here either.
  2. An mmap that is dropped unmaps its memory, if it says that it has any. So before a Block is dropped, it says
     that it has none.
  3. A Block that is not shown says so, too: to whoever touches it, it is an mmap that was closed.

Not here: what a Block is (owned.py).
"""

import ctypes
import gc
import mmap
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn, Self

from computicle.work.owned import HELD, Lease, Owned

if TYPE_CHECKING:
    from computicle.work.heap import Heap

__all__ = ["MmapBlock"]

_postponed: "list[MmapBlock]" = []  # to be seen to when the collection is over in which they were found

# What mmap's own constructor begins with.
_empty = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.py_object, ctypes.c_ssize_t)(
    ("PyType_GenericAlloc", ctypes.pythonapi)
)


class _Fields(ctypes.Structure):
    """An mmap object's own fields, the first of them."""

    _fields_ = (
        ("data", ctypes.c_void_p),  # where its memory is. None: it is closed
        ("size", ctypes.c_ssize_t),
        ("pos", ctypes.c_ssize_t),
        ("offset", ctypes.c_int64),
        ("exports", ctypes.c_ssize_t),  # views
        ("fd", ctypes.c_int),  # closed along with it, but for -1
    )

    data: int | None
    size: int
    exports: int
    fd: int


class MmapBlock(Owned, mmap.mmap):  # type: ignore[misc]  # an mmap's methods are not wanted
    """Shared memory with one owner, made by `Heap.alloc`.

    A buffer: memoryview, numpy and ctypes lay views over it; an index is a byte, a slice a view. With-statement: freed
    at its end, unless it has moved.

    Attributes:
        heap: which it is of.
        offset: bytes from the start of the heap's file.
    """

    __qualname__ = "Block"  # for people it is that

    _fields: "_Fields"
    _memory: memoryview
    _address: int

    def __new__(cls, heap: "Heap", offset: int, n: int, where: str = "", lease: Lease | None = None) -> Self:
        block: Self = _empty(cls, 0)
        fields = block._fields = _fields_of(block)
        fields.fd = -1
        block._memory = heap.memory(offset, n)  # as long as this is there, so is what it lies in
        block._address = ctypes.addressof(ctypes.c_char.from_buffer(block._memory))
        fields.size = n
        fields.data = block._address
        block._begin(heap, offset, n, where, lease)
        return block

    def __init__(self, *_arguments: Any, **_names: Any) -> None:
        """Nothing is left to be done."""

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
        if self._fields.exports:
            return False
        self._fields.data = None
        return True

    def _show(self) -> None:
        self._fields.data = self._address

    def _postpone(self) -> None:
        _postponed.append(self)
        if _see_to_postponed not in gc.callbacks:
            gc.callbacks.append(_see_to_postponed)

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        try:
            super().__del__(_ending)
        finally:
            self._fields.data = None


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


def _fields_of(block: mmap.mmap) -> _Fields:
    return _Fields.from_address(id(block) + object.__basicsize__)


def _check_fields() -> None:
    """Assert that an mmap object is what it is taken for."""
    probe = mmap.mmap(-1, 10)
    fields = _fields_of(probe)
    view = ctypes.c_char.from_buffer(probe)
    assert (fields.data, fields.size, fields.fd) == (ctypes.addressof(view), 10, -1)
    assert fields.exports == 1
    del view
    assert fields.exports == 0


def _see_to_postponed(phase: str, _information: dict[str, int]) -> None:
    if phase == "stop":
        _postponed[:] = [block for block in _postponed if not block._ended()]
        if not _postponed:
            gc.callbacks.remove(_see_to_postponed)


_take_away(MmapBlock)
if sys.platform == "linux":  # there are no heaps elsewhere
    _check_fields()
