"""Batch: several items, taken together, and finished together.

Rules:
  1. As long as all are small pickles that nobody has had before, and nobody asks for one of them, they are no Items: they lie in
     one stretch of slots, are rebuilt in one go, and finished by one store of many bytes.
  2. Else each is an Item.

Not here: stretches (leases.py).
"""

from collections.abc import Iterator, Sequence
from pickle import loads
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from computicle.scheduler.single import Single
from computicle.work.item import Item

if TYPE_CHECKING:
    from computicle.work.core import Core

__all__ = ["Batch"]


class Batch(Single):
    """Several items, leased to this process. A context manager; its len() is how many there are that have not ended.

    It is finished at the end of its with-statement; if an error goes through, or it is dropped, all that is not
    finished is given back. Iterating gives one Item after the other, and asking for the next one finishes the last.
    """

    __slots__ = ("__weakref__", "_core", "_ended", "_items", "_stretch")

    def __init__(self, core: "Core", slots: Sequence[int]) -> None:
        self._core = core
        self._ended: str | None = None  # how
        self._stretch = range(0)  # of plain pickles
        self._items: list[Item] | None = None  # instead, in order
        if isinstance(slots, range):
            self._stretch = slots
        else:
            self._items = [Item(core, slot) for slot in slots]

    @property
    def values(self) -> list[Any]:
        """Of all items, in order. Raises as Item's `value`; ValueError: the batch is finished or given back."""
        if self._ended is not None:
            raise ValueError(f"the batch is {self._ended}")
        if self._items is None:
            bodies = self._core.leases.bodies
            return [loads(body) for body in bodies[self._stretch.start : self._stretch.stop]]  # noqa: S301  # our own
        return [item.value for item in self._items]

    def finish(self) -> None:
        """All are done. Never waits; twice is once.

        Raises:
            ValueError: it has been given back.
        """
        if self._ended is _GIVEN_BACK:
            raise ValueError("the batch is given back")
        self._ended = _FINISHED
        stretch, self._stretch = self._stretch, range(0)
        if stretch and not self._core.left_behind:
            self._core.finished_stretch(stretch)
        for item in self._items or ():
            if item.leased:
                item.finish()
        self._items = []

    def give_back(self) -> None:
        """Those that have not ended are for others. Never waits.

        Raises:
            ValueError: it is finished, or given back already.
        """
        if self._ended is not None:
            raise ValueError(f"the batch is {self._ended}")
        self._ended = _GIVEN_BACK
        stretch, self._stretch = self._stretch, range(0)
        if stretch:
            self._core.give_back_many(self._core.leases.dissolve(stretch))
        for item in self._items or ():
            if item.leased:
                item.give_back()
        self._items = []

    def __len__(self) -> int:
        return len(self._stretch) if self._items is None else sum(item.leased for item in self._items)

    def __iter__(self) -> Iterator[Item]:
        self._split()
        for item in self._items or ():
            yield from item.lend()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._ended is not None:
            return
        if error is None:
            self.finish()
        else:
            self.give_back()

    def __repr__(self) -> str:
        return f"<Batch {self._ended or f'of {len(self)} items'}>"

    def __del__(self) -> None:
        if getattr(self, "_ended", _FINISHED) is None:  # in order: a list would drop its items from its end
            self.give_back()

    def _split(self) -> None:
        """Each for itself."""
        stretch, self._stretch = self._stretch, range(0)
        if stretch:
            self._items = [Item(self._core, slot) for slot in self._core.leases.dissolve(stretch)]


_FINISHED = "finished"
_GIVEN_BACK = "given back"
