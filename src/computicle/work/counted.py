"""Counted: the Block of CPython 3.12 and later, where a Python class may have a buffer.

All views are views of one memoryview, which the interpreter does not release while
there are others of it: their slices, and arrays made from them, too.

Not here: what a Block is (owned.py).
"""

from typing import TYPE_CHECKING, Any

from computicle.work.owned import HELD, Lease, Owned

if TYPE_CHECKING:
    from computicle.work.heap import Heap

__all__ = ["CountedBlock"]


class CountedBlock(Owned):
    """Shared memory with one owner, made by `Heap.alloc`.

    A buffer: memoryview, numpy and ctypes lay views over it; an index is a byte, a slice a view. With-statement: freed
    at its end, unless it has moved.

    Attributes:
        heap: which it is of.
        offset: bytes from the start of the heap's file.
    """

    __qualname__ = "Block"  # for people it is that

    def __init__(self, heap: "Heap", offset: int, n: int, where: str = "", lease: Lease | None = None) -> None:
        self._memory = heap.memory(offset, n)
        self._begin(heap, offset, n, where, lease)

    def __buffer__(self, _flags: int, /) -> memoryview:
        self._check_held()
        return self._memory

    def __release_buffer__(self, _view: memoryview, /) -> None:
        if self._then is not None:
            self._ended()

    def __getitem__(self, index: Any) -> Any:
        if self._state is HELD and type(index) is int:  # without a view: half the time
            return self._memory[index]
        return super().__getitem__(index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if self._state is HELD and type(index) is int:
            self._memory[index] = value
        else:
            super().__setitem__(index, value)

    def _hide(self) -> bool:
        try:
            self._memory.release()
        except BufferError:
            return False
        return True

    def _show(self) -> None:
        self._memory = self.heap.memory(self.offset, self._length)
