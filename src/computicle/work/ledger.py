"""Ledger: what one place has allocated and freed, and whether there is room for more.

A process may be killed between any two stores. So each writes down first what it
is about to do, its intent: where, and what its counters will be; then does it, in one
store, the holder's; then sets the counters; then strikes the intent off. Whoever
comes upon an intent can tell by the holder whether it was carried out.

Rules:
  1. A place's numbers are written by its own process only, and after its death by the
     keeper, until somebody gets the place again. All but the claim only grow.
  2. No more is allocated than the limit. Each claims what it wants, and then adds up
     all claims, its own among them: of two that claim the last room at once, at most one gets it.
  3. A claim that is withdrawn may have kept others from theirs, so they must be told.
     Who is refused, looks first the next time, and claims only what there is. So no two
     go on waking each other in vain.

Not here: which block (arena.py), who waits (heap.py), whose place is whose.
"""

import os
import threading
from typing import NamedTuple

from computicle.work.codes import TRANSIT, code_of
from computicle.work.layout import ROW_WORDS
from computicle.work.sizes import GRANULE
from computicle.work.space import Space, Tables

__all__ = ["PID", "TOP", "HeapShare", "Ledger", "share_of"]

# What a row says, by word.
ALLOCATED, FREED = 0, 1  # bytes
ALLOCATED_BLOCKS, FREED_BLOCKS = 2, 3
ALLOCATING, FREEING = 4, 8  # intents: where, 0 for none; behind it, what the two counters will be
TOP = 12  # units of the place's arena that were ever used, counted from its first
PID = 13  # of who is or was last at the place
DEPARTED = 14  # how many blocks have set out from there

BEGUN, TOLD = 1, 2  # of an active place: somebody is about to use the heap there; and all others can know

TRIES = 8  # to claim what there is room for, while others claim it at the same time


class HeapShare(NamedTuple):
    """What one process has allocated and freed, and whoever was at its place before."""

    pid: int  # of who is or was last there
    allocated: int  # bytes, ever
    freed: int
    allocated_blocks: int
    freed_blocks: int


def share_of(space: Space, place: int) -> HeapShare:
    row = place * ROW_WORDS
    return HeapShare(space.rows[row + PID], *space.rows[row : row + 4])


class Ledger:
    """One place's, to write to. One thread at a time.

    Args:
        pid: of who has the place from now on. None: it is kept for somebody who is dead.
    """

    def __init__(self, space: Space, place: int, pid: int | None) -> None:
        self.code = code_of(place)
        self.withdrawn = False  # so those who wait must be told
        self._space = space
        self._place = place
        self._row = row = place * ROW_WORDS
        self._allocated, self._freed = row + ALLOCATED, row + FREED
        self._allocated_blocks, self._freed_blocks = row + ALLOCATED_BLOCKS, row + FREED_BLOCKS
        self._allocating, self._freeing = row + ALLOCATING, row + FREEING
        self._allocated_intended, self._allocated_blocks_intended = row + ALLOCATING + 1, row + ALLOCATING + 2
        self._freed_intended, self._freed_blocks_intended = row + FREEING + 1, row + FREEING + 2
        self._rows = space.rows
        self._claims = space.claims
        self._stamps = space.stamp
        self._limit = space.layout.limit
        self._tight = False
        self._fence = threading.Lock()
        if pid is not None:
            self._rows[self._row + PID] = pid
            if space.active[place] != TOLD:  # whoever was here first may have died before it had told the others
                space.active[place] = BEGUN
                # Any number will do that was not there before. Should somebody else's overwrite it, that one was
                # stored when this place was active already, and is as new to all others.
                space.stamp[0] = int.from_bytes(os.urandom(8), "little")
                space.active[place] = TOLD
        self._look_around()

    # Allocating.

    def claim(self, length: int) -> bool:
        """Claim so many bytes more. False: there is no room for them."""
        tries = TRIES
        while tries and not (self._tight and self._sum() + length > self._limit):
            self._claims[self._place] += length
            # What others have claimed may be read only when they can read this. A lock that is taken and released
            # is the one thing in Python that makes a processor see to that.
            self._fence.acquire(False)
            self._fence.release()
            if self._stamp != self._stamps[0]:
                self._look_around()
            if sum(self._counted) <= self._limit:
                self._tight = False
                return True
            self.withdraw(length)
            tries -= 1
        return False

    def withdraw(self, length: int) -> None:
        """It has claimed so much for nothing."""
        self._claims[self._place] -= length
        self.withdrawn = self._tight = True

    def take(self, tables: Tables, offset: int, length: int) -> None:
        """It has claimed this free block, and holds it from now on."""
        rows = self._rows
        allocated = rows[self._allocated] + length
        blocks = rows[self._allocated_blocks] + 1
        rows[self._allocated_intended] = allocated
        rows[self._allocated_blocks_intended] = blocks
        rows[self._allocating] = offset
        tables.holders[(offset - tables.first) // GRANULE] = self.code  # `set_holder`, written out (bench/heap.py)
        rows[self._allocated] = allocated
        rows[self._allocated_blocks] = blocks
        rows[self._allocating] = 0

    # Freeing.

    def give(self, tables: Tables, offset: int, length: int) -> None:
        """This block, which it holds, is free from now on."""
        rows = self._rows
        freed = rows[self._freed] + length
        blocks = rows[self._freed_blocks] + 1
        rows[self._freed_intended] = freed
        rows[self._freed_blocks_intended] = blocks
        rows[self._freeing] = offset
        tables.holders[(offset - tables.first) // GRANULE] = 0
        rows[self._freed] = freed
        rows[self._freed_blocks] = blocks
        rows[self._freeing] = 0
        self._claims[self._place] -= length

    # Handing on.

    def depart(self) -> int:
        """The holder of the next block that sets out from this place: what no other had on its way, for a long time."""
        number = self._rows[self._row + DEPARTED] + 1
        self._rows[self._row + DEPARTED] = number  # here, for whoever is at this place next to count on
        return TRANSIT | self.code | (number & 0xFFFF) << 16

    # Of one that has died, or was struck in the middle.

    def repair(self) -> None:
        """Set the counters right after what was left half-done: they say what the holders say."""
        for intent, counters, carried_out in ((ALLOCATING, ALLOCATED, True), (FREEING, FREED, False)):
            offset = self._rows[self._row + intent]
            if offset:
                holds = self._space.around(offset).holder(offset) == self.code
                if holds is carried_out:
                    for index in (0, 1):
                        self._rows[self._row + counters + 2 * index] = self._rows[self._row + intent + 1 + index]
                self._rows[self._row + intent] = 0
        share = share_of(self._space, self._place)
        self._claims[self._place] = share.allocated - share.freed

    def check(self) -> None:
        """Assert that nothing is half-done."""
        share = share_of(self._space, self._place)
        assert self._claims[self._place] == share.allocated - share.freed
        assert not self._rows[self._row + ALLOCATING]
        assert not self._rows[self._row + FREEING]

    # The limit.

    def _sum(self) -> int:
        """What all have claimed."""
        if self._stamp != self._stamps[0]:
            self._look_around()
        return sum(self._counted)

    def _look_around(self) -> None:
        """Places have become active: they count, too."""
        self._stamp = self._stamps[0]
        self._counted = self._claims[: max([self._place, *self._space.places()]) + 1]
