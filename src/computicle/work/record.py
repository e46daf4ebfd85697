"""Record: one item of a work queue, as it goes through the pipe and lies in a lease slot.

All records of a queue have one size, so that each is taken whole by a read of
that many bytes. What follows the eight bytes of the head is a small pickle, or
says where in the heap the item lies.

    state  kind  tries  flags   number   pickle, or offset and length

The number says whose item it is, by place, and which of that place's items: they
count up, and begin anew after a million.

Rules:
  1. A record says that it is held before it is: the read that takes it is all
     there is to taking it.
  2. State and kind are single bytes: whoever dies has written one or has not.

Not here: who may write which state (table.py, queue_keeper.py).
"""

from struct import Struct
from typing import NamedTuple

__all__ = [
    "BACK",
    "BY_VALUE",
    "DEAD",
    "DRAINED",
    "DROPPED",
    "EMPTY",
    "FLAGS_AT",
    "HEAD_SIZE",
    "HELD",
    "INLINE",
    "KIND_AT",
    "LARGE",
    "LARGE_COUNT_MAX",
    "MOVING",
    "NUDGE",
    "NUMBERS",
    "NUMBER_AT",
    "PACK_PLAIN",
    "PARTS",
    "PICKLE",
    "PLAIN_HEAD",
    "PLAIN_WORD",
    "RAW",
    "REVIVED",
    "SMALL",
    "SMALL_COUNT_MAX",
    "TRIES_AT",
    "TRIES_MAX",
    "Span",
    "in_heap",
    "inline",
    "note",
    "record_size",
    "span_in",
]

# States of a slot. The first byte, so that a slot that was never used is empty.
EMPTY = 0
HELD = 1  # leased to whoever has the row
BACK = 2  # given back: for the keeper to put into the pipe again
DEAD = 3  # in the keeper's row: tried too often
REVIVED = 4  # there: to be put into the pipe again
DROPPED = 5  # there: nobody wants it
MOVING = 6  # leased as HELD, and its block is being handed on: it may be somebody else's already

# Kinds.
NUDGE = 1  # no item: it has woken somebody, who is to look whether there is one
DRAINED = 2  # no item: there will never be another one. Whoever takes it puts it back
INLINE = 3  # a pickle in the record
RAW = 4  # a block
PICKLE = 5  # a pickle in the heap
PARTS = 6  # one in the heap, with buffers beside it

KIND_AT = 1
TRIES_AT = 2
TRIES_MAX = 255  # what the byte holds
FLAGS_AT = 3
BY_VALUE = 1  # functions or classes of `__main__` are in it
HEAD_SIZE = 8
NUMBER_AT = 1  # in words of 32 bits
NUMBERS = 1 << 20  # of one place; many more than a queue holds

SMALL = 32  # bytes of a record: room for an offset and a length
LARGE = 128  # so most small objects fit in, and take half as long as by the heap (bench/queueing.py)

# A pipe holds 1 MiB (/proc/sys/fs/pipe-max-size), of which half is for pages that are not full: see pipe.py.
LARGE_COUNT_MAX = 3_500
SMALL_COUNT_MAX = 15_000

_HEAD = Struct("<BBBBI")
_IN_HEAP = Struct("<BBBBIQQ")
_SPAN = Struct("<QQ")  # offset and length, behind the head


class Span(NamedTuple):
    """Where in the heap an item lies."""

    offset: int
    length: int  # bytes


def record_size(capacity: int) -> int:
    """Of a queue of this capacity, in bytes."""
    return LARGE if capacity <= LARGE_COUNT_MAX else SMALL


_INLINE_HEADS = [bytes((HELD, INLINE, 0, flag)) for flag in (0, BY_VALUE)]
_UNNUMBERED = bytes(4)

# What the record of a plain pickle begins with that fits in, and nobody has had before.
PLAIN_HEAD = _INLINE_HEADS[False]
PLAIN_WORD = int.from_bytes(PLAIN_HEAD, "little")

# Packs such a record, by its size, given PLAIN_WORD, the number and the pickle.
PACK_PLAIN = {size: Struct(f"<II{size - HEAD_SIZE}s").pack for size in (SMALL, LARGE)}


def inline(pickled: bytes, size: int, *, by_value: bool = False) -> bytes:
    """The record of a pickle that fits in: of `size` less HEAD_SIZE bytes at most."""
    return (_INLINE_HEADS[by_value] + _UNNUMBERED + pickled).ljust(size, b"\0")


def in_heap(kind: int, span: Span, size: int, *, by_value: bool = False) -> bytes:
    """The record of what lies in the heap."""
    return _IN_HEAP.pack(HELD, kind, 0, BY_VALUE if by_value else 0, 0, *span).ljust(size, b"\0")


def note(kind: int, size: int) -> bytes:
    """A record that is no item."""
    return _HEAD.pack(HELD, kind, 0, 0, 0).ljust(size, b"\0")


def span_in(record: bytes | memoryview, at: int = 0) -> Span | None:
    """Where the record's item lies, if in the heap."""
    return Span._make(_SPAN.unpack_from(record, at + HEAD_SIZE)) if record[at + KIND_AT] >= RAW else None
