"""Leases: the row of slots of this process, into which it takes items from the pipe.

Rules:
  1. A read into a slot takes the item and leases it to this process, in one. There
     is no moment at which it is in neither place, and none in which it is in both.
  2. A slot that is not empty is nobody's to read into. Which are empty is known here
     beforehand: nobody looks for one.
  3. To finish is to say that the slot is empty. To give back is to say so to the keeper, who
     empties it.
  4. A batch has slots that lie together, a stretch. When there are none left, they are made of
     all the slots that are free by then.
  5. A slot that is nobody's is in one place only: by itself, in a free stretch, behind one that is
     in use and not full, or with the keeper. Whoever takes it out there has it, and no other thread.
  6. One thread at a time reads into a stretch. So there are slots enough: what is not
     leased can be found, but for one slot of each thread in the middle of a read.

Not here: who waits until something comes (taker.py), what comes of what is given back
(queue_keeper.py).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise

from computicle.work.pipe import WorkPipe
from computicle.work.record import BACK, DRAINED, EMPTY, HEAD_SIZE, KIND_AT, NUDGE, PLAIN_HEAD
from computicle.work.table import RETURNED, TAKEN, USED, Table

__all__ = ["NOTHING", "OVER", "Leases"]

RESERVE = 256  # slots that no stretch takes: as many as there may be in hand beyond the capacity

NOTHING = -1  # nothing is there now
OVER = -2  # nothing will ever be


class Leases:
    """The slots of one process. Any of its threads.

    Args:
        announce: tells those who wait for room that there is some.
    """

    def __init__(self, table: Table, pipe: WorkPipe, place: int, announce: Callable[[], None]) -> None:
        self._table = table
        self._pipe = pipe
        self._announce = announce
        self._readinto = pipe.readinto
        self.size = table.record_size
        row = table.row_at(place)
        self._used = (row + USED) // 4
        self._taken = (row + TAKEN) // 8
        self._returned = (row + RETURNED) // 8
        self._lock = threading.Lock()  # while many slots are in hand, or are looked for
        begin = table.slots_at(place)
        self.slots = table.bytes[begin : begin + (table.row_size - (begin - row)) // self.size * self.size]
        self._words = self.slots.cast("I")
        self._words_each = self.size // 4
        self._end = len(self.slots) // self.size
        self._stretches_end = self._end - RESERVE
        self.views: list[memoryview] = []  # of the slots that were ever used
        self.bodies: list[memoryview] = []  # what is behind their heads
        self.free: list[int] = []  # slots to read into
        self._stretches: dict[int, list[int]] = {}  # free ones: where they begin, by how many slots they have
        self._tails: dict[int, range] = {}  # slots behind a stretch that is in use, by where that begins
        # Which the keeper is to empty. Whoever was at this place before has used so many, and given back some of them.
        self._returned_slots = [*self._extend(table.ints[self._used])]
        self._regain()

    def take(self) -> int:
        """The slot into which the next item was taken; NOTHING or OVER, if there is none. Never waits."""
        while True:
            try:
                slot = self.free.pop()
            except IndexError:
                self._find_free()
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
            self._announce()  # whoever could not look (pipe.py) has counted it as an item

    def take_many(self, count: int) -> Sequence[int] | int:
        """As many as are there of so many, at least one; NOTHING or OVER, if there is none. Never waits.

        A range is a stretch of slots with plain pickles in them, to be emptied together, or dissolved.
        """
        with self._lock:
            slots = self._take_stretch(count)
        return self._take_singly(count) if slots is None else slots

    def empty_stretch(self, stretch: range) -> None:
        """The items in it are done."""
        start, length = stretch.start, len(stretch)
        self.slots[start * self.size : stretch.stop * self.size : self.size] = bytes(length)
        length += len(self._tails.pop(start, ()))
        self._free_stretch(start, length)

    def dissolve(self, stretch: range) -> list[int]:
        """From now on each slot of it is by itself."""
        self.free += self._tails.pop(stretch.start, ())
        return list(stretch)

    def empty(self, slot: int) -> None:
        """Its item is done."""
        self.slots[slot * self.size] = EMPTY
        self.free.append(slot)

    def give_back(self, slot: int) -> None:
        """Its item is for another one; the keeper is to be told."""
        self._table.longs[self._returned] += 1
        self.slots[slot * self.size] = BACK
        self._returned_slots.append(slot)

    def check(self) -> None:
        """Assert rule 5, while nobody is at it. O(n): for tests."""
        free = [*self.free]
        for length, starts in self._stretches.items():
            for start in starts:
                free += range(start, start + length)
        for tail in self._tails.values():
            free += tail
        leased = {slot for slot, view in enumerate(self.views) if view[0] != EMPTY}
        assert not leased & {*free}
        free += {*self._returned_slots} - leased
        assert sorted([*free, *leased]) == [*range(len(self.views))]

    def _take_stretch(self, count: int) -> Sequence[int] | int | None:
        """As `take_many`. None: so many slots do not lie together."""
        while True:
            whole = self._stretch(count)
            if whole is None:
                return None
            start = whole.start
            got = (self._readinto(self.slots[start * self.size : (start + count) * self.size]) or 0) // self.size
            if not got:
                self._free_stretch(start, len(whole))
                return NOTHING
            stretch = whole[:got]
            if got < len(whole):
                self._tails[start] = whole[got:]
            heads = bytes(self._words[start * self._words_each : (start + got) * self._words_each : self._words_each])
            if heads == PLAIN_HEAD * got:
                self._table.longs[self._taken] += got
                return stretch
            slots = self.dissolve(stretch)
            kinds = heads[KIND_AT::4]
            for slot, kind in zip(slots, kinds, strict=True):
                if kind == DRAINED:
                    self._pipe.write(bytes(self.views[slot]))
                if kind <= DRAINED:
                    self.empty(slot)
                    self._announce()
            items = [slot for slot, kind in zip(slots, kinds, strict=True) if kind > DRAINED]
            self._table.longs[self._taken] += len(items)
            if items or DRAINED in kinds:
                return items or OVER

    def _take_singly(self, count: int) -> Sequence[int] | int:
        """As `take_many`, one after the other."""
        slots: list[int] = []
        while len(slots) < count:
            slot = self.take()
            if slot < 0:
                return slots or slot
            slots.append(slot)
        return slots

    # Where slots come from. One thread at a time.

    def _stretch(self, count: int) -> range | None:
        """A free stretch of at least so many slots. None: there is none."""
        try:
            start = self._stretches[count].pop()
        except (KeyError, IndexError):
            return self._longer_stretch(count) or self._new_stretch(count) or self._gathered_stretch(count)
        return range(start, start + count)

    def _longer_stretch(self, count: int) -> range | None:
        for length in sorted(length for length, starts in [*self._stretches.items()] if length >= count and starts):
            for start in _taken_out(self._stretches[length]):
                return range(start, start + length)
        return None

    def _new_stretch(self, count: int) -> range | None:
        """Of slots that were never used."""
        return self._extend(count) if len(self.views) + count <= self._stretches_end else None

    def _gathered_stretch(self, count: int) -> range | None:
        """Of slots that are free by now. As many such stretches are made as there can be, so it is not done for each."""
        self.free += self._extend(max(0, self._stretches_end - len(self.views)))
        self._regain()
        slots = self._gather()
        found: list[range] = []
        rest: list[int] = []
        for run in _runs(slots):
            fit = max(0, min(run.stop, self._stretches_end) - run.start) // count
            found += [range(start, start + count) for start in range(run.start, run.start + fit * count, count)]
            rest += run[fit * count :]
        self.free += reversed(rest)
        for stretch in found[1:]:
            self._free_stretch(stretch.start, count)
        return found[0] if found else None

    def _gather(self) -> list[int]:
        """Take out all that is free, in order."""
        slots = [*_taken_out(self.free)]
        for length, starts in [*self._stretches.items()]:
            for start in _taken_out(starts):
                slots += range(start, start + length)
        while self._tails:
            try:
                slots += self._tails.popitem()[1]
            except KeyError:  # another thread has just finished that stretch
                break
        return sorted(slots)

    def _find_free(self) -> None:
        """Have some slot more to read into."""
        with self._lock:
            if self.free or self._regain():
                return
            slots = [*self._extend(1)] if len(self.views) < self._end else self._gather()
            assert slots, "more is leased than the queue holds"
            self.free += reversed(slots)

    def _free_stretch(self, start: int, length: int) -> None:
        self._stretches.setdefault(length, []).append(start)

    def _regain(self) -> bool:
        """Use again what the keeper has emptied. False: nothing."""
        before = len(self.free)
        for slot in [*_taken_out(self._returned_slots)]:
            (self.free if self.slots[slot * self.size] == EMPTY else self._returned_slots).append(slot)
        return len(self.free) > before

    def _extend(self, count: int) -> range:
        """Use so many slots more."""
        begin = len(self.views)
        end = begin + count
        assert end <= self._end
        for slot in range(begin, end):
            view = self.slots[slot * self.size : (slot + 1) * self.size]
            view[KIND_AT] = view[KIND_AT]  # so that the page is there: nothing may fail in the middle of a read
            self.views.append(view)
            self.bodies.append(view[HEAD_SIZE:])
        self._table.ints[self._used] = max(self._table.ints[self._used], end)
        return range(begin, end)


def _taken_out(slots: list[int]) -> Iterator[int]:
    """One by one, since other threads do so, too."""
    try:
        while True:
            yield slots.pop()
    except IndexError:
        pass


def _runs(slots: list[int]) -> list[range]:
    """Those that lie together."""
    begins = [slot for before, slot in pairwise([-2, *slots]) if slot != before + 1]
    ends = [slot + 1 for slot, after in pairwise([*slots, -2]) if after != slot + 1]
    return [range(begin, end) for begin, end in zip(begins, ends, strict=True)]
