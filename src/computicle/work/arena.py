"""Arena: what the process at a place allocates from: its own part of a heap, in units.

The arena's tables say all there is to know. What is kept here beside them only saves
looking: which blocks of a class are free, which units are its slabs. Whoever gets the
place of one that has died reads the tables, and goes on.

Rules:
  1. Only its owner changes the use of a unit, and only while no block in it is held.
  2. Anybody who holds a block may free it, by a store into its holder. The owner finds it by looking.
     So each look is at a few slabs or large blocks only, and the next look goes on from there.
  3. A large block's first unit is marked first and cleared last: what is left of one half-marked is found by it.
  4. Where no block is held, all holders of a unit are 0, whatever it is used for next.
  5. A place is found before the claim is made. So a claim that is withdrawn was refused by the limit alone, and
     who is told of it does not look in vain again and again.
  6. Before the arena grows, slabs that are wholly free become free units again. It grows by a
     quarter between two such looks.

Not here: the limit and the counters (ledger.py), who waits, threads (heap.py).
"""

from collections import deque
from itertools import compress

from computicle.work.layout import ROW_WORDS
from computicle.work.ledger import TOP, Ledger
from computicle.work.sizes import (
    FREE,
    FURTHER,
    GRANULE,
    KINDS,
    LARGE,
    LENGTHS,
    PAGE,
    SMALL_MAX,
    UNIT,
    rounded_up,
    units_for,
)
from computicle.work.space import Space, Tables

__all__ = ["DISCARD_MIN", "Arena"]

DISCARD_MIN = 1 << 20  # bytes: to return less to the system takes longer than it is worth
SLABS_LOOKED_AT = 4  # for free blocks, before a new slab is begun
LARGE_LOOKED_AT = 64  # before one more is allocated
GROWTH_LEAST = 16  # units

NOT_HELD = "what is freed is held by somebody else, or nobody"

IS_FREE = bytes([1]) + bytes(255)  # to translate holders by


class Arena:
    """A place's, as its owner has it. One thread at a time, but for `check_held`."""

    def __init__(self, space: Space, place: int, pid: int) -> None:
        self.ledger = Ledger(space, place, pid)
        self._space = space
        self._tables: Tables = space.tables(place)
        self._first = self._tables.first
        self._word = place * ROW_WORDS + TOP
        self._units = space.layout.units
        self._top: int = space.rows[self._word]  # units from here on were never used
        self._low = 0  # no unit below is free
        self._ceiling = self._top + GROWTH_LEAST  # where to look for free slabs before growing on
        self._slabs: list[deque[int]] = [deque() for _ in LENGTHS]  # by class; the next one to look at first
        self._free: list[list[int]] = [[] for _ in LENGTHS]  # offsets, by class; of free blocks, but not of all
        self._large: deque[int] = deque()  # first units, the next one to look at first
        self._adopt()

    # Allocating.

    def alloc(self, n: int) -> int:
        """Where the block of n bytes is that this place holds now. 0: there is no room."""
        ledger = self.ledger
        offset = 0
        try:
            if n > SMALL_MAX:
                length = rounded_up(n, PAGE)
                at = self._find_large(length)
                if at < 0 or not ledger.claim(length):
                    return 0
                offset = self._begin_large(at, length)
            else:
                kind = KINDS[(n + GRANULE - 1) // GRANULE]
                length = LENGTHS[kind]
                free = self._free[kind]
                if not free and not self._refill(kind, free):
                    return 0
                if not ledger.claim(length):
                    return 0
                offset = free.pop()
            ledger.take(self._tables, offset, length)
            return offset
        except BaseException:
            self._struck(offset)
            raise

    def _find_large(self, length: int) -> int:
        """Where there are units for a large block; -1 if nowhere."""
        self._collect(LARGE_LOOKED_AT)
        return self._find(units_for(length))

    def _begin_large(self, at: int, length: int) -> int:
        """Where the block in these units is, which nobody holds yet."""
        count = units_for(length)
        self._use(at, count)
        self._tables.pages[at] = length // PAGE
        self._tables.units[at] = LARGE
        self._tables.units[at + 1 : at + count] = bytes([FURTHER]) * (count - 1)
        self._large.append(at)
        return self._first + at * UNIT

    # Freeing.

    def check_held(self, offset: int) -> None:
        """Assert that this place holds the block there. Any thread."""
        assert self._space.around(offset).holder(offset) == self.ledger.code, NOT_HELD

    def free(self, offset: int) -> None:
        """Free a block that this place holds, in any arena."""
        tables = self._space.around(offset)
        start = offset - tables.first
        assert tables.holders[start // GRANULE] == self.ledger.code, NOT_HELD
        try:
            kind = tables.units[start // UNIT]
            if kind != LARGE:
                self.ledger.give(tables, offset, LENGTHS[kind])
                if tables is self._tables:
                    self._free[kind].append(offset)
                return
            length = tables.length(offset)
            if length >= DISCARD_MIN:
                self._space.discard(offset, length)
            self.ledger.give(tables, offset, length)
        except BaseException:
            self._struck(offset)
            raise

    def _struck(self, offset: int) -> None:
        """An error has come from outside, maybe a signal's, in the middle of one of these.

        Nobody is told where the block is, or nobody will have it freed again: so it is free.
        """
        self.ledger.repair()
        if offset and self._space.around(offset).holder(offset) == self.ledger.code:
            tables = self._space.around(offset)
            self.ledger.give(tables, offset, tables.length(offset))
        self.ledger.withdrawn = True
        self._adopt()

    # Looking.

    def _refill(self, kind: int, free: list[int]) -> bool:
        """Have some free blocks of this class. False: there is no room for any."""
        if self._look(kind, free, SLABS_LOOKED_AT):
            return True
        at = self._find(1)
        if at < 0:
            return self._look(kind, free, self._units)
        self._use(at, 1)
        self._tables.units[at] = kind
        self._slabs[kind].append(at)
        free.extend(reversed(self._blocks(at, kind)))
        return True

    def _look(self, kind: int, free: list[int], most: int) -> bool:
        """Look for free blocks in the next slabs of this class, `most` of them. True: there were some."""
        slabs = self._slabs[kind]
        for _ in range(min(most, len(slabs))):
            unit = slabs[0]
            slabs.rotate(-1)
            free.extend(compress(self._blocks(unit, kind), self._tables.held(unit, kind).translate(IS_FREE)))
            if free:
                free.reverse()  # the lowest will be taken first
                return True
        return False

    def _blocks(self, unit: int, kind: int) -> range:
        """Where the blocks of a slab are."""
        length = LENGTHS[kind]
        start = self._first + unit * UNIT
        return range(start, start + UNIT // length * length, length)

    def _collect(self, most: int) -> None:
        """Look for large blocks that others have freed, or this place has, among the next `most` of them."""
        large = self._large
        for _ in range(min(most, len(large))):
            unit = large.popleft()
            if self._tables.holder(self._first + unit * UNIT):
                large.append(unit)
            else:
                self._clear(unit)

    def _clear(self, unit: int) -> None:
        """The units of a large block that is free are free."""
        units = self._tables.units
        count = units_for(self._tables.pages[unit] * PAGE)
        units[unit + 1 : unit + count] = bytes(count - 1)
        units[unit] = FREE
        self._low = min(self._low, unit)

    # Units.

    def _find(self, count: int) -> int:
        """Where so many units are free; -1 if nowhere."""
        at = self._fit(count)
        if at < 0 or at + count > self._ceiling:
            self._reclaim()
            at = self._fit(count)
            if at < 0:
                return -1
            self._ceiling = max(self._ceiling, (at + count) * 5 // 4 + GROWTH_LEAST)
        return at

    def _use(self, at: int, count: int) -> None:
        """These free units are about to be used."""
        if at == self._low:
            self._low += count
        if at + count > self._top:
            self._space.rows[self._word] = at + count  # before any of them is used, for whoever looks for what is held
            self._top = at + count

    def _fit(self, count: int) -> int:
        end = min(self._top + count, self._units)
        at = self._tables.part[self._low : end].find(bytes(count))
        if at < 0:
            return -1
        if count == 1:
            self._low += at
            return self._low
        return self._low + at

    def _reclaim(self) -> None:
        """Make units free that need not be anything else."""
        self._collect(len(self._large))
        for kind, slabs in enumerate(self._slabs):
            empty = {unit for unit in slabs if not any(self._tables.held(unit, kind))}
            if empty:
                free = self._free[kind]
                free[:] = [offset for offset in free if (offset - self._first) // UNIT not in empty]
                self._slabs[kind] = deque(unit for unit in slabs if unit not in empty)
                for unit in empty:
                    self._tables.units[unit] = FREE
        self._low = 0

    def _adopt(self) -> None:
        """Learn from the tables what there is."""
        for slabs, free in zip(self._slabs, self._free, strict=True):
            slabs.clear()
            free.clear()
        self._large.clear()
        self._low = 0
        for unit, kind in enumerate(self._tables.used(self._top)):
            if kind == LARGE:
                self._large.append(unit)
            elif kind not in (FREE, FURTHER):
                self._slabs[kind].append(unit)
        self._collect(len(self._large))

    # For tests and people.

    def check(self) -> None:
        """Assert that what is kept here agrees with the tables."""
        self.ledger.check()
        used = self._tables.used(self._top)
        for kind, slabs in enumerate(self._slabs):
            assert sorted(slabs) == [unit for unit, use in enumerate(used) if use == kind and kind]
            free = self._free[kind]
            assert len(free) == len(set(free)), "a block is free twice"
            for offset in free:
                assert used[(offset - self._first) // UNIT] == kind
                assert not self._tables.holder(offset)
        assert sorted(self._large) == [unit for unit, use in enumerate(used) if use == LARGE]
        assert FREE not in used[: self._low]
