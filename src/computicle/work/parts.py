"""Parts: an object as it lies in a record and in the heap, and how it is rebuilt from there.

A pickle lies there alone, or with large buffers beside it: how many there are, how long each is, then
each, at multiples of 64 bytes, as numpy and vector instructions like it. What is
rebuilt lies in them: they are not copied (PEP 574).

Not here: which part of the heap, and whose it is (item.py, heap.py).
"""

from pickle import loads
from struct import Struct
from typing import Any

from computicle.work.record import BY_VALUE, FLAGS_AT, HEAD_SIZE, INLINE, KIND_AT, PARTS
from computicle.work.sizes import rounded_up
from computicle.worlds.codec import ALIGNMENT, Pieces, unpack_pieces

__all__ = ["lay_out", "load", "parts_size"]

_COUNT = Struct("<Q")


def parts_size(pieces: Pieces) -> int:
    """How many bytes a pickle takes up with its buffers."""
    sizes = (len(pieces.data), *(buffer.nbytes for buffer in pieces.buffers))
    return sum(rounded_up(size, ALIGNMENT) for size in (_COUNT.size * (1 + len(sizes)), *sizes))


def lay_out(pieces: Pieces, memory: memoryview) -> None:
    """Put them into memory of `parts_size` bytes."""
    parts = (memoryview(pieces.data), *pieces.buffers)
    for index, number in enumerate((len(parts), *(part.nbytes for part in parts))):
        _COUNT.pack_into(memory, index * _COUNT.size, number)
    begin = rounded_up(_COUNT.size * (1 + len(parts)), ALIGNMENT)
    for part in parts:
        memory[begin : begin + part.nbytes] = part.cast("B")
        begin += rounded_up(part.nbytes, ALIGNMENT)


def load(record: memoryview, memory: memoryview | None) -> Any:
    """The object, in whose record it is: from there, or from where it lies. Raises whatever its rebuilding raises."""
    by_value = bool(record[FLAGS_AT] & BY_VALUE)
    buffers: list[memoryview] = []
    if record[KIND_AT] == INLINE:
        data = record[HEAD_SIZE:]  # what follows the pickle does no harm: it ends where it says
    elif record[KIND_AT] == PARTS:
        assert memory is not None
        data, *buffers = _parts(memory)
    else:
        assert memory is not None
        data = memory
    if by_value or buffers:
        return unpack_pieces(data, by_value=by_value, buffers=buffers)
    return loads(data)  # noqa: S301  # from our own program


def _parts(memory: memoryview) -> list[memoryview]:
    """What `lay_out` has put there."""
    (count,) = _COUNT.unpack_from(memory, 0)
    begin = rounded_up(_COUNT.size * (1 + count), ALIGNMENT)
    parts = []
    for index in range(count):
        (size,) = _COUNT.unpack_from(memory, (1 + index) * _COUNT.size)
        parts.append(memory[begin : begin + size])
        begin += rounded_up(size, ALIGNMENT)
    return parts
