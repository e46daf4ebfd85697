"""Gate: how many items a work queue takes in, and where they go in.

Rules:
  1. Queued and leased items together are no more than the capacity. They are not
     counted by anybody: the kernel knows how many are in the pipe, the rows what is leased.
     What moves meanwhile is counted twice, not missed; what the keeper puts back is noticed by its count.
  2. A process says how many it is about to put in, then looks, then writes. So two that
     do so at once see each other, and what has been closed is closed. They may both be refused: so
     who was, and leaves room, wakes one who waits; and looks first, the next time, so that
     no two go on refusing each other. Once others may be there, there is a fence between saying and looking (fence.py).
  3. As long as a process is the only one that puts something in, the room it has once seen
     is its own: taking makes more.
  4. It is drained once it is closed, nobody is about to put something in, and nothing is
     queued or leased.

Not here: who waits for room (room.py), what is put in (queue.py).
"""

import array
import threading
from collections.abc import Callable
from os import write

from computicle.engine.op import ClosedError
from computicle.work.fence import let_others_see
from computicle.work.pipe import PAGE, WorkPipe
from computicle.work.record import DRAINED as DRAINED_NOTE
from computicle.work.record import KIND_AT, NUMBER_AT, NUMBERS, PACK_PLAIN, PLAIN_WORD, inline, note
from computicle.work.table import (
    CLOSED,
    DRAINED,
    HINT,
    INTENT,
    NUDGED,
    NUDGES,
    PUT,
    RETURNS,
    ROWS,
    SEVERAL,
    SOURCES,
    Table,
)

__all__ = ["Gate"]

_ALL_CLOSED = memoryview(bytes((1,)) * ROWS)


class Gate:
    """The way in, for one process. Any of its threads.

    Args:
        call: wakes one who waits for room.
    """

    def __init__(self, table: Table, pipe: WorkPipe, place: int, call: Callable[[], None]) -> None:
        self._table = table
        self._call = call
        self._pipe = pipe
        self._place = place
        self._bytes = table.bytes
        self._ints = table.ints
        self._longs = table.longs
        self._capacity = table.capacity
        self.batch = PAGE // table.record_size  # records in one write, at most
        self._intent = (table.row_at(place) + INTENT) // 4
        self._put = (table.row_at(place) + PUT) // 8
        self._mine = place * NUMBERS  # which part of a number says whose it is
        self._pack = PACK_PLAIN[table.record_size]
        self._nudges = (table.row_at(place) + NUDGES) // 8
        self._lock = threading.Lock()  # between threads: an intent is the process's
        self.shared = False  # other processes may have the queue
        self._fence = threading.Lock()  # for who has the other one
        self._room = 0  # seen, and not used since
        self._refused = False  # the last time

    @property
    def closed(self) -> bool:
        """Nothing more goes in."""
        return bool(self._bytes[CLOSED])

    @property
    def drained(self) -> bool:
        """Nothing more goes in, and all is done."""
        return bool(self._bytes[DRAINED])

    def put_small(self, pickled: bytes) -> bool:
        """As `put`, the record of a plain pickle that fits in."""
        # Where nobody else puts something in, and there is room, as `put`, but shorter: 0.3 us of 2 (bench/queueing.py).
        if self._room > 0 and not self._bytes[SEVERAL]:
            try:
                with self._lock:
                    self._ints[self._intent] = 1
                    try:
                        if self.shared:  # `let_others_see`, written out, with a lock that is there already
                            self._fence.acquire(False)
                            self._fence.release()
                        if self._room > 0 and not self._bytes[SEVERAL] and not self._bytes[CLOSED]:
                            longs = self._longs
                            longs[self._put] = (put := longs[self._put]) + 1
                            self._room -= 1  # before it is in, too: an interrupt may strike in between
                            write(self._pipe.number, self._pack(PLAIN_WORD, self._mine + put % NUMBERS, pickled))
                            return True
                    finally:
                        self._ints[self._intent] = 0
            finally:
                if self._bytes[CLOSED]:
                    self.settle()
        return self.put(inline(pickled, self._table.record_size), 1)

    def put(self, records: bytes | memoryview, count: int) -> bool:
        """Number `count` records, no more than `batch`, and put them in. False: there is no room for all. Never waits.

        Args:
            records: memory of them is written to.

        Raises:
            ClosedError: the queue is closed.
        """
        try:
            with self._lock:
                ints, longs = self._ints, self._longs
                if self._refused and self._is_full(count):
                    return False
                ints[self._intent] = count
                try:
                    if self.shared:  # `let_others_see`, written out, with a lock that is there already
                        self._fence.acquire(False)
                        self._fence.release()
                    if self._bytes[CLOSED]:
                        self.check_open()
                    if self._room < count or self._bytes[SEVERAL]:
                        self._room = self._look(count)
                    if self._room >= count:
                        put = longs[self._put]
                        # Before they are in: whoever is at this place next must not give a number again.
                        longs[self._put] = put + count
                        self._room -= count  # an interrupt may strike in between
                        write(self._pipe.number, self._numbered(records, put % NUMBERS, count))
                        self._refused = False
                        return True
                except BlockingIOError:
                    pass  # which cannot be, as long as the capacity is kept (pipe.py)
                finally:
                    ints[self._intent] = 0
                self._withdraw()
                return False
        finally:
            # Whoever looked whether all is done may have seen the intent, and left it at that. The lock has been
            # released in between, so others can see that it is gone.
            if self._bytes[CLOSED]:
                self.settle()

    def put_some(self, records: bytes | memoryview, count: int) -> int:
        """As `put`, as many of them as there is room for, the first ones; how many. Never waits."""
        count = min(count, self._look(count))
        if count > 0 and self.put(records[: count * self._table.record_size], count):
            return count
        self.check_open()
        return 0

    def revive(self, mark: Callable[[], None]) -> bool:
        """Have a dead item marked for the keeper to put in. False: there is no room for it. Never waits. Raises as `put`."""
        try:
            with self._lock:
                if self._refused and self._is_full(1):
                    return False
                self._ints[self._intent] = 1
                try:
                    let_others_see()
                    self.check_open()
                    self._room = self._look(1)
                    if self._room >= 1:
                        self._room -= 1
                        mark()
                        self._refused = False
                        return True
                finally:
                    self._ints[self._intent] = 0
                self._withdraw()
                return False
        finally:
            if self._bytes[CLOSED]:
                self.settle()

    def _numbered(self, records: bytes | memoryview, number: int, count: int) -> memoryview:
        numbered = memoryview(bytearray(records)) if isinstance(records, bytes) else records
        if number + count <= NUMBERS:
            numbers = array.array("I", range(self._mine + number, self._mine + number + count))
        else:
            numbers = array.array("I", [self._mine + each % NUMBERS for each in range(number, number + count)])
        numbered.cast("I")[NUMBER_AT :: self._table.record_size // 4] = memoryview(numbers)
        return numbered

    def leave_behind(self) -> None:
        """In a forked child: the place is its parent's, and a lock may have been held there."""
        self._bytes = _ALL_CLOSED
        self._ints = memoryview(bytearray(4)).cast("I")
        self._intent = 0
        self._lock, self._fence = threading.Lock(), threading.Lock()

    def check_open(self) -> None:
        """Raise ClosedError if nothing more goes in."""
        if self._bytes is _ALL_CLOSED:
            raise RuntimeError("this work queue belongs to the process that has forked this one")
        if self._bytes[CLOSED]:
            raise ClosedError("the work queue is closed: nothing more can be put in")

    def _is_full(self, count: int) -> bool:
        """There is no room for so many, whatever others are about to do."""
        self.check_open()
        return self._look(count, intents=False) < count

    def _withdraw(self) -> None:
        """What it was about to put in may have kept others from doing so, who wait now."""
        self._refused = True
        if self._bytes[HINT] and self._look(1, intents=False) > 0:
            self._call()

    def _look(self, wanted: int, *, intents: bool = True) -> int:
        """How much room there is, at least, less what others are about to put in; exactly, if less than is wanted."""
        if not self._bytes[SOURCES + self._place]:
            self._bytes[SOURCES + self._place] = 1
            let_others_see()
            if self._table.other_sources(self._place):
                self._bytes[SEVERAL] = 1
                let_others_see()
        room = self._count_room(self._pipe.length, intents=intents)
        if room < wanted and self._bytes[NUDGED]:
            room = self._count_room(self._pipe.items, intents=intents)  # some of what is in the pipe may be no items
        return room

    def _count_room(self, count_queued: Callable[[], int], *, intents: bool) -> int:
        while True:
            returns = self._longs[RETURNS // 8]
            # In this order: what goes in meanwhile, or is taken, is then counted twice.
            others = self._table.intents(self._place) if intents and self._bytes[SEVERAL] else 0
            queued = count_queued()
            held = self._table.held()
            if self._longs[RETURNS // 8] == returns:
                return self._capacity - others - queued - held

    def nudge(self) -> None:
        """Wake one more who waits for something to come."""
        self._bytes[NUDGED] = 1
        self._longs[self._nudges] += 1
        self._pipe.nudge()

    def pass_on(self) -> None:
        """This process was woken: if there is more than it has taken, and others sleep, wake the next one."""
        if self._table.anybody_asleep() and self._pipe.length():
            self.nudge()

    def items(self) -> int:
        """How many are queued."""
        if self._bytes[NUDGED] or self._bytes[DRAINED]:
            return self._pipe.items()
        return self._pipe.length()

    def first_numbers(self) -> list[int]:
        """Of each place: the first number of those that are in, or else the next one, whoever will be there then."""
        table, size = self._table, self._table.record_size
        nexts = {place: table.put(place) % NUMBERS for place in table.ever_joined()}
        ages = dict.fromkeys(nexts, 0)  # of the oldest of each that is in: how many numbers ago
        for number in (*_numbers_in(self._pipe.peek(), size), *table.numbers_held()):
            place, number = divmod(number, NUMBERS)
            begin = nexts.setdefault(place, table.put(place) % NUMBERS)
            age = (begin - number) % NUMBERS
            if age < NUMBERS // 2:  # else it has been put in since
                ages[place] = max(ages.get(place, 0), age)
        return [place * NUMBERS + (nexts[place] - age) % NUMBERS for place, age in ages.items()]

    def close(self) -> None:
        """Nothing more goes in."""
        self._bytes[CLOSED] = 1
        let_others_see()
        for _ in range(
            2
        ):  # who finishes the last item may have looked too early, and be seen late: see room.py, rule 1
            self.settle()

    def settle(self) -> None:
        """If it is drained, tell all who wait."""
        if self._bytes[CLOSED] and not self._bytes[DRAINED] and self._is_empty():
            self._bytes[DRAINED] = 1
            self._pipe.write(note(DRAINED_NOTE, self._table.record_size))

    def _is_empty(self) -> bool:
        returns = self._longs[RETURNS // 8]
        if self._table.intents(-1) or self.items() or self._table.held():
            return False
        return self._longs[RETURNS // 8] == returns


def _numbers_in(records: bytes, size: int) -> list[int]:
    """Of the items among records."""
    starts = range(0, len(records), size)
    return [int.from_bytes(records[at + 4 : at + 8], "little") for at in starts if records[at + KIND_AT] > DRAINED_NOTE]
