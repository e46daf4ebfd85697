"""Keeper of a work queue: puts back what others have taken and not finished.

Rules:
  1. It alone puts back, and it is one: the zygote, or as long as no other process
     has the queue, its own process. So what it was half-way through is its own to know.
  2. What is put back goes in behind what is there, with its tries counted. What was
     tried too often goes to the dead, as long as there is room; they wait in the keeper's row.
  3. A slot is emptied once its record is elsewhere.
  4. A block that a dead one was handing on may have arrived. It is put back only if it is
     nowhere else.
  5. A dead process may have taken a wake with it: so one that sleeps is woken.

Not here: the memory of what has been finished (heap_keeper.py).
"""

import mmap
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from computicle.engine.pipes import PipeEnd
from computicle.work.gate import Gate
from computicle.work.pipe import WorkPipe
from computicle.work.record import (
    BACK,
    DEAD,
    DRAINED,
    DROPPED,
    EMPTY,
    HELD,
    KIND_AT,
    MOVING,
    NUDGE,
    REVIVED,
    TRIES_AT,
    TRIES_MAX,
    Span,
    span_in,
)
from computicle.work.room import Room
from computicle.work.table import (
    DEAD_MAX,
    HINT,
    INTENT,
    PID,
    PUT,
    PUT_BEFORE,
    RETURNED,
    RETURNS,
    SLEEPERS,
    SOURCES,
    TAKEN,
    USED,
    WAKES,
    Table,
)
from computicle.worlds.places import KEEPER
from computicle.worlds.wards import Ward, Wards

__all__ = ["QueueKeeper", "QueueWard"]

COUNTS = (TAKEN, RETURNED, WAKES)
GONE = 0  # in place of a kind: whatever the state says, nothing is in this slot


class QueueKeeper:
    """Puts back. Never waits.

    Args:
        room: where producers wait.
        free: gives memory back to the heap.
        gone: whether a block has left the place that had it, in the slot that begins there.
    """

    def __init__(
        self,
        table: Table,
        pipe: WorkPipe,
        room: Room,
        free: Callable[[Span], None],
        gone: Callable[[int, int], bool] | None = None,
    ) -> None:
        self.table = table
        self._pipe = pipe
        self._room = room
        self._free = free
        self._gone = gone
        self._gate = Gate(table, pipe, KEEPER, room.call)
        self._turn = 0  # which slot the next dead one is put into, if that is free

    def collect(self, place: int) -> None:
        """Put back what was given back there."""
        table, size = self.table, self.table.record_size
        begin = table.slots_at(place)
        emptied = [self._put_back(begin + slot * size) for slot in _find_all(table.states(place), BACK)]
        if any(emptied):
            self._room.announce()  # nudges have gone, or items to the dead
            self._gate.settle()

    def collect_dead(self) -> None:
        """Of the dead, put back those that are to be tried again, and forget those that nobody wants."""
        table, size = self.table, self.table.record_size
        begin = table.slots_at(KEEPER)
        states = table.states(KEEPER)
        for slot in _find_all(states, REVIVED):
            at = begin + slot * size
            if table.bytes[at + KIND_AT] == GONE or self._write(at, 0):
                self._empty_dead(at)
        for slot in _find_all(states, DROPPED):
            at = begin + slot * size
            span = span_in(table.bytes, at)
            self._empty_dead(at)  # first: the next keeper must not free what is another's by then
            if span is not None:
                self._free(span)
        if REVIVED in states:  # the last one may be finished already, and whoever had it saw it here, too
            self._room.announce()
            self._gate.settle()

    def bury(self, place: int) -> None:
        """Whoever was there is dead: give back all it held."""
        table, size = self.table, self.table.record_size
        if not table.has_joined(place):
            return
        row = table.row_at(place)
        table.bytes[SLEEPERS + place] = 0
        table.bytes[SOURCES + place] = 0
        table.ints[(row + INTENT) // 4] = 0
        begin = table.slots_at(place)
        self.settle_moving(place)
        for slot in _find_all(table.states(place), HELD):
            at = begin + slot * size
            table.bytes[at] = BACK
            table.longs[(row + RETURNED) // 8] += table.bytes[at + KIND_AT] > DRAINED  # else it is no item
        self.collect(place)
        self.collect_dead()  # it may have decided on one of them, and not rung any more
        keeper = table.row_at(KEEPER)
        for count in COUNTS:  # the next one at that place begins anew
            table.longs[(keeper + count) // 8] += table.longs[(row + count) // 8]
            table.longs[(row + count) // 8] = 0
        table.longs[(keeper + PUT) // 8] += table.put(place) - table.longs[(row + PUT_BEFORE) // 8]
        table.longs[(row + PUT_BEFORE) // 8] = table.put(place)
        if not table.states(place).strip(bytes((EMPTY,))):
            table.ints[(row + USED) // 4] = 0
        table.leave(place)
        self._gate.pass_on()
        self._gate.settle()
        self._room.announce()
        self._room.call()

    def settle_moving(self, place: int) -> None:
        """Whoever was there is dead: of what it was handing on, forget what has arrived."""
        table, size = self.table, self.table.record_size
        begin = table.slots_at(place)
        for slot in _find_all(table.states(place), MOVING):
            at = begin + slot * size
            table.bytes[at] = EMPTY if self._gone is not None and self._gone(place, at) else HELD

    def _put_back(self, at: int) -> bool:
        """The record in a slot. False: there is no room, which cannot be; it stays where it is."""
        table = self.table
        kind = table.bytes[at + KIND_AT]
        tries = min(table.bytes[at + TRIES_AT] + 1, TRIES_MAX)
        if kind == NUDGE:
            pass
        elif kind == DRAINED:
            if not self._write(at, 0):
                return False
        elif (tries < table.max_tries or not self._keep_dead(at, tries)) and not self._write(at, tries):
            return False
        table.bytes[at] = EMPTY
        return True

    def _write(self, at: int, tries: int) -> bool:
        record = bytearray(self.table.bytes[at : at + self.table.record_size])
        record[0] = HELD
        record[TRIES_AT] = tries
        written = self._pipe.write(bytes(record))
        # Before the slot is emptied: who looks into the pipe, and then at the slots, must not miss it (gate.py).
        self.table.longs[RETURNS // 8] += 1
        return written

    def _keep_dead(self, at: int, tries: int) -> bool:
        """Put the record among the dead. False: they are too many."""
        table, size = self.table, self.table.record_size
        states = table.states(KEEPER)
        slot = len(states)
        if slot < DEAD_MAX:
            table.ints[(table.row_at(KEEPER) + USED) // 4] = slot + 1
        else:  # in turn: somebody may be about to decide on one that was in a slot a moment ago
            slot = states.find(EMPTY, self._turn)
            if slot == -1:
                slot = states.find(EMPTY)
            if slot == -1:
                return False
            self._turn = slot + 1
        to = table.slots_at(KEEPER) + slot * size
        table.bytes[to + 1 : to + size] = table.bytes[at + 1 : at + size]
        table.bytes[to + TRIES_AT] = tries
        table.bytes[to] = DEAD
        return True

    def _empty_dead(self, at: int) -> None:
        """What was in this slot is elsewhere, or nowhere."""
        self.table.bytes[at + KIND_AT] = GONE  # before anybody can say once more what is to be done with it
        self.table.bytes[at] = EMPTY


def _find_all(states: bytes, state: int) -> Iterator[int]:
    slot = states.find(state)
    while slot != -1:
        yield slot
        slot = states.find(state, slot + 1)


class QueueWard(Ward):
    """A work queue, as the zygote has it. Descriptors: the table, the work pipe, the room's pipe; `given`: its heap."""

    def __init__(self, uid: bytes, given: Any, descriptors: Sequence[int], wards: Wards) -> None:
        memory, work, room = (PipeEnd(descriptor) for descriptor in descriptors)
        super().__init__(uid, given, wards, parts_of=given)
        self._ends = (memory, work, room)
        self.table = Table(memory.number)
        self.table.map.madvise(mmap.MADV_DONTFORK)  # else computicles would keep the memory
        self._pipe = WorkPipe(work, self.table.record_size)
        with suppress(OSError):  # then it is tried anew each time
            self._pipe.reserve()
        hint = self.table.bytes[HINT : HINT + 1]
        self._keeper = QueueKeeper(self.table, self._pipe, Room(hint, room, "room"), self._free, self._gone)

    def members(self) -> dict[int, int]:
        table = self.table
        return {place: table.ints[(table.row_at(place) + PID) // 4] for place in table.members()}

    def requeue(self, place: int) -> None:
        self._keeper.bury(place)

    def rung(self) -> None:
        self._keeper.collect_dead()
        for place in self.table.members():
            self._keeper.collect(place)

    def in_flight(self, uid: bytes) -> set[int]:
        return self._in_flight() if uid == self.given else set()

    def end(self) -> None:
        for place in self.table.members():
            self._keeper.settle_moving(place)
        for offset in self.in_flight(self.given):
            self._free(Span(offset, 0))

    def close(self) -> None:
        for end in self._ends:
            end.close()

    def _in_flight(self, but: int = -1) -> set[int]:
        spans = self._pipe.spans()  # first: what is taken meanwhile is in a row then
        return {span.offset for span in (*spans, *self.table.spans_held(but))}

    def _free(self, span: Span) -> None:
        heap: Any = self.wards.get(self.given)
        if heap is not None:
            heap.free(span.offset)

    def _gone(self, place: int, at: int) -> bool:
        heap: Any = self.wards.get(self.given)
        span = span_in(self.table.bytes, at)
        assert span is not None
        # In this order: whoever takes it out of a queue meanwhile is its holder then.
        return (
            span.offset in self._in_flight(but=at)
            or any(span.offset in ward.in_flight(self.given) for ward in self.wards if ward is not self)
            or (heap is not None and heap.has_left(span.offset, place))
        )
