"""Load: items that are put into a work queue together, as many as fit into one write.

Rules:
  1. They go in in order. What has been packed goes in before room or memory is waited for: those who are
     to make some may wait for just that.
  2. Where there is no room for all that has been packed, some go in as soon as there is room for them:
     nobody waits for more than one place in the queue.
  3. Where an item cannot be put in, or there is no next one to be had, those before go in. What was packed
     and is not in takes up no memory.
  4. No more than one item at a time is pickled that may not fit into a record.

Not here: what goes in one by one (queue.py).
"""

from array import array
from collections.abc import Iterable
from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Any

from computicle.scheduler.fiber import Fiber
from computicle.work.block import Block
from computicle.work.pipe import PAGE
from computicle.work.record import HEAD_SIZE, LARGE, PLAIN_WORD, SMALL, Span
from computicle.worlds.plain import NotPlain, pickle_plain, spare_dumper

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
        self._dumper = spare_dumper()
        self._bodies = self._dumper.parts  # of the records of those that are not: what is behind the heads
        self._heads: dict[int, int] = {}  # of those whose head is another one than a small pickle's
        self._spans: dict[int, Span] = {}  # where such lie in the heap
        self._format = _FORMATS[queue.record_size]
        self._records = memoryview(bytearray(self._format.struct.size))
        self._flushing = False  # or it could not be done

    def put_all(self, items: Iterable[Any]) -> None:
        """Put them in. Waits for room, and for memory. Raises as `enqueue`, with a note how many are in."""
        queue, bodies = self._queue, self._bodies
        inline_max, most = queue.inline_max, min(queue.gate.batch, queue.capacity)
        dump, clear_memo = self._dumper.dump, self._dumper.clear_memo
        count = 0  # of those that are not in
        try:
            for item in items:
                try:
                    dump(item)
                    clear_memo()
                    if len(bodies[-1]) <= inline_max and len(bodies) == count + 1 < most:
                        count += 1
                        continue
                except (NotPlain, RecursionError):
                    del bodies[count:]  # what had been pickled of it
                if len(bodies) != count + 1 or len(bodies[-1]) > inline_max:
                    self._dumper.begin_anew()
                    self._add_other(item, count)
                count = len(bodies)
                if count == most:
                    self._flush()
                    count = 0
            self._flush()
            self._dumper.spare()
        except BaseException as error:
            del bodies[count:]  # parts of what was being pickled
            try:
                if isinstance(error, Exception) and not self._flushing:
                    with suppress(Exception):  # what is told is why it ended
                        self._flush()
            finally:
                for span in self._spans.values():
                    queue.heap.release(span.offset)
                items_were = "1 item was" if self._put == 1 else f"{self._put} items were"
                error.add_note(f"{items_were} put into the work queue before that")
            raise

    def _add_other(self, item: Any, before: int) -> None:
        """One that does not fit into a record, or is not plain. Bodies from `before` on are parts of its pickle."""
        queue = self._queue
        parts = self._bodies[before:]
        del self._bodies[before:]
        if isinstance(item, Block):
            self._flush()
            queue.enqueue_block(self._me, item, self._timeout)
            self._put += 1
            return
        pieces, room = queue.pieces(item, parts[0] if len(parts) == 1 else pickle_plain(item))
        offset = queue.heap.try_reserve(room) if room else 0
        if offset is None:
            self._flush()
            offset = queue.reserve(self._me, room, self._timeout)
        record, span = queue.laid_out(pieces, offset)
        self._heads[len(self._bodies)] = int.from_bytes(record[:4], "little")
        if span is not None:
            self._spans[len(self._bodies)] = span
        self._bodies.append(record[HEAD_SIZE:])

    def _flush(self) -> None:
        """Put in what is there."""
        count = len(self._bodies)
        if not count:
            return
        form = self._format
        form.struct.pack_into(self._records, 0, *self._bodies, *form.none[count:])
        words = self._records.cast("I")
        words[:: form.words] = form.heads
        for index, head in self._heads.items():
            words[index * form.words] = head
        queue, size = self._queue, self._queue.record_size
        records = self._records[: count * size]
        self._flushing = True
        if queue.gate.put(records, count):
            self._put += count
            self._spans.clear()
        else:
            done = 0
            while done < count:
                put = queue.put_when_room(self._me, records[done * size :], count - done, self._timeout)
                self._put += put
                for index in range(done, done + put):
                    self._spans.pop(index, None)
                done += put
        self._flushing = False
        self._bodies.clear()
        self._heads.clear()


class _Format:
    """How records of one size are written together."""

    def __init__(self, size: int) -> None:
        count = PAGE // size  # as the gate's `batch`
        self.struct = Struct(f"{HEAD_SIZE}x{size - HEAD_SIZE}s" * count)
        self.none = [b""] * count
        self.words = size // 4
        self.heads = memoryview(array("I", [PLAIN_WORD] * count))


_FORMATS = {size: _Format(size) for size in (SMALL, LARGE)}
