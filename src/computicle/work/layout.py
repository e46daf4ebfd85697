"""Layout: where everything lies in a heap's file, by arithmetic alone.

    0          what the heap is: magic number, sizes. Written once
    HINT       a byte for those who wait for memory
    STAMP      changes whenever a place has become active
    ACTIVE     a byte for each place: it has begun to use the heap
    CLAIMS     a number for each place: the bytes it has allocated, less those it has freed
    ROWS       a row of numbers for each place (ledger.py)
    BASE       an arena for each place, one behind the other:
               units     a byte for each: what it is used for (sizes.py)
               pages     a number for each: how long a large block is that begins there
               holders   a number for each granule: who holds the block that begins there
               then the units themselves

The file is as long as if all arenas were full, and sparse: what nobody has touched takes no memory.

Rules:
  1. Nothing here points anywhere: what is damaged in one place damages nothing else.
  2. An arena has room for much more than the limit of the whole heap, for blocks of
     several lengths do not fill it without gaps.
  3. Numbers are aligned, so each is stored whole or not at all.

Not here: the bytes themselves (space.py).
"""

import struct
from typing import NamedTuple, Self

from computicle.work.codes import PLACES
from computicle.work.sizes import FREE, GRANULE, PAGE, UNIT, rounded_up

__all__ = [
    "ACTIVE",
    "BASE",
    "CLAIMS",
    "CONTROL_WORDS",
    "HINT",
    "ROWS",
    "ROW_WORDS",
    "SIZE_MAX",
    "STAMP",
    "Layout",
]

MAGIC = b"cmptheap"
VERSION = 1
HEADER = struct.Struct("=8sQQQQ")

HINT = 128  # apart from what is only read
STAMP = 192
ACTIVE = PAGE
CLAIMS = ACTIVE + PLACES
ROWS = 65_536
ROW_WORDS = 24  # three lines of the cache, of which other places write to the third only
BASE = 1 << 20
CONTROL_WORDS = BASE // 8

ROOM = 4  # times the limit
ROOM_LEAST = 64  # units: each class may have one that is nearly empty
SIZE_MAX = 1 << 40  # bytes: so that several arenas fit into the addresses of a process

assert CLAIMS + 8 * PLACES <= ROWS
assert ROWS + 8 * ROW_WORDS * PLACES <= BASE
assert FREE == 0  # what was never touched is free


class Layout(NamedTuple):
    """What a heap is."""

    size: int  # bytes that its maker has asked for
    limit: int  # bytes that all its blocks together may count: a block of `size` fits
    units: int  # in each arena

    @classmethod
    def of(cls, size: int, limit: int) -> Self:
        """For a heap of `size`, whose blocks may count `limit` together."""
        return cls(size, limit, rounded_up(ROOM * limit // UNIT + ROOM_LEAST, GRANULE))

    @classmethod
    def read(cls, control: "bytes | bytearray | memoryview") -> Self:
        magic, version, size, limit, units = HEADER.unpack_from(control)
        assert magic == MAGIC, "this is no heap"
        assert version == VERSION, "this heap was made by another version"
        return cls(size, limit, units)

    def write(self, control: "bytearray | memoryview") -> None:
        HEADER.pack_into(control, 0, MAGIC, VERSION, *self)

    # In an arena.

    @property
    def pages_at(self) -> int:
        return rounded_up(self.units, PAGE)

    @property
    def holders_at(self) -> int:
        return self.pages_at + rounded_up(4 * self.units, PAGE)

    @property
    def units_at(self) -> int:
        return rounded_up(self.holders_at + 4 * (UNIT // GRANULE) * self.units, UNIT)

    @property
    def arena(self) -> int:
        """How long one is."""
        return self.units_at + self.units * UNIT

    # In the file.

    @property
    def length(self) -> int:
        return BASE + PLACES * self.arena

    def arena_at(self, place: int) -> int:
        return BASE + place * self.arena
