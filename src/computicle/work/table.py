"""Table: what the processes of a work queue know of each other, in memory that they share.

A page for all, three with a byte for each place, and a row for each place: a
head, and slots, into which its process takes records from the pipe.

Rules:
  1. Each field has one writer at a time: the process whose place it belongs to; of
     what is for all, whoever may change it in one direction only, or the keeper.
  2. A slot's state says all that is needed to put things right after a death. Only the
     keeper puts anything back into the pipe, so nothing is there twice.
  3. No process ever waits for another one to be done here.

Not here: the pipe (pipe.py), who takes (leases.py), who puts right (queue_keeper.py).

Sources: memfd_create(2).
"""

import itertools
import mmap
import os
from collections.abc import Iterator

from computicle.work.record import (
    BACK,
    DEAD,
    DROPPED,
    EMPTY,
    HELD,
    INLINE,
    KIND_AT,
    MOVING,
    NUMBER_AT,
    REVIVED,
    Span,
    record_size,
    span_in,
)
from computicle.work.sizes import rounded_up
from computicle.worlds.places import KEEPER, PLACES

__all__ = [
    "CLOSED",
    "DEAD_MAX",
    "DRAINED",
    "HINT",
    "INTENT",
    "MEMBERS",
    "NUDGED",
    "NUDGES",
    "PID",
    "PUT",
    "PUT_BEFORE",
    "RETURNED",
    "RETURNS",
    "SEVERAL",
    "SLEEPERS",
    "SOURCES",
    "TAKEN",
    "USED",
    "WAKES",
    "Table",
    "make_table_memory",
]

PAGE = 4096

# For all. Offsets in bytes.
CAPACITY = 0  # u32
MAX_TRIES = 4  # u32
HINT = 64  # somebody waits for room: the next one to make some says so
CLOSED = 65  # beside the hint: whoever finishes an item looks at both at once
DRAINED = 66  # and nothing is left, nor will be
SEVERAL = 67  # more than one process has put something in
NUDGED = 68  # there were records that are no items
RETURNS = 72  # u64: how often the keeper has put something back

# Pages with a byte for each place.
MEMBERS = PAGE  # it has a row, JOINED or LEFT
SOURCES = PAGE + PLACES  # it has put something in
SLEEPERS = PAGE + 2 * PLACES  # how many of its threads wait for something to come, or are about to; at most 255

ROWS = PAGE + 3 * PLACES

# In the head of a row. Offsets in bytes.
PID = 0  # u32
USED = 4  # u32: slots, from the first one, that were ever used
INTENT = 8  # u32: how many records it is about to put in
TAKEN = 16  # u64; these are counted as long as the queue lives
RETURNED = 24  # u64: given back
PUT = 32  # u64: items put in. By this they are numbered, so whoever is at that place next counts on
WAKES = 40  # u64: how often it was woken where something was to be taken
NUDGES = 48  # u64: how often it has passed a wake on
PUT_BEFORE = 56  # u64: of PUT, by those who were there before
HEAD = 64

JOINED = 1
LEFT = 2  # whoever was there has ended, and nobody has come since: what was put in there is counted on

DEAD_MAX = 256  # slots of the keeper's row, at most, are for what was tried too often
SPARE = 2 * DEAD_MAX  # slots beyond the capacity: for threads in the middle of a read, what has just been given back,
# and stretches of slots that lie together and are not all used

_NOBODY = bytes(PLACES)


class Table:
    """A view of it. Any process.

    Args:
        memory: the descriptor of the memory. It stays the caller's.
    """

    def __init__(self, memory: int) -> None:
        self.map = mmap.mmap(memory, os.fstat(memory).st_size)
        self.bytes = memoryview(self.map)
        self.ints = self.bytes.cast("I")
        self.longs = self.bytes.cast("Q")
        self.news = self.bytes[HINT : HINT + 2].cast("H")  # of both, hint and closed: mostly there is neither
        self.capacity = self.ints[CAPACITY // 4]
        self.max_tries = self.ints[MAX_TRIES // 4]
        self.record_size = record_size(self.capacity)
        self.row_size = _row_size(self.capacity)

    def row_at(self, place: int) -> int:
        """Where the row begins."""
        return ROWS + place * self.row_size

    def slots_at(self, place: int) -> int:
        """Where its slots begin."""
        return ROWS + place * self.row_size + HEAD

    def put(self, place: int) -> int:
        """How many items were ever put in there."""
        return self.longs[(self.row_at(place) + PUT) // 8]

    # Who is there.

    def join(self, place: int) -> None:
        """This process begins to use it."""
        self.ints[(self.row_at(place) + PID) // 4] = os.getpid()
        self.bytes[MEMBERS + place] = JOINED

    def leave(self, place: int) -> None:
        """Whoever was there has ended."""
        self.bytes[MEMBERS + place] = LEFT

    def has_joined(self, place: int) -> bool:
        """It is among the members."""
        return self.bytes[MEMBERS + place] == JOINED

    def ever_joined(self) -> list[int]:
        """The places with a row, whoever is there or not any more."""
        return [place for place, state in enumerate(self.map[MEMBERS:SOURCES]) if state]

    def members(self) -> Iterator[int]:
        """The places with a row that is in use, the keeper's not among them."""
        place = self.map.find(b"\1", MEMBERS + KEEPER + 1, SOURCES)
        while place != -1:
            yield place - MEMBERS
            place = self.map.find(b"\1", place + 1, SOURCES)

    def other_sources(self, place: int) -> bool:
        """Whether another process has put something in."""
        if self.map.find(b"\1", SOURCES, SOURCES + place) != -1:
            return True
        return self.map.find(b"\1", SOURCES + place + 1, SLEEPERS) != -1

    def anybody_asleep(self) -> bool:
        """Whether somebody waits for something to come, in any process."""
        return self.map[SLEEPERS:ROWS] != _NOBODY

    # What is leased.

    def states(self, place: int) -> bytes:
        """Of the slots that were ever used."""
        at = self.slots_at(place)
        used = self.ints[(self.row_at(place) + USED) // 4]
        return self.map[at : at + used * self.record_size : self.record_size]

    def held(self) -> int:
        """How many slots are not empty, of all processes, and how many of the dead are about to be put in again."""
        count = self.states(KEEPER).count(REVIVED)
        for place in self.members():
            states = self.states(place)
            count += len(states) - states.count(EMPTY)
        return count

    def intents(self, but: int) -> int:
        """How many records others are about to put in."""
        return sum(self.ints[(self.row_at(place) + INTENT) // 4] for place in self.members() if place != but)

    def spans_held(self, but: int = -1) -> Iterator[Span]:
        """Where in the heap the items lie that are in any slot, the dead ones too; but for the slot that begins there."""
        size = self.record_size
        for member in (KEEPER, *self.members()):
            begin = self.slots_at(member)
            for at, state in zip(itertools.count(begin, size), self.states(member), strict=False):
                if state != EMPTY and at != but:
                    span = span_in(bytes(self.bytes[at : at + size]))  # at once: its owner may be taking the next one
                    if span is not None:
                        yield span

    def numbers_held(self) -> Iterator[int]:
        """Of the items that are leased."""
        for member in self.members():
            for slot, state in enumerate(self.states(member)):
                at = self.slots_at(member) + slot * self.record_size
                if state != EMPTY and self.bytes[at + KIND_AT] >= INLINE:
                    yield self.ints[at // 4 + NUMBER_AT]

    # For people and tests.

    def check(self) -> None:
        """Assert the rules, while nobody is at it."""
        assert self.capacity > 0
        for place in self.members():
            assert set(self.states(place)) <= {EMPTY, HELD, BACK, MOVING}, (
                f"a slot of place {place} is in no possible state"
            )
        assert set(self.states(KEEPER)) <= {EMPTY, DEAD, REVIVED, DROPPED}
        assert self.held() <= self.capacity

    def dump(self) -> str:
        """What is there, line by line."""
        lines = [f"capacity {self.capacity}, records of {self.record_size} bytes"]
        for place in (KEEPER, *self.members()):
            states = self.states(place)
            row = self.row_at(place) // 8
            taken, put = self.longs[row + TAKEN // 8], self.longs[row + PUT // 8]
            held = "".join(str(state) for state in states) or "-"
            lines.append(f"place {place}: put {put}, taken {taken}, slots {held}")
        return "\n".join(lines)


def make_table_memory(capacity: int, max_tries: int) -> int:
    """The descriptor of new memory for one. It takes up what is used of it. Raises OSError if there is none."""
    memory = os.memfd_create("computicle queue", os.MFD_CLOEXEC)
    try:
        os.ftruncate(memory, ROWS + PLACES * _row_size(capacity))
        os.pwrite(memory, capacity.to_bytes(4, "little") + max_tries.to_bytes(4, "little"), 0)
    except BaseException:
        os.close(memory)
        raise
    return memory


def _row_size(capacity: int) -> int:
    return rounded_up(HEAD + (capacity + SPARE) * record_size(capacity), PAGE)
