"""Owned: what all kinds of Block have in common: one owner, who frees it or hands it on.

Rules:
  1. What is freed or has moved is touched by nobody here any more. So nothing of it may be
     in use: as long as there are views of it, neither is done.
  2. A view keeps its Block alive. One that is dropped is freed as soon as nobody has a view of it.
  3. It is freed once.

Not here: how views are counted (counted.py, mmap_block.py).
"""

import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, SupportsIndex

from computicle.work.transit import Departure, arrive
from computicle.worlds.parcel import carry_moving

if TYPE_CHECKING:
    from computicle.work.heap import Heap

__all__ = ["Lease", "Moved", "Owned"]

HELD, MOVED, FREED, LET_GO = "held", "moved", "freed", "let go"  # let go: freed, or handed back, once no view is left


class Moved(ValueError):
    """The block has been handed to another owner, and is no longer here."""


class Lease(Protocol):
    """On which a block may be on loan: it sees to what becomes of it."""

    def finish(self) -> None:
        """It is not needed any more."""

    def moving(self) -> None:
        """It is about to be handed to another owner."""

    def stays(self) -> None:
        """It is not, after all."""

    def moved_on(self) -> None:
        """It has been handed to another owner."""


class Owned:
    """A Block, but for the memory itself. Any thread may use it, one at a time."""

    heap: "Heap"
    offset: int  # in the heap's file
    _length: int
    _where: str  # it was allocated: file:line. Empty: unknown
    _lease: "Lease | None"  # if it is on loan. It lives as long as the block
    _state: str
    _then: Callable[[], None] | None  # once it has been let go, and no view is left

    def _begin(self, heap: "Heap", offset: int, length: int, where: str, lease: Lease | None) -> None:
        self.heap = heap
        self.offset = offset
        self._length = length
        self._where = where
        self._lease = lease
        self._state = HELD
        self._then = None

    # For each kind to say.

    def _hide(self) -> bool:
        """The memory cannot be reached from here any more. False: there are views of it, and it can."""
        raise NotImplementedError

    def _show(self) -> None:
        """It can be, again."""
        raise NotImplementedError

    def _postpone(self) -> None:
        """It is being collected along with views of it: see to `_ended` once they are gone."""

    # For everybody.

    def free(self) -> None:
        """Give its memory back to the heap; if it came out of a work queue, its item is finished. Never waits.

        Raises:
            BufferError: there are views of it.
            ValueError: it has been freed; Moved: it is another's.
        """
        self._check_held()
        if self._lease is not None:
            self.check_movable()
            self._lease.finish()
            return
        self._hide_or_raise()
        self._state = FREED
        self.heap.release(self.offset)

    @property
    def has_moved(self) -> bool:
        """Another one has it now."""
        return self._state is MOVED

    def __enter__(self) -> Self:
        self._check_held()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._state is not HELD or self._lease is not None:
            return
        if error is None:
            self.free()
        else:  # whose traceback may have views
            self.let_go(partial(self.heap.release, self.offset))  # which does not hold this one

    def __getitem__(self, index: Any) -> Any:
        self._check_held()
        view = memoryview(self)  # type: ignore[arg-type]  # each kind has a buffer
        return view[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._check_held()
        view = memoryview(self)  # type: ignore[arg-type]
        if isinstance(index, slice) and type(value) is not bytes:
            source = memoryview(value)
            value = source.cast("B") if source.nbytes else b""
        view[index] = value

    def __iter__(self) -> Iterator[int]:
        return (self[index] for index in range(len(self)))

    def __len__(self) -> int:
        self._check_held()
        return self._length

    def __repr__(self) -> str:
        if self._state is HELD:
            return f"<Block of {self._length} bytes at {self.offset:#x}>"
        return f"<Block of {self._length} bytes, {self._state}>"

    def __reduce_ex__(self, _protocol: SupportsIndex, /) -> Any:
        place = carry_moving(self, self._depart)
        return arrive, (self.heap, self.offset, self._length, self._where, place)

    # For who hands it on, or has it on loan.

    def check_movable(self) -> None:
        """It could be handed on now.

        Raises:
            BufferError: there are views of it.
            ValueError: it has been freed; Moved: it is another's.
        """
        self._check_held()
        self._hide_or_raise()
        self._show()

    def give_up(self) -> tuple[int, int]:
        """It moves: where it is, and how long. Its holder is not changed. Raises as `check_movable`."""
        self._check_held()
        self._hide_or_raise()
        self._state = MOVED
        if self._lease is not None:
            self._lease.moving()
        return self.offset, self._length

    def arrived(self) -> None:
        """Whoever it was handed to has it."""
        if self._lease is not None:
            self._lease.moved_on()

    def take_back(self) -> None:
        """It has not moved after all."""
        assert self._state is MOVED
        if self._lease is not None:
            self._lease.stays()
        self._show()
        self._state = HELD

    def let_go(self, then: Callable[[], None]) -> None:
        """It is not to be touched any more, and `then` called once nobody has a view of it: maybe now."""
        self._check_held()
        self._state = LET_GO
        self._then = then
        self._ended()

    def _ended(self) -> bool:
        """It has been let go: if no views are left, that was all. False: there are some."""
        then = self._then
        if then is None:
            return True
        if not self._hide():
            return False
        self._then = None
        then()
        return True

    def _depart(self) -> tuple[Departure, int]:
        departure = Departure(self)
        return departure, departure.descriptor

    def _release(self) -> None:
        self.heap.release(self.offset)

    def _hide_or_raise(self) -> None:
        if not self._hide():
            raise BufferError(
                "there are views of the block (a memoryview, an array): let go of them before it is freed or handed on"
            )

    def _check_held(self) -> None:
        if self._state is not HELD:
            if self._state is MOVED:
                raise Moved("the block has moved: whoever it was handed to has it now")
            raise ValueError("the block has been freed")

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        state = getattr(self, "_state", FREED)
        if state is FREED or state is MOVED or _ending():
            return
        dropped = state is HELD and self._lease is None and not self.heap.left_behind
        if state is HELD:
            self.let_go(self._release if dropped else _nothing)
        if not self._ended():
            self._postpone()
        if dropped:
            self._warn()

    def _warn(self) -> None:
        text = f"a block of {self._length} bytes was dropped without having been freed: call free, or use it in a with-statement"
        file, _, line = self._where.rpartition(":")
        if file:
            warnings.warn_explicit(f"{text} (allocated at {self._where})", ResourceWarning, file, int(line))
        else:
            warnings.warn(text, ResourceWarning, stacklevel=3)


def _nothing() -> None:
    """Whoever has lent it sees to it."""
