"""Dead: the items that were tried too often, to be looked at, and tried again or dropped.

Rules:
  1. They are nobody's: looking at one copies it, and changes nothing.
  2. What is to be done with one is written into its slot, and the keeper does it. If two say
     different things at once, the keeper does what it finds, and then nothing more.
  3. Whoever says so a moment too late says it of an empty slot, for slots are used in turn. Of another dead item only if
     as many as there are slots have died between its look and its store, two instructions apart: then that one is
     tried again or dropped unasked, and still nobody's memory is touched.

Not here: how an item gets there (queue_keeper.py).
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from computicle.scheduler.arguments import checked_timeout
from computicle.scheduler.word import entering
from computicle.work.parts import load
from computicle.work.record import DEAD, DROPPED, KIND_AT, RAW, REVIVED, TRIES_AT, span_in
from computicle.worlds.places import KEEPER

if TYPE_CHECKING:
    from computicle.work.core import Core

__all__ = ["Dead", "DeadItem"]


class DeadItem:
    """One of them.

    Attributes:
        tries: how many have had it, and not finished it.
        number: as Item has it.
    """

    def __init__(self, core: "Core", slot: int, record: bytes) -> None:
        self._core = core
        self._slot = slot
        self._record = record
        self.tries = record[TRIES_AT]
        self.number = int.from_bytes(record[4:8], "little")

    @property
    def value(self) -> Any:
        """A copy of what was enqueued; of a Block, its bytes. Raises whatever the object's rebuilding raises."""
        span = span_in(self._record)
        memory = None if span is None else memoryview(bytearray(self._core.heap.memory(*span)))
        self._check_there()  # only now: what was copied before another one dropped it is whole
        if self._record[KIND_AT] == RAW:
            assert memory is not None
            return bytes(memory)
        return load(memoryview(self._record), memory)

    def requeue(self, timeout: float | None = None) -> None:
        """Put it behind the others, its tries forgotten. Waits while the queue is full.

        Raises:
            ValueError: it is not among the dead any more.
            ClosedError: the queue is closed.
            TimeoutError: there was no room within `timeout` seconds.
        """
        timeout = checked_timeout("requeue", timeout)
        me = entering()
        me.credit -= 1
        self._check_there()
        self._core.wait_for_room(me, lambda: self._core.gate.revive(self._mark_revived) or None, timeout)
        self._core.call_keeper()

    def drop(self) -> None:
        """Nobody wants it: forget it, and free its memory. Never waits. Raises ValueError as `requeue`."""
        self._mark(DROPPED)
        self._core.call_keeper()

    def _mark_revived(self) -> None:
        self._mark(REVIVED)

    def _mark(self, state: int) -> None:
        self._check_there()
        self._core.table.bytes[self._at()] = state

    def _at(self) -> int:
        table = self._core.table
        return table.slots_at(KEEPER) + self._slot * table.record_size

    def _check_there(self) -> None:
        self._core.check_usable()
        at = self._at()
        if self._core.table.map[at : at + len(self._record)] != self._record:
            raise ValueError("the item is not among the dead any more")

    def __repr__(self) -> str:
        return f"<DeadItem tried {self.tries} times>"


class Dead:
    """The dead items of a work queue. Iterating gives each as it is now; its len() is how many there are."""

    def __init__(self, core: "Core") -> None:
        self._core = core

    def __iter__(self) -> Iterator[DeadItem]:
        self._core.check_usable()
        table = self._core.table
        for slot, state in enumerate(table.states(KEEPER)):
            if state == DEAD:
                at = table.slots_at(KEEPER) + slot * table.record_size
                record = table.map[at : at + table.record_size]
                if record[0] == DEAD:  # else it has gone meanwhile
                    yield DeadItem(self._core, slot, record)

    def __len__(self) -> int:
        self._core.check_usable()
        return self._core.table.states(KEEPER).count(DEAD)

    def __repr__(self) -> str:
        return f"<Dead {len(self)} items>"
