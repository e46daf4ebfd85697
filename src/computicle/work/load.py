"""Load: items that are put into a work queue together, as many as fit into one write.

Rules:
  1. They go in in order. What has been packed goes in before anything is waited for: those who are
     to make room may wait for just that.
  2. If it ends in an error, what is in stays in, and what was packed and is not in takes up no memory.

Not here: what goes in one by one (queue.py).
"""

from collections.abc import Iterable
from pickle import dumps
from typing import TYPE_CHECKING, Any

from computicle.scheduler.fiber import Fiber
from computicle.work.block import Block
from computicle.work.record import PADS, WHOLE_HEADS, Span
from computicle.worlds.codec import PLAIN, pickle_plain

if TYPE_CHECKING:
    from computicle.work.queue import WorkQueue

__all__ = ["Load"]


class Load:
    """What is on its way in, of one call."""

    def __init__(self, queue: "WorkQueue", me: Fiber, timeout: float | None) -> None:
        self._queue = queue
        self._me = me
        self._timeout = timeout
        self._put = 0  # items that are in
        self._parts: list[bytes] = []  # of the records of those that are not
        self._count = 0  # of these
        self._spans: list[Span] = []  # where such lie in the heap

    def put_all(self, items: Iterable[Any]) -> None:
        """Put them in. Waits for room, and for memory. Raises as `enqueue`, with a note how many are in."""
        queue = self._queue
        inline_max, most = queue.inline_max, min(queue.gate.batch, queue.capacity)
        heads, pads = WHOLE_HEADS, PADS[queue.record_size]
        parts = self._parts
        try:
            for item in items:
                data = dumps(item, 5) if type(item) in PLAIN else pickle_plain(item)
                if data is not None and len(data) <= inline_max:
                    length = len(data)
                    parts += (heads[length], data, pads[length])
                elif isinstance(item, Block):
                    self._flush()
                    queue.enqueue_block(self._me, item, self._timeout)
                    self._put += 1
                    continue
                else:
                    self._add_other(item, data)
                self._count += 1
                if self._count == most:
                    self._flush()
            self._flush()
        except BaseException as error:
            for span in self._spans:
                queue.heap.release(span.offset)
            error.add_note(f"{self._put} items were put into the work queue before that")
            raise

    def _add_other(self, item: Any, data: bytes | None) -> None:
        """One that does not fit into a record, or goes by value."""
        queue = self._queue
        pieces, room = queue.pieces(item, data)
        offset = queue.heap.try_reserve(room) if room else 0
        if offset is None:
            self._flush()
            offset = queue.heap.reserve(self._me, room, self._timeout)
        record, span = queue.laid_out(pieces, offset)
        self._parts.append(record)
        if span is not None:
            self._spans.append(span)

    def _flush(self) -> None:
        """Put in what is there."""
        if self._count:
            records = b"".join(self._parts)
            if not self._queue.gate.put(records, self._count):
                self._queue.put_when_room(self._me, records, self._count, self._timeout)
            self._put += self._count
            self._count = 0
            self._parts.clear()
            self._spans.clear()
