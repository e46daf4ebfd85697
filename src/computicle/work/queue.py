"""Queue: the words of a work queue, which many computicles put items into and take items from.

Rules:
  1. Items come out in the order in which they went in. Those that are given back
     go behind the others.
  2. Each is taken by one, who has it leased until it is finished. If that one dies or
     gives it back, another one gets it.
  3. A Block moves: as soon as it is in, whoever put it in has it no more. Any other object
     is packed, small ones into the record itself, others into a block of the queue's heap.

Not here: how many fit in (gate.py), who waits (taker.py, room.py), leases (item.py), the
memory (heap.py).
"""

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any
from weakref import WeakKeyDictionary, finalize

from computicle.engine.op import ClosedError
from computicle.engine.pipes import PipeEnd
from computicle.scheduler.arguments import checked_count, checked_timeout
from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.line import Line, Taken
from computicle.scheduler.word import entering
from computicle.work.batch import Batch
from computicle.work.block import Block
from computicle.work.core import Core, Ends
from computicle.work.dead import Dead
from computicle.work.heap import Heap
from computicle.work.item import Item
from computicle.work.leases import NOTHING, OVER
from computicle.work.load import Load
from computicle.work.parts import lay_out, parts_size
from computicle.work.pipe import make_pipe, make_work_pipe
from computicle.work.record import (
    HEAD_SIZE,
    PARTS,
    PICKLE,
    RAW,
    SMALL_COUNT_MAX,
    TRIES_MAX,
    Span,
    in_heap,
    inline,
    record_size,
)
from computicle.work.stats import QueueStats, stats_of
from computicle.work.table import make_table_memory
from computicle.work.taker import Taker, over
from computicle.worlds.codec import Pieces, pack_pieces, take_descriptors
from computicle.worlds.known import Known
from computicle.worlds.launcher import launcher
from computicle.worlds.parcel import carry_descriptors, check_carried
from computicle.worlds.plain import pickle_plain

__all__ = ["WorkQueue"]

HEAP_SIZE = 1 << 30  # bytes, of a heap that nobody gave. It takes up what is used of it
DESCRIPTORS = 4  # of a queue, beside its heap's

_known: "Known[WorkQueue]" = Known()  # a forked child leaves their cores behind


class WorkQueue:
    """Items for whoever comes to take one: fibers and computicles, many at both ends.

    It can be passed to any other computicle, by argument or message, and is the same queue there. Iterating takes one
    Item after the other: to ask for the next one finishes the last; to leave early gives it back. The loop ends when the
    queue is closed, and nothing is queued or leased. Its len() is how many items are queued.

    Args:
        capacity: how many items may be queued and leased, together.
        heap: where items lie that are not small. Without one, the queue has one of its own.
        max_tries: how many may take an item and not finish it. Then it is put with the dead.

    Attributes:
        heap: as given, or its own.
        capacity, max_tries: as given.

    Raises:
        TypeError: a number is none.
        ValueError: the capacity is more than a pipe holds, or a number is less than 1.
        RuntimeError: not on Linux, or more than 4,094 computicles are alive.
        OSError: the system allows no such pipe, or has no descriptors left.
    """

    def __init__(self, capacity: int, heap: Heap | None = None, *, max_tries: int = 3) -> None:
        checked_count("WorkQueue", "capacity", capacity, 1)
        checked_count("WorkQueue", "max_tries", max_tries, 1)
        if capacity > SMALL_COUNT_MAX:
            raise ValueError(f"WorkQueue: capacity must be {SMALL_COUNT_MAX} or less, not {capacity}")
        if max_tries > TRIES_MAX:
            raise ValueError(f"WorkQueue: max_tries must be {TRIES_MAX} or less, not {max_tries}")
        if heap is not None and not isinstance(heap, Heap):
            raise TypeError(f"WorkQueue: heap must be a Heap, not {heap!r}")
        if sys.platform != "linux":
            raise RuntimeError("work queues need Linux so far (memfd_create, tee)")
        heap = Heap(HEAP_SIZE) if heap is None else heap
        memory = PipeEnd(make_table_memory(capacity, max_tries))
        ends = Ends(memory, make_work_pipe(capacity, record_size(capacity)), make_pipe())
        self._open(Core(os.urandom(8), ends, heap, None))
        _known.note(self._core.uid, self)

    def _open(self, core: Core) -> None:
        self._core = core
        self.heap = core.heap
        self.capacity = core.table.capacity
        self.max_tries = core.table.max_tries
        self.gate = core.gate
        self.record_size = core.table.record_size
        self.inline_max = self.record_size - HEAD_SIZE
        self._takers: WeakKeyDictionary[Kernel, Taker] = WeakKeyDictionary()  # each thread writes its own entry only
        self._recent: tuple[Kernel | None, Any] = (None, None)  # who has taken something last
        finalize(self, _close, self._takers).atexit = False

    # Putting in.

    def enqueue(self, item: Any, timeout: float | None = None) -> None:
        """Put an item in. Waits while the queue is full, or its heap is.

        Raises:
            ClosedError: the queue is closed.
            TimeoutError: there was no room within `timeout` seconds. The item is not in, and a Block still yours.
            TypeError: some part of it cannot be carried, or cannot lie in memory.
            BufferError: it is a Block with live views.
            Moved: it is a Block that has moved already.
            ValueError: it is larger than the heap; or a Block of another heap.
        """
        if timeout is not None:
            timeout = checked_timeout("enqueue", timeout)
        me = entering()
        me.credit -= 1
        data = pickle_plain(item)
        if data is not None and len(data) <= self.inline_max:
            if not self.gate.put_small(data):
                self.put_when_room(me, inline(data, self.record_size), 1, timeout)
            return
        if isinstance(item, Block):
            self.enqueue_block(me, item, timeout)
            return
        began = me.kernel.now() if timeout is not None else 0.0
        pieces, room = self.pieces(item, data)
        record, span = self.laid_out(pieces, self.reserve(me, room, timeout))
        try:
            if not self.gate.put(record, 1):
                if timeout is not None:
                    timeout = max(0.0, timeout - (me.kernel.now() - began))
                self.put_when_room(me, record, 1, timeout)
        except BaseException:
            if span is not None:
                self.heap.release(span.offset)
            raise

    def enqueue_many(self, items: Iterable[Any], timeout: float | None = None) -> None:
        """Put in all of them, in order, many at once. Waits while the queue is full.

        Where it raises, the first of them are in; a note of the error says how many.

        Args:
            items: may wait for the next one, but not for what comes of those before it: they may not be in yet.
            timeout: seconds that it may wait for room without any having come.

        Raises: as `enqueue`.
        """
        timeout = checked_timeout("enqueue_many", timeout)
        me = entering()
        me.credit -= 1
        self._core.check_usable()
        Load(self, me, timeout).put_all(items)

    def close(self) -> None:
        """Nothing more is put in. Who takes gets what is left, and is then told that this was all. Never waits."""
        self._core.check_usable()
        self.gate.close()
        self._core.room.call()  # who waits for room is told
        self.heap.have_all_look()  # and who waits for memory, to put something in

    @property
    def closed(self) -> bool:
        """It has been closed, by anybody."""
        self._core.check_usable()
        return self.gate.closed

    # Taking.

    def dequeue(self, timeout: float | None = None) -> Item:
        """Take the next item. Waits while there is none.

        Raises:
            ClosedError: the queue is closed, and nothing is queued or leased.
            TimeoutError: none came within `timeout` seconds.
        """
        if timeout is not None:
            timeout = checked_timeout("dequeue", timeout)
        me = entering()
        me.credit -= 1
        kernel, taker = self._recent
        return (taker if kernel is me.kernel else self._taker(me)).take(me, timeout)

    def dequeue_many(self, count: int, timeout: float | None = None) -> Batch:
        """Take up to `count` items: as many as are there, at least one. Waits while there is none.

        Gets one, if others of this thread wait already. Raises as `dequeue`.
        """
        checked_count("dequeue_many", "count", count, 1)
        timeout = checked_timeout("dequeue_many", timeout)
        me = entering()
        me.credit -= 1
        return self._taker(me).take_many(me, min(count, self.capacity), timeout)

    def __iter__(self) -> Iterator[Item]:
        while True:
            try:
                item = self.dequeue()
            except ClosedError:
                return
            try:  # Item's `lend`, written out: a generator for each item is 0.1 us of 2.4
                yield item
            except BaseException:
                if item.leased:
                    item.give_back()
                raise
            if item.leased:
                item.finish()

    @property
    def dead(self) -> Dead:
        """The items that were tried too often."""
        self._core.check_usable()
        return Dead(self._core)

    def take(self) -> Taken | None:
        """For select: an item, if there is one now. Raises ClosedError."""
        me = here().fiber
        slot = self._taker(me).try_take()
        if slot == OVER:
            raise over()
        return None if slot == NOTHING else Taken(Item(self._core, slot))

    def taking_line(self) -> Line:
        """For select: where to stand until an item comes."""
        me = here().fiber
        return self._taker(me).line(me)

    def __len__(self) -> int:
        self._core.check_usable()
        return self.gate.items()

    def __repr__(self) -> str:
        if self._core.left_behind:
            return "<WorkQueue of the process that has forked this one>"
        state = "closed, " if self.closed else ""
        return f"<WorkQueue {state}{len(self)} queued, {self._core.table.held()} leased, of {self.capacity}>"

    def __reduce__(self) -> Any:
        core = self._core
        core.check_usable()
        check_carried(self)
        core.share()
        assert core.bell is not None
        place = carry_descriptors(self, (*core.ends.numbers(), core.bell.number))
        return _arrive, (core.uid, self.heap, place)

    def stats(self) -> QueueStats:
        """What was done, and who has what. Never waits."""
        self._core.check_usable()
        return stats_of(self._core.table, self.gate)

    def first_numbers(self) -> list[int]:
        """Of each producer: the number of its first item that is queued or leased, or else of its next one."""
        self._core.check_usable()
        return self.gate.first_numbers()

    def check(self) -> None:
        """Assert the rules, while nobody is at it: for tests."""
        self._core.table.check()

    def dump(self) -> str:
        """What is in it and who has what, for people."""
        return self._core.table.dump()

    # The ways in, for this room.

    def _taker(self, me: Fiber) -> Taker:
        taker = self._takers.get(me.kernel)
        if taker is None:
            self._core.check_usable()
            taker = self._takers[me.kernel] = Taker(self._core, me)
        self._recent = (me.kernel, taker)
        return taker

    def put_when_room(self, me: Fiber, records: bytes | memoryview, count: int, timeout: float | None) -> int:
        """Put in the first ones of these records as soon as there is room for any; how many. Waits."""
        return self._core.wait_for_room(me, lambda: self.gate.put_some(records, count) or None, timeout)

    def enqueue_block(self, me: Fiber, block: Block, timeout: float | None) -> None:
        """Put a Block in: it moves, last. Waits, and raises, as `enqueue`."""
        if block.heap is not self.heap:
            raise ValueError("the block is of another heap: make the queue with that heap, WorkQueue(capacity, heap)")

        def put() -> bool | None:
            span = Span(*block.give_up())
            done = False
            try:
                done = self.gate.put(in_heap(RAW, span, self.record_size), 1)
            finally:
                if not done:
                    block.take_back()
            if done:
                block.arrived()
            return done or None

        if not put():
            self._core.wait_for_room(me, put, timeout)

    def pieces(self, item: Any, data: bytes | None) -> tuple[Pieces, int]:
        """Pack an item: its pieces, and how many bytes of the heap they take; 0 if they fit into a record.

        Args:
            data: its pickle, if it is there already.

        Raises: TypeError, ValueError, as `enqueue`.
        """
        pieces = pack_pieces(item) if data is None else Pieces(data, False, [])
        room = parts_size(pieces) if pieces.buffers else len(pieces.data)
        if room <= self.inline_max:
            room = 0
        self.heap.check_fits("enqueue", room)
        return pieces, room

    def reserve(self, me: Fiber, room: int, timeout: float | None) -> int:
        """Where in the heap there are so many bytes for an item; for none, 0. Waits. Raises ClosedError."""
        self.gate.check_open()
        return self.heap.reserve(me, room, timeout, self.gate.check_open) if room else 0

    def laid_out(self, pieces: Pieces, offset: int) -> tuple[bytes, Span | None]:
        """Write packed pieces to `offset` of the heap, or into a record if that is 0: the record, and where they lie.

        Never waits.
        """
        size, by_value = self.record_size, pieces.by_value
        if not offset:
            return inline(pieces.data, size, by_value=by_value), None
        if pieces.buffers:
            span = Span(offset, parts_size(pieces))
            lay_out(pieces, self.heap.memory(*span))
            return in_heap(PARTS, span, size, by_value=by_value), span
        span = Span(offset, len(pieces.data))
        self.heap.memory(*span)[:] = pieces.data
        return in_heap(PICKLE, span, size, by_value=by_value), span


def _arrive(uid: bytes, heap: Heap, place: int) -> WorkQueue:
    """As it is unpacked."""

    def make() -> WorkQueue:
        memory, work, room, bell = (PipeEnd(descriptor) for descriptor in take_descriptors(place, DESCRIPTORS))
        queue = WorkQueue.__new__(WorkQueue)
        core = Core(uid, Ends(memory, work, room), heap, bell)
        launcher.note(core)
        queue._open(core)
        return queue

    return _known.arrived(uid, make)


def _close(takers: "WeakKeyDictionary[Kernel, Taker]") -> None:
    """It has been dropped."""
    for taker in [*takers.values()]:
        taker.close()
