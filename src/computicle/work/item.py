"""Item: what was taken from a work queue, and is leased until it is finished.

Rules:
  1. It ends once: finished, or given back. Leaving its with-statement finishes it, or gives
     it back if an error goes through; an Item that is dropped is given back.
  2. What lies in shared memory lies there until no view of it is left: a
     finished item's memory is free then, and what was given back is another one's only
     then.
  3. What is taken out of the heap is this process's, as the very first thing.

Not here: leases as others see them (table.py), how one waits for an item (taker.py).
"""

from collections.abc import Iterator
from functools import partial
from pickle import loads
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from weakref import ref

from computicle.scheduler.single import Single
from computicle.work.parts import load
from computicle.work.record import (
    EMPTY,
    FLAGS_AT,
    HELD,
    INLINE,
    KIND_AT,
    MOVING,
    PICKLE,
    RAW,
    TRIES_AT,
    span_in,
)

if TYPE_CHECKING:
    from computicle.work.block import Block
    from computicle.work.core import Core

__all__ = ["Item"]


class Item(Single):
    """One item, leased to this process. A context manager."""

    __slots__ = ("__weakref__", "_block", "_core", "_kind", "_slot", "_value")

    def __init__(self, core: "Core", slot: int) -> None:
        self._core = core
        self._slot = slot
        self._value: Any = _UNREAD
        self._block: ref[Block] | None = None  # which lives as long as there are views of it
        self._kind = core.leases.views[slot][KIND_AT]
        if self._kind >= RAW:
            claim(core, slot)

    @property
    def value(self) -> Any:
        """The object, or the Block. A large array in it is no copy: it lies in shared memory, and may be written to.

        Raises:
            ValueError: it is finished or given back.
            Exception: whatever the object's rebuilding raises.
        """
        value = self._value
        if value is _UNREAD:
            value = self._load()
            if self._kind != RAW:  # else it holds this item
                self._value = value
        elif self._slot < 0:
            self._checked_slot()
        return value

    @property
    def tries(self) -> int:
        """How many have had it before, and not finished it."""
        return self._core.leases.views[self._checked_slot()][TRIES_AT]

    @property
    def leased(self) -> bool:
        """It is neither finished nor given back."""
        return self._slot >= 0

    @property
    def number(self) -> int:
        """Which item it is: the same however often it is tried, and no other's for a long time."""
        return int.from_bytes(self._core.leases.views[self._checked_slot()][4:8], "little")

    def finish(self) -> None:
        """It is done. Never waits; twice is once.

        Raises:
            ValueError: it has been given back.
        """
        slot = self._slot
        if slot < 0:
            if self._value is _GIVEN_BACK:
                self._checked_slot()
            return
        core = self._core
        if core.left_behind:
            return
        self._slot = -1
        self._value = _FINISHED
        if self._kind >= RAW:
            self._finish_in_heap(slot)
            return
        leases = core.leases  # Core's `finished`, written out (bench/queueing.py)
        leases.slots[slot * leases.size] = EMPTY
        leases.free.append(slot)
        if core.news[0]:
            core.tell_news()

    def give_back(self) -> None:
        """It is for another one to try; where it was tried `max_tries` times, it is put with the dead. Never waits.

        Raises:
            ValueError: it is finished, or given back already.
        """
        slot = self._checked_slot()
        core = self._core
        self._slot = -1
        self._value = _GIVEN_BACK
        block = self._take_block()
        if block is None:
            core.give_back(slot)
        else:
            block.let_go(partial(core.give_back, slot))

    def moving(self) -> None:
        """Its Block is about to go elsewhere: should this process die, the keeper finds out whether it has."""
        self._core.leases.views[self._checked_slot()][0] = MOVING

    def stays(self) -> None:
        """Its Block has not gone."""
        self._core.leases.views[self._checked_slot()][0] = HELD

    def moved_on(self) -> None:
        """Its Block has gone elsewhere: here it is done."""
        slot = self.detach()
        self._value = _FINISHED
        self._block = None
        self._core.finished(slot)

    def lend(self) -> Iterator[Self]:
        """One step of a loop: yields the item, then finishes it; gives it back if the loop is left.

        Does nothing if it has ended.
        """
        try:
            yield self
        except BaseException:
            if self._slot >= 0:
                self.give_back()
            raise
        if self._slot >= 0:
            self.finish()

    def __enter__(self) -> Self:
        self._checked_slot()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._slot < 0:
            return
        if error is None:
            self.finish()
        else:
            self.give_back()

    def detach(self) -> int:
        """The slot is the caller's to see to; this one is no more."""
        slot, self._slot = self._slot, -1
        return slot

    def __del__(self) -> None:
        if getattr(self, "_slot", -1) >= 0:
            self.give_back()

    def __repr__(self) -> str:
        state = {_FINISHED: "finished", _GIVEN_BACK: "given back"}.get(
            self._value if self._slot < 0 else None, "leased"
        )
        return f"<Item {state}>"

    def _checked_slot(self) -> int:
        if self._slot < 0:
            raise ValueError(f"the item is {'given back' if self._value is _GIVEN_BACK else 'finished'}")
        return self._slot

    def _finish_in_heap(self, slot: int) -> None:
        core = self._core
        span = span_in(core.leases.views[slot])
        assert span is not None
        block = self._take_block()
        # Before its memory is free: whoever dies in between has done it, and what it still held is freed for it. The
        # other way round, another one would be given an item whose memory is somebody else's already.
        core.leases.empty(slot)
        if block is None:
            core.heap.release(span.offset)
        else:
            block.let_go(partial(core.heap.release, span.offset))
        if core.news[0]:
            core.tell_news()

    def _take_block(self) -> "Block | None":
        reference, self._block = self._block, None
        return None if reference is None else reference()

    def _load(self) -> Any:
        core = self._core
        slot = self._checked_slot()
        record = core.leases.views[slot]
        if self._kind == INLINE:
            if not record[FLAGS_AT]:
                return loads(core.leases.bodies[slot])  # noqa: S301  # as `load` does, in half the time
            return load(record, None)
        span = span_in(record)
        assert span is not None
        if self._kind == PICKLE:
            return load(record, core.heap.memory(*span))
        if self._kind == RAW:
            known = None if self._block is None else self._block()
            if known is not None:
                return known
            raw = core.heap.wrap(*span, lease=self)
            self._block = ref(raw)  # not for good: it holds this item
            return raw
        block = core.heap.wrap(*span, lease=_LENT)
        self._block = ref(block)
        return load(record, memoryview(block))


class _Lent:
    """Nobody sees this block but by what was rebuilt in it."""

    def finish(self) -> None:
        raise AssertionError

    def moving(self) -> None:
        raise AssertionError

    def stays(self) -> None:
        raise AssertionError

    def moved_on(self) -> None:
        raise AssertionError


def claim(core: "Core", slot: int) -> None:
    """What lies in the heap, and was taken into that slot, is this process's."""
    span = span_in(core.leases.views[slot])
    assert span is not None
    core.heap.claim(span.offset)


_LENT = _Lent()
_UNREAD: Any = object()
_FINISHED: Any = object()
_GIVEN_BACK: Any = object()
