"""Heap: shared memory that blocks are allocated from, by all computicles that have been given it.

Rules:
  1. Each process allocates from an arena of its own, and frees blocks wherever they lie. No process ever
     waits for another one that is in the middle of something.
  2. In one process there is one Heap for a heap, however often it arrives.
  3. Within a process one thread at a time allocates or frees. To free never waits, for it
     may be done by a finaliser, which strikes anywhere: what cannot be freed at once is
     freed by whoever is at it.
  4. Memory that is asked for and not there is waited for, until somebody frees some.

Not here: where blocks lie (arena.py), what they are (owned.py), the dead (heap_keeper.py).
"""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, cast

from computicle.engine.pipes import PipeEnd, pipe_pair
from computicle.scheduler.arguments import checked_count, checked_timeout
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.word import entering
from computicle.work.arena import Arena
from computicle.work.block import Block
from computicle.work.codes import own_place
from computicle.work.layout import SIZE_MAX, Layout
from computicle.work.ledger import HeapShare, share_of
from computicle.work.memory import HeapMemory
from computicle.work.owned import Lease
from computicle.work.pipe import make_pipe
from computicle.work.room import Room, may_come_from_threads
from computicle.work.sizes import counted
from computicle.work.space import Space
from computicle.work.survey import check as check_space
from computicle.work.survey import dump as dump_space
from computicle.work.wants import Wants
from computicle.worlds.codec import take_descriptors
from computicle.worlds.known import Known
from computicle.worlds.launcher import launcher
from computicle.worlds.parcel import carry_descriptors, check_carried
from computicle.worlds.wards import keeping

__all__ = ["Heap", "HeapStats"]

WARD = "computicle.work.heap_keeper:HeapWard"
DESCRIPTORS = 3  # that a heap travels by

_known: "Known[Heap]" = Known(lambda heap: heap._leave_behind())


class HeapStats(NamedTuple):
    """What there is in a heap. While others use it, some of it may be newer than the rest."""

    size: int  # bytes, as given
    used: int  # bytes that the blocks count which are alive
    blocks: int  # that are alive
    allocated: int  # bytes, ever
    freed: int
    places: dict[int, HeapShare]  # by place: who allocated and freed


class Heap:
    """Memory that this process and others allocate blocks from, and hand to each other.

    It can be passed to any other computicle, by argument or message, and is the same heap there. Its memory is the
    system's again when nobody has it any more.

    Args:
        size: bytes that all blocks may have together. They are taken from the system only as they are used. Each block
            counts a little more than it has: up to a quarter, or 64 bytes.

    Attributes:
        size: as given.

    Raises:
        TypeError, ValueError: the size is no number, or less than 1, or more than 1 TiB.
        RuntimeError: not on Linux, or more than 4,094 computicles are alive.
        OSError: the system does not have the memory.
    """

    def __init__(self, size: int) -> None:
        checked_count("Heap", "size", size, 1)
        if size > SIZE_MAX:
            raise ValueError(f"Heap: size must be {SIZE_MAX} or less, not {size}")
        if sys.platform != "linux":
            raise RuntimeError("heaps need Linux so far (memfd_create)")
        layout = Layout.of(size, counted(size))
        self._attach(os.urandom(8), HeapMemory.make(layout), make_pipe(), None)
        _known.note(self.uid, self)

    def _attach(self, uid: bytes, memory: HeapMemory, room: PipeEnd, bell: PipeEnd | None) -> None:
        self.uid = uid
        self.left_behind = False  # by a fork
        self._memory = memory
        self._bell = bell  # once the zygote looks after it
        self._space = Space(memory)
        self.size = self._space.layout.size
        self._arena = Arena(self._space, own_place(), os.getpid())
        self._room = Room(self._space.hint, room, "memory in a heap", Wants(self._space, own_place()))
        self._lock = threading.Lock()
        self._late: deque[int] = deque()  # to be freed by whoever has the lock, or has had it
        self._sharing = threading.Lock()

    def alloc(self, n: int, timeout: float | None = None) -> Block:
        """A block of n bytes, whatever they were used for before. Waits while there are not so many.

        Raises:
            TimeoutError: there were not, within `timeout` seconds.
            ValueError: there never will be: the whole heap is smaller.
        """
        checked_count("alloc", "n", n, 1)
        timeout = checked_timeout("alloc", timeout)
        self.check_fits("alloc", n)
        me = entering()
        me.credit -= 1
        offset = self._reserve(me, n, timeout)
        try:
            return Block(self, offset, n, _where())
        except BaseException:
            self.release(offset)
            raise

    # For who knows what lies where.

    def reserve(self, me: Fiber, n: int, timeout: float | None, check: Callable[[], None] | None = None) -> int:
        """Where n bytes are that this place holds now. Waits, and raises as `alloc` does.

        Args:
            check: raises if they are not wanted any more. Whoever changes what it looks at calls `have_all_look`.
        """
        self.check_fits("reserve", n)
        return self._reserve(me, n, timeout, check)

    def have_all_look(self) -> None:
        """Who waits for memory may not want it any more. Never waits."""
        self._room.have_all_look()

    def try_reserve(self, n: int) -> int | None:
        """Where n bytes are that this place holds now; None if there are not so many free. Never waits."""
        arena = self._arena
        with self._lock:
            offset = arena.alloc(n)
        if self._late:
            self._free_late()
        if arena.ledger.withdrawn:
            arena.ledger.withdrawn = False
            self._room.announce()
        return offset or None

    def memory(self, offset: int, n: int) -> memoryview:
        """The n bytes there. Nobody counts this view."""
        tables = self._space.around(offset)
        start = offset - tables.first
        return tables.memory[start : start + n]

    def claim(self, offset: int) -> None:
        """This place holds what is there. It was handed here by who has held it."""
        self._space.around(offset).set_holder(offset, self._arena.ledger.code)

    def depart(self) -> int:
        """The holder of the next block that sets out from here, while it is on its way."""
        with self._lock:
            return self._arena.ledger.depart()

    def set_holder(self, offset: int, holder: int) -> None:
        """This place holds what is there no more, but `holder` does."""
        self._space.around(offset).set_holder(offset, holder)

    def release(self, offset: int) -> None:
        """Free what is there, which this place holds. Never waits. Any thread, and in the middle of anything."""
        arena = self._arena
        if self._lock.acquire(False):
            try:
                arena.free(offset)
            finally:
                self._lock.release()
        else:
            arena.check_held(offset)
            self._late.append(offset)
        if self._late:
            self._free_late()
        self._room.announce()

    def wrap(self, offset: int, n: int, where: str = "", lease: Lease | None = None) -> Block:
        """A Block of what is there, which this place holds.

        Args:
            where: file:line, to be named if it is dropped. Empty: nobody knows.
            lease: if it is on loan, on which.
        """
        return Block(self, offset, n, where, lease)

    @property
    def number(self) -> int:
        """The descriptor of its file."""
        return self._memory.number

    # For people and tests.

    def stats(self) -> HeapStats:
        """How much is in use, and by whom."""
        places = {place: share_of(self._space, place) for place in self._space.places()}
        allocated = sum(share.allocated for share in places.values())
        freed = sum(share.freed for share in places.values())
        blocks = sum(share.allocated_blocks - share.freed_blocks for share in places.values())
        return HeapStats(self.size, allocated - freed, blocks, allocated, freed, places)

    def check(self) -> None:
        """Assert the rules, while nobody is at it: for tests."""
        with self._lock:
            assert not self._late
            self._arena.check()
            check_space(self._space)

    def dump(self) -> str:
        """What there is, by place and by length, for people."""
        return dump_space(self._space)

    def __repr__(self) -> str:
        if self.left_behind:
            return "<Heap of the process that has forked this one>"
        return f"<Heap of {self.size} bytes, {self.stats().used} in use>"

    # Travelling.

    def __reduce__(self) -> Any:
        check_carried(self)
        self.share()
        assert self._bell is not None
        place = carry_descriptors(self, (self._memory.number, self._room.end.number, self._bell.number))
        return _arrive, (self.uid, place)

    def keeping(self) -> tuple[bytes, Sequence[int]]:
        """The order to the zygote to look after it."""
        assert self._bell is not None
        return keeping(self.uid, WARD, None), (self._bell.number, self._memory.number, self._room.end.number)

    def share(self) -> None:
        """Before another process gets it: the zygote looks after it from now on. Waits as `Launcher.ask` does."""
        with self._sharing:
            if self._bell is None:
                self._bell, reading = pipe_pair()
                launcher.keep(self)
                reading.close()  # only now: the zygote opens its own through the other end

    def _leave_behind(self) -> None:
        """In a forked child."""
        self.left_behind = True
        self._space = self._arena = cast("Any", _LeftBehind())
        for end in (self._memory, self._room.end, self._bell):
            if end is not None:
                end.close()

    # Within.

    def _reserve(self, me: Fiber, n: int, timeout: float | None, check: Callable[[], None] | None = None) -> int:
        offset = self.try_reserve(n)
        if offset is not None:
            return offset

        def attempt() -> int | None:
            if check is not None:
                check()
            return self.try_reserve(n)

        self._room.outside = self._bell is not None or may_come_from_threads()
        return self._room.wait(me, attempt, timeout, counted(n))

    def _free_late(self) -> None:
        """What was to be freed while somebody had the lock."""
        while self._late and self._lock.acquire(False):
            try:
                while self._late:
                    self._arena.free(self._late.popleft())
            finally:
                self._lock.release()
            self._room.announce()

    def check_fits(self, word: str, n: int) -> None:
        """Raise ValueError if there never will be so many bytes."""
        if n > self.size:
            raise ValueError(f"{word}: {n} bytes do not fit into a heap of {self.size} bytes")


class _LeftBehind:
    """In the place of what belongs to the parent."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError("this heap belongs to the process that has forked this one")


def _where() -> str:
    """The program's own line that is being run, as file:line."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("computicle."):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _arrive(uid: bytes, place: int) -> Heap:
    """As it is unpacked."""

    def make() -> Heap:
        memory, room, bell = take_descriptors(place, DESCRIPTORS)
        heap = Heap.__new__(Heap)
        heap._attach(uid, HeapMemory(memory), PipeEnd(room), PipeEnd(bell))
        launcher.note(heap)
        return heap

    return _known.arrived(uid, make)
