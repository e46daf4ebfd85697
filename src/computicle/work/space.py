"""Space: a heap's file, as one process sees it: what lies where, as numbers.

Rules:
  1. A part of the file is mapped when it is first needed.
  2. Every store that other processes may see is one item, or one slice, of a view
     here. So whoever tests what becomes of a process that dies between two of them
     need only put other views in their place.

Not here: what the numbers mean (ledger.py, arena.py), files (memory.py).
"""

import mmap
import sys
from typing import Protocol

from computicle.work.codes import PLACES
from computicle.work.layout import ACTIVE, BASE, CLAIMS, HINT, ROWS, STAMP, Layout
from computicle.work.sizes import GRANULE, LARGE, LENGTHS, PAGE, UNIT

__all__ = ["Backing", "Part", "Space", "Tables"]

Part = mmap.mmap | bytearray

assert sys.byteorder == "little", "the low byte of a number is taken to be its first"


class Backing(Protocol):
    """What the space lies in."""

    def part(self, offset: int, length: int) -> Part:
        """That part of it, to be read and written."""
        ...

    def discard(self, part: Part, start: int, length: int) -> None:
        """Give what lies there in a part back to the system: it is zero from now on. Whole pages."""
        ...


class Tables:
    """One arena: its tables, and its memory.

    `first` is where its first unit begins, in the file.
    """

    __slots__ = ("_holders_at", "first", "holders", "memory", "pages", "part", "units", "units_at")

    def __init__(self, layout: Layout, place: int, part: Part) -> None:
        self.part = part
        self.units_at = layout.units_at
        self.first = layout.arena_at(place) + layout.units_at
        self._holders_at = layout.holders_at
        view = memoryview(part)
        self.units = view[: layout.units]
        self.pages = view[layout.pages_at : layout.holders_at].cast("I")
        self.holders = view[layout.holders_at : layout.units_at].cast("I")
        self.memory = view[layout.units_at :]

    def holder(self, offset: int) -> int:
        """Of the block at `offset`: a code, and a nonce above it. 0: it is free."""
        return int(self.holders[(offset - self.first) // GRANULE])

    def set_holder(self, offset: int, holder: int) -> None:
        """Of the block at `offset`."""
        self.holders[(offset - self.first) // GRANULE] = holder

    def length(self, offset: int) -> int:
        """Of the block at `offset`."""
        unit = (offset - self.first) // UNIT
        kind = self.units[unit]
        return int(self.pages[unit]) * PAGE if kind == LARGE else LENGTHS[kind]

    def used(self, top: int) -> bytes | bytearray:
        """What the units below `top` are used for."""
        return self.part[:top]

    def held(self, unit: int, kind: int) -> bytes | bytearray:
        """The low bytes of the holders of a slab's blocks, in order."""
        start = self._holders_at + unit * (UNIT // GRANULE) * 4
        stride = LENGTHS[kind] // GRANULE * 4
        return self.part[start : start + UNIT // LENGTHS[kind] * stride : stride]


class Space:
    """The whole file."""

    def __init__(self, backing: Backing) -> None:
        self._backing = backing
        self._control = backing.part(0, BASE)
        view = memoryview(self._control)
        self.layout = Layout.read(view)
        self.hint = view[HINT : HINT + 1]
        self.stamp = view[STAMP : STAMP + 8].cast("Q")
        self.active = view[ACTIVE : ACTIVE + PLACES]
        self.claims = view[CLAIMS : CLAIMS + 8 * PLACES].cast("q")
        self.rows = view[ROWS:BASE].cast("Q")
        self._arena = self.layout.arena
        self._tables: dict[int, Tables] = {}

    def tables(self, place: int) -> Tables:
        """Those of the arena of `place`."""
        try:
            return self._tables[place]
        except KeyError:
            return self._map(place)

    def around(self, offset: int) -> Tables:
        """Those of the arena that `offset` lies in."""
        try:
            return self._tables[(offset - BASE) // self._arena]
        except KeyError:
            return self._map((offset - BASE) // self._arena)

    def places(self) -> list[int]:
        """The active ones."""
        active = self._control[ACTIVE : ACTIVE + PLACES]
        return [place for place in range(len(active.rstrip(b"\0"))) if active[place]]

    def discard(self, offset: int, length: int) -> None:
        """Give a large block's memory back to the system. It is its holder's."""
        tables = self.around(offset)
        self._backing.discard(tables.part, tables.units_at + offset - tables.first, length // PAGE * PAGE)

    def _map(self, place: int) -> Tables:
        assert 0 <= place < PLACES, "this lies in no arena"
        part = self._backing.part(self.layout.arena_at(place), self._arena)
        return self._tables.setdefault(place, Tables(self.layout, place, part))
