"""Core: what one process has of a work queue, for all its threads.

Rules:
  1. As long as no other process has the queue, this one is its own keeper. Before another
     one gets it, the zygote is; from then on it is rung for what is to be put back.
  2. What is given back may be given back anywhere, in a finaliser too: that never waits.
  3. Room that was made is told of at once, if anybody waits for it: whoever made it may be
     busy with something else for as long as it likes from then on. Only if the one who waits
     is content with that (room.py, rule 5), each process tells of it after it has made room for an eighth of the
     capacity, or before it sleeps.
  4. In a forked child all of this is its parent's, and nothing is touched.

Not here: the words (queue.py), who waits (taker.py, room.py).
"""

import os
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from weakref import WeakSet, finalize

from computicle.engine.pipes import PipeEnd
from computicle.scheduler.fiber import Fiber
from computicle.work.fence import let_others_see
from computicle.work.gate import Gate
from computicle.work.leases import Leases
from computicle.work.pipe import WorkPipe
from computicle.work.queue_keeper import QueueKeeper
from computicle.work.record import Span
from computicle.work.room import LATE, Room, may_come_from_threads
from computicle.work.sleepers import Sleepers
from computicle.work.table import CLOSED, HINT, SEVERAL, WAKES, Table
from computicle.worlds.launcher import launcher
from computicle.worlds.places import NOWHERE
from computicle.worlds.wards import keeping

if TYPE_CHECKING:
    from computicle.work.heap import Heap

__all__ = ["Core", "Ends"]

T = TypeVar("T")

WARD = "computicle.work.queue_keeper:QueueWard"

_cores: "WeakSet[Core]" = WeakSet()  # of this process; each puts itself in, for a forked child to leave them alone


class Ends:
    """What a queue lies in, as descriptors: its table, its pipe, the pipe of those who wait for room."""

    def __init__(self, memory: PipeEnd, work: PipeEnd, room: PipeEnd) -> None:
        self.memory = memory
        self.work = work
        self.room = room

    def numbers(self) -> tuple[int, int, int]:
        """The descriptors."""
        return self.memory.number, self.work.number, self.room.number


class Core:
    """A work queue, as this process has it.

    Args:
        bell: if the zygote looks after it, what rings it.
    """

    def __init__(self, uid: bytes, ends: Ends, heap: "Heap", bell: PipeEnd | None) -> None:
        place = launcher.place
        if place == NOWHERE:
            raise RuntimeError("so many computicles are alive that this one cannot use a work queue")
        self.uid = uid
        self.heap = heap
        self.ends = ends
        self.bell = bell
        self.place = place
        self.left_behind = False  # by a fork
        self.table = Table(ends.memory.number)
        self.pipe = WorkPipe(ends.work, self.table.record_size)
        if bell is None:
            self.pipe.reserve()
        self.table.join(place)
        self.room = Room(
            self.table.bytes[HINT : HINT + 1],
            ends.room,
            "room in a work queue",
            is_one_alone=partial(_is_sole_source, self.table),
        )
        self.gate = Gate(self.table, self.pipe, place, self.room.call)
        self.gate.shared = bell is not None
        self.leases = Leases(self.table, self.pipe, place, self.room.announce)
        self.sleepers = Sleepers(self.table, place)
        self._bytes = self.table.bytes
        self._longs = self.table.longs
        self.news = self.table.news
        self._wakes = (self.table.row_at(place) + WAKES) // 8
        self._keeping = threading.Lock()
        self._keeper = QueueKeeper(self.table, self.pipe, self.room, partial(_free, heap)) if bell is None else None
        self._together = max(1, self.table.capacity // 8)
        self._untold = (
            0  # finished items, while the one who waits is content to be told late; roughly, of several threads
        )
        self._due = False  # for the keeper, while it is at something
        self._remains = _Remains(self)
        finalize(self, self._remains.clear).atexit = False
        _cores.add(self)

    @property
    def outside(self) -> bool:
        """Something may be put in, or finished, by another process or thread."""
        return self.bell is not None or may_come_from_threads()

    # What has been taken.

    def finished(self, slot: int) -> None:
        """The item in that slot is done, and its memory is nobody's."""
        self.leases.empty(slot)
        if self.news[0]:
            self.tell_news()

    def finished_stretch(self, stretch: range) -> None:
        """The items in a stretch of slots are done, and their memory is nobody's."""
        self.leases.empty_stretch(stretch)
        if self.news[0]:
            self.tell_news(len(stretch))

    def tell_news(self, finished: int = 1) -> None:
        """Somebody waits for room, or the queue is closed; and so many items are done."""
        if self._bytes[HINT] == LATE:
            self._untold += finished
            if self._untold >= self._together:
                self._untold = 0
                self.room.announce()
        else:
            self.room.announce()
        if self._bytes[CLOSED]:
            self.gate.settle()

    def about_to_sleep(self) -> None:
        """Nothing is there to be taken."""
        if self._untold:
            self._untold = 0
            self.room.announce()
        self.gate.settle()

    def check_usable(self) -> None:
        """Raise RuntimeError in a forked child."""
        if self.left_behind:
            raise RuntimeError("this work queue belongs to the process that has forked this one")

    def give_back(self, slot: int) -> None:
        """The item in that slot is for another one. Anywhere."""
        if self.left_behind:
            return
        self.leases.give_back(slot)
        self.call_keeper()

    def give_back_many(self, slots: list[int]) -> None:
        """The items in these slots are for others. Anywhere; never waits."""
        if self.left_behind:
            return
        for slot in slots:
            self.leases.give_back(slot)
        self.call_keeper()

    def call_keeper(self) -> None:
        """There is something for the keeper to see to. Anywhere."""
        if self.left_behind:
            return
        self._due = True
        if self.bell is not None:
            # It may be full of rings; or the zygote has not come to it yet, and will look of itself.
            with suppress(BlockingIOError, BrokenPipeError):
                os.write(self.bell.number, b"\0")
            return
        while self._due and self._keeping.acquire(blocking=False):  # else whoever has it looks again
            try:
                self._due = False
                if self._keeper is not None:
                    self._keeper.collect_dead()
                    self._keeper.collect(self.place)
            finally:
                self._keeping.release()

    def wait_for_room(self, me: Fiber, attempt: Callable[[], T | None], timeout: float | None) -> T:
        """Until the attempt brings something: see Room's `wait`. It must be able to use a single place."""
        self.room.outside = self.outside
        return self.room.wait(me, attempt, timeout)

    def count_wake(self) -> None:
        """Somebody was woken, to take something."""
        self._longs[self._wakes] += 1

    # Sharing.

    def keeping(self) -> tuple[bytes, Sequence[int]]:
        """The order to the zygote to look after it."""
        assert self.bell is not None
        return keeping(self.uid, WARD, self.heap.uid), (self.bell.number, *self.ends.numbers())

    def share(self) -> None:
        """Before another process gets it: the zygote looks after it from now on. Waits as `Launcher.ask` does."""
        with self._keeping:
            if self.bell is not None:
                return
            reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self.bell = PipeEnd(writing)
            self._keeper = None
            self._remains.others = self.gate.shared = True
        try:
            launcher.keep(self)
        finally:
            os.close(reading)
        self.call_keeper()  # for what came in between

    def leave_behind(self) -> None:
        """In a forked child."""
        self.left_behind = self._remains.others = True
        self.gate.leave_behind()


class _Remains:
    """What lies in a queue, once nobody has that any more, nor an item of it."""

    def __init__(self, core: Core) -> None:
        self._heap = core.heap
        self._pipe = core.pipe
        self._table = core.table
        self.others = core.bell is not None  # it is for others to see to

    def clear(self) -> None:
        """Free it."""
        if not self.others:
            for span in (*self._pipe.spans(), *self._table.spans_held()):
                _free(self._heap, span)


def _is_sole_source(table: Table) -> bool:
    """No other process puts something in."""
    let_others_see()  # what was said before
    return not table.bytes[SEVERAL]


def _free(heap: "Heap", span: Span) -> None:
    heap.claim(span.offset)
    heap.release(span.offset)


def _leave_all_behind() -> None:
    for core in [*_cores]:
        core.leave_behind()


os.register_at_fork(after_in_child=_leave_all_behind)
