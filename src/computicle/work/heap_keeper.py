"""Heap keeper: what is done about a heap when a process that used it has died.

It runs where nothing else of the heap's does (worlds/zygote.py), and has a row of
counters of its own, at a place where nobody allocates.

Rules:
  1. Only of the dead: nobody else writes what it writes here.
  2. It may be killed itself, and begun again by another one.
  3. What others have been handed is theirs: it looks at the holder right before it takes a block.
  4. It maps the heap only while it is at it: what it forks later must not keep the memory.

Not here: how it learns of a death (worlds/wards.py).
"""

import os
from collections.abc import Callable, Container, Sequence
from typing import Any

from computicle.engine.pipes import PipeEnd
from computicle.work.arena import DISCARD_MIN
from computicle.work.codes import KEEPER, code_of, is_in_transit
from computicle.work.layout import ROW_WORDS
from computicle.work.ledger import PID, Ledger
from computicle.work.memory import HeapMemory
from computicle.work.room import Room
from computicle.work.space import Space, Tables
from computicle.work.survey import Found, held_blocks
from computicle.work.transit import Loans
from computicle.work.wants import forget_wants
from computicle.worlds.places import NOWHERE
from computicle.worlds.wards import Ward, Wards

__all__ = ["HeapKeeper", "HeapWard"]


class HeapKeeper:
    """One heap's."""

    def __init__(self, space: Space, pid: int) -> None:
        self._space = space
        self._ledger = Ledger(space, KEEPER, pid)

    def begin(self) -> None:
        """Finish what another keeper has left, who is dead."""
        self._ledger.repair()
        self._sweep(KEEPER, frozenset())

    def members(self) -> dict[int, int]:
        """Who has begun to use the heap: places, and the ids of the processes that are or were there."""
        rows = self._space.rows
        return {place: rows[place * ROW_WORDS + PID] for place in self._space.places() if place != KEEPER}

    def recover(self, place: int, kept: Container[int]) -> None:
        """Whoever was at `place` is dead: what it held is free.

        Args:
            kept: offsets of blocks that it was the last to hold, but has handed on.
        """
        if self._space.active[place]:
            Ledger(self._space, place, None).repair()
            forget_wants(self._space, place)
        self._sweep(place, kept)

    def free(self, offset: int) -> None:
        """Free a block that nobody has any more, whoever was the last to hold it."""
        tables = self._space.around(offset)
        self._free(tables, Found(offset, tables.length(offset), tables.holder(offset)))

    def _sweep(self, place: int, kept: Container[int]) -> None:
        for arena in self._space.places():
            for found in [*held_blocks(self._space, arena, code_of(place))]:
                tables = self._space.around(found.offset)
                if found.offset not in kept and tables.holder(found.offset) == found.holder:
                    self._free(tables, found)

    def _free(self, tables: Tables, found: Found) -> None:
        # Held by the keeper first: else, if it is killed while it frees this, nobody could tell by the holder whether it
        # has, for the block's next holder may be anybody.
        tables.set_holder(found.offset, self._ledger.code)
        if found.length >= DISCARD_MIN:
            self._space.discard(found.offset, found.length)
        self._ledger.give(tables, found.offset, found.length)


class HeapWard(Ward):
    """A heap, as the zygote has it. Descriptors: its file, and the pipe of those who wait for memory."""

    def __init__(self, uid: bytes, given: Any, descriptors: Sequence[int], wards: Wards) -> None:
        memory, room = descriptors
        super().__init__(uid, given, wards)
        self._memory = HeapMemory(memory)
        self._room = PipeEnd(room)
        _keeper_of(self._memory).begin()  # first: if it fails, nothing must refer to this any more
        self._loans = Loans(self._listen, wards.ignore, self._lost)

    def members(self) -> dict[int, int]:
        return _keeper_of(self._memory).members()

    def sweep(self, place: int) -> None:
        if place == NOWHERE:
            return
        in_flight: set[int] = set()
        for ward in self.wards:
            in_flight |= ward.in_flight(self.uid)
        space = Space(self._memory)
        HeapKeeper(space, os.getpid()).recover(place, in_flight)
        self._tell(space)

    def free(self, offset: int) -> None:
        """Free a block that nobody has any more."""
        space = Space(self._memory)
        HeapKeeper(space, os.getpid()).free(offset)
        self._tell(space)

    def has_left(self, offset: int, place: int) -> bool:
        """Whether a block is another's that was about to leave that place, whose process is dead."""
        tables = Space(self._memory).around(offset)
        holder = tables.holder(offset)
        if is_in_transit(holder) and self._loans.has_ended(offset, holder):
            tables.set_holder(offset, code_of(place))  # it was never sent
            return False
        return holder & 0xFFFF != code_of(place)

    def take(self, what: bytes, descriptors: Sequence[int]) -> None:
        (leash,) = descriptors
        self._loans.add(what, leash)

    def close(self) -> None:
        self._loans.close()
        self._memory.close()
        self._room.close()

    def _listen(self, descriptor: int, handler: Callable[[], None]) -> None:
        wards = self.wards
        wards.listen(descriptor, lambda: wards.have(self, handler))

    def _lost(self, offset: int, holder: int) -> None:
        """A block's leash has ended: if it is still on its way, nobody will get it."""
        space = Space(self._memory)
        if space.around(offset).holder(offset) != holder:
            return
        if any(offset in ward.in_flight(self.uid) for ward in self.wards):
            self._loans.keep(offset, holder)  # it came out of a queue: that sees to it, when its process has ended
            return
        HeapKeeper(space, os.getpid()).free(offset)
        self._tell(space)

    def _tell(self, space: Space) -> None:
        """Somebody may find memory now. The dead one may have taken a wake with it, so in any case."""
        room = Room(space.hint, self._room, "memory in a heap")
        room.announce()
        room.call()


def _keeper_of(memory: HeapMemory) -> HeapKeeper:
    return HeapKeeper(Space(memory), os.getpid())
