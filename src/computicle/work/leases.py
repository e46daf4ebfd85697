"""Leases: the row of slots of this process, into which it takes items from the pipe.

Rules:
  1. A read into a slot takes the item and leases it to this process, in one. There
     is no moment at which it is in neither place, and none in which it is in both.
  2. A slot that is not empty is nobody's to read into. Which are empty is known here
     beforehand: nobody looks for one.
  3. To finish is to say that the slot is empty. To give back is to say so to the keeper, who
     empties it.

Not here: who waits until something comes (taker.py), what comes of what is given back
(queue_keeper.py).
"""

import threading
from collections.abc import Sequence

from computicle.work.ends import WorkPipe
from computicle.work.record import BACK, DRAINED, EMPTY, HEAD_SIZE, KIND_AT, NUDGE
from computicle.work.table import RETURNED, TAKEN, USED, Table

__all__ = ["NOTHING", "OVER", "Leases"]

RESERVE = 256  # slots that no stretch takes: as many as there may be in hand beyond the capacity

NOTHING = -1  # nothing is there now
OVER = -2  # nothing will ever be


class Leases:
    """The slots of one process. Any of its threads."""

    def __init__(self, table: Table, pipe: WorkPipe, place: int) -> None:
        self._table = table
        self._pipe = pipe
        self._readinto = pipe.readinto
        self.size = table.record_size
        row = table.row_at(place)
        self._used = (row + USED) // 4
        self._taken = (row + TAKEN) // 8
        self._returned = (row + RETURNED) // 8
        self._lock = threading.Lock()  # while it grows
        begin = table.slots_at(place)
        self.slots = table.bytes[begin : begin + (table.row_size - (begin - row)) // self.size * self.size]
        self.views: list[memoryview] = []  # of the slots that were ever used
        self.bodies: list[memoryview] = []  # what is behind their heads
        self.free: list[int] = []  # slots to read into
        self._stretches: dict[int, list[int]] = {}  # free ones: where they begin, by how many slots they have
        self._lengths: dict[int, int] = {}  # of those in use, by where they begin
        self._returned_slots: list[int] = []  # which the keeper is to empty
        self._grow(table.ints[self._used])  # whoever was at this place before has used so many
        # What that one gave back may lie there still.
        self._returned_slots, self.free = self.free, []
        self._regain()

    def take(self) -> int:
        """The slot into which the next item was taken; NOTHING or OVER, if there is none. Never waits."""
        while True:
            try:
                slot = self.free.pop()
            except IndexError:
                if not self._regain():
                    self._grow(1)
                continue
            if self._readinto(self.views[slot]) is None:
                self.free.append(slot)
                return NOTHING
            kind = self.slots[slot * self.size + KIND_AT]
            if kind > DRAINED:
                self._table.longs[self._taken] += 1
                return slot
            if kind == DRAINED:
                self._pipe.write(bytes(self.views[slot]))  # for the next one
                self.empty(slot)
                return OVER
            assert kind == NUDGE
            self.empty(slot)

    def take_many(self, count: int) -> Sequence[int] | int:
        """As many as are there of so many, at least one; NOTHING or OVER, if there is none. Never waits.

        A range is a stretch of slots, to be emptied together, or dissolved.
        """
        while True:
            stretch = self._stretch(count)
            if stretch is None:
                slot = self.take()  # no room is left for so many that lie together
                return slot if slot < 0 else [slot]
            start = stretch.start
            got = (self._readinto(self.slots[start * self.size : stretch.stop * self.size]) or 0) // self.size
            kinds = bytes(self.slots[start * self.size + KIND_AT : (start + got) * self.size : self.size])
            if not kinds:
                self._stretches[count].append(start)
                return NOTHING
            if min(kinds) > DRAINED:
                self._table.longs[self._taken] += got
                self._lengths[start] = count
                return stretch[:got]
            self._lengths[start] = count
            slots = self.dissolve(stretch[:got])
            for slot, kind in zip(slots, kinds, strict=True):
                if kind == DRAINED:
                    self._pipe.write(bytes(self.views[slot]))
                if kind <= DRAINED:
                    self.empty(slot)
            items = [slot for slot, kind in zip(slots, kinds, strict=True) if kind > DRAINED]
            if items or DRAINED in kinds:
                self._table.longs[self._taken] += len(items)
                return items or OVER

    def empty_stretch(self, stretch: range) -> None:
        """The items in it are done."""
        self.slots[stretch.start * self.size : stretch.stop * self.size : self.size] = bytes(len(stretch))
        self._stretches[self._lengths.pop(stretch.start)].append(stretch.start)

    def dissolve(self, stretch: range) -> list[int]:
        """From now on each slot of it is by itself."""
        self.free += range(stretch.stop, stretch.start + self._lengths.pop(stretch.start))
        return list(stretch)

    def _stretch(self, count: int) -> range | None:
        """So many slots that lie together, and are nobody's. None: there are not."""
        free = self._stretches.setdefault(count, [])
        try:
            start = free.pop()
        except IndexError:
            start = len(self.views)
            if (start + count) * self.size > len(self.slots) - RESERVE * self.size:
                return None
            start = self._extend(count)
        return range(start, start + count)

    def empty(self, slot: int) -> None:
        """Its item is done."""
        self.slots[slot * self.size] = EMPTY
        self.free.append(slot)

    def give_back(self, slot: int) -> None:
        """Its item is for another one; the keeper is to be told."""
        self._table.longs[self._returned] += 1
        self.slots[slot * self.size] = BACK
        self._returned_slots.append(slot)

    def _regain(self) -> bool:
        """Use again what the keeper has emptied. False: nothing."""
        slots, self._returned_slots = self._returned_slots, []
        emptied = [slot for slot in slots if self.slots[slot * self.size] == EMPTY]
        self._returned_slots += [slot for slot in slots if self.slots[slot * self.size] != EMPTY]
        self.free += emptied
        return bool(emptied)

    def _grow(self, count: int) -> None:
        """Have so many slots more to read into."""
        start = self._extend(count)
        self.free += reversed(range(start, start + count))

    def _extend(self, count: int) -> int:
        """Use so many slots more; the first of them."""
        with self._lock:
            begin = len(self.views)
            end = begin + count
            assert end * self.size <= len(self.slots), "more is leased than the queue holds"
            for slot in range(begin, end):
                view = self.slots[slot * self.size : (slot + 1) * self.size]
                view[KIND_AT] = view[KIND_AT]  # so that the page is there: nothing may fail in the middle of a read
                self.views.append(view)
                self.bodies.append(view[HEAD_SIZE:])
            self._table.ints[self._used] = max(self._table.ints[self._used], end)
            return begin
