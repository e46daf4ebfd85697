"""Codec: objects as bytes and descriptors, and back.

What the pickle module can carry goes by it: classes and functions of modules
by their names. What lives in `__main__`, or in no module at all, goes by
value (cloudpickle). Which of both is right shows in the outcome: a pickle that
names `__main__` means the sender's, which the receiver does not have.

Rules:
  1. Large buffers are not copied into the pickle: they go beside it, into
     memory that the receiver maps (PEP 574, memfd_create(2)). So does all
     that does not fit into a packet. What has been received is the
     receiver's alone.
  2. What is large takes up as much room on its way as a full packet, so that few
     such are on the way at once, for the memory they lie in has no other bound.
  3. What cannot be carried is a TypeError at the sender's, which says which
     part it is.

Not here: what goes along (parcel.py), how functions and structures are rebuilt (functions.py, structures.py), the ways to
go (mail.py, lane.py).
"""

import io
import mmap
import os
import pickle
import struct
import sys
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

from computicle.engine.packets import DESCRIPTORS_MAX, PACKET_MAX
from computicle.scheduler.carrier import Carrier, here
from computicle.worlds.culprit import culprit_of
from computicle.worlds.functions import load_by_value
from computicle.worlds.parcel import Outgoing, Parcel, packing
from computicle.worlds.plain import pickle_plain

__all__ = [
    "ALIGNMENT",
    "ENDS",
    "Pieces",
    "pack",
    "pack_other",
    "pack_pieces",
    "pack_plain",
    "take_descriptors",
    "unpack",
    "unpack_pieces",
]

LARGE = 1  # the body lies in the first descriptor's memory
BY_VALUE = 2  # functions or classes of `__main__` are in it
RAW = 4  # the body is the object: bytes

INLINE_MAX = PACKET_MAX - 4096  # bytes of a body in the packet itself, with room for what stands before it
HEAVY_MIN = 1 << 20  # bytes: from here on a message is made to take up the room of a full packet
ENDS = 4  # descriptors of a handle
ALIGNMENT = 64  # bytes: buffers begin at multiples, as numpy and vector instructions like it

_HEADS = [bytes((flags,)) for flags in range(8)]  # made once: most bodies have one of these before them

_UNTRACKED: Any = {"trackfd": False} if sys.version_info >= (3, 13) else {}  # else each map keeps a descriptor


class _OfThread(threading.local):
    """What each thread has for itself."""

    spare: "Outgoing | None" = None  # one that has nothing in it, to be used again


_of_thread = _OfThread()

# What is being unpacked, by the stack that does it, as `packing` has it.
_unpacking: dict[Carrier, dict[int, int]] = {}


class Pieces(NamedTuple):
    """Something packed to lie in memory: a pickle, and large buffers that belong to it."""

    data: bytes
    by_value: bool  # functions or classes of `__main__` are in it
    buffers: list[memoryview]


# Packing.


def pack(value: Any, *, for_one: bool = True) -> Parcel:
    """Anything that can be carried.

    Args:
        for_one: one will unpack it. Else nothing can move with it.

    Raises:
        TypeError: some part of it cannot be; which one.
        Exception: something that is to move cannot do so now.
    """
    plain = pickle_plain(value)
    return pack_other(value, for_one=for_one) if plain is None else pack_plain(plain)


def pack_other(value: Any, *, for_one: bool = True) -> Parcel:
    """As `pack`, what `pickle_plain` has refused."""
    if type(value) is bytes:
        return _parcel(RAW, value, Outgoing())
    me = here()
    outer = packing.get(me)
    outgoing = packing[me] = _of_thread.spare or Outgoing()
    _of_thread.spare = None
    outgoing.for_one = for_one
    flags = 0
    try:
        named = _dump_by_name(value, outgoing)
        if named is None:
            outgoing.drop()
            outgoing = packing[me] = Outgoing()  # from the beginning
            outgoing.for_one = for_one
            flags = BY_VALUE
            data = _dump_by_value(value, outgoing)
        else:
            data = named
    except BaseException:
        outgoing.drop()
        raise
    finally:
        if outer is None:
            del packing[me]
        else:
            packing[me] = outer
    if not outgoing.kept and not outgoing.buffers and len(data) <= INLINE_MAX:
        _of_thread.spare = outgoing
        return Parcel(_HEADS[flags] + data)
    if len(outgoing.descriptors) >= DESCRIPTORS_MAX:
        outgoing.drop()
        raise TypeError(
            f"too much in one message: it brings {len(outgoing.descriptors)} descriptors along, and may bring "
            f"{DESCRIPTORS_MAX - 1}; a handle or a queue has 4, a heap 3, a block 1. So send it in several"
        )
    try:
        return _parcel(flags, data, outgoing)
    except BaseException:
        outgoing.drop()
        raise


def pack_pieces(value: Any) -> Pieces:
    """Anything that can be carried, but for what brings descriptors along: they cannot lie in memory.

    Raises:
        TypeError: some part of it cannot be carried; which one.
    """
    me = here()
    outer = packing.get(me)
    outgoing = packing[me] = Outgoing(still=True)
    try:
        data, by_value = _dump_by_name(value, outgoing), False
        if data is None:
            outgoing = packing[me] = Outgoing(still=True)
            data, by_value = _dump_by_value(value, outgoing), True
    finally:
        if outer is None:
            del packing[me]
        else:
            packing[me] = outer
    return Pieces(data, by_value, outgoing.buffers)


def unpack_pieces(data: memoryview, *, by_value: bool, buffers: Sequence[memoryview]) -> Any:
    """What `pack_pieces` was given. Large buffers are not copied: what is rebuilt lies in them. Raises as `unpack`."""
    if by_value:
        return load_by_value(data, buffers)
    return pickle.loads(data, buffers=buffers)  # noqa: S301  # from another computicle of ours


def pack_plain(pickled: bytes) -> Parcel:
    """What `pickle_plain` has made."""
    return Parcel(_HEADS[0] + pickled) if len(pickled) <= INLINE_MAX else _parcel(0, pickled, Outgoing())


def _dump_by_name(value: Any, outgoing: Outgoing) -> bytes | None:
    """As pickle has it; None if the receiver would not find what it names."""
    try:
        data = pickle.dumps(value, 5, buffer_callback=outgoing.keep)
    except MemoryError:
        raise
    except Exception:
        return None
    return None if b"__main__" in data else data


def _dump_by_value(value: Any, outgoing: Outgoing) -> bytes:
    # Only here: what this imports takes longer to import than all of computicle.
    from computicle.worlds.structures import Pickler  # noqa: PLC0415

    file = io.BytesIO()
    try:
        Pickler(file, 5, buffer_callback=outgoing.keep_small).dump(value)
    except MemoryError:
        raise
    except Exception as error:
        if outgoing.refusal is not None:
            raise outgoing.refusal from None
        outgoing.drop()

        def carry(part: Any) -> None:
            try:
                Pickler(io.BytesIO(), 5).dump(part)
            finally:
                outgoing.drop()  # so that what was to move can be tried again

        part = culprit_of(value, carry)
        raise TypeError(f"{part} cannot be carried to another computicle: {error}") from error
    return file.getvalue()


def _parcel(flags: int, data: bytes, outgoing: Outgoing) -> Parcel:
    parts = [data, *outgoing.buffers]
    if len(parts) == 1 and len(data) <= INLINE_MAX:
        return outgoing.parcel(bytes((flags,)) + data)
    sizes = [len(data), *(view.nbytes for view in outgoing.buffers)]
    head = struct.pack(f"<BI{len(sizes)}Q", flags | LARGE, len(sizes), *sizes)
    if sum(sizes) >= HEAVY_MIN:
        head = head.ljust(INLINE_MAX, b"\0")
    memory = os.memfd_create("computicle", os.MFD_CLOEXEC)
    try:
        _write_aligned(memory, parts)
    except BaseException:
        os.close(memory)
        raise
    return outgoing.parcel(head, (memory,), 1)


def _write_aligned(memory: int, parts: Sequence[Any]) -> None:
    pieces: list[Any] = []
    for part in parts:
        view = memoryview(part)
        pieces += [view, bytes(-view.nbytes % ALIGNMENT)]
    while pieces:  # one write takes 2 GiB at most, and 1,024 pieces
        written = os.writev(memory, pieces[:1000])
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if written:
            pieces[0] = memoryview(pieces[0])[written:]


# Unpacking.


def unpack(data: bytes, offset: int, descriptors: Sequence[int], *, shared: bool = False) -> Any:
    """What was packed. The descriptors are taken over, or closed.

    Args:
        offset: where in `data` it begins.
        shared: others unpack the same: what this one changes must not be seen by them.

    Raises:
        Exception: whatever its rebuilding raises.
    """
    flags = data[offset]
    if not flags and not descriptors:
        return pickle.loads(memoryview(data)[offset + 1 :])  # noqa: S301  # from another computicle of ours
    first = 1 if flags & LARGE else 0
    me = here()
    outer = _unpacking.get(me)
    _unpacking[me] = incoming = dict(enumerate(descriptors[first:]))
    try:
        in_packet = [memoryview(data)[offset + 1 :]]
        parts = _map(data, offset, descriptors[0], shared=shared) if flags & LARGE else in_packet
        if flags & RAW:
            return bytes(parts[0])
        if flags & BY_VALUE:
            return load_by_value(parts[0], parts[1:])
        return pickle.loads(parts[0], buffers=parts[1:])  # noqa: S301
    finally:
        if outer is None:
            del _unpacking[me]
        else:
            _unpacking[me] = outer
        for descriptor in (*descriptors[:first], *incoming.values()):
            os.close(descriptor)


def take_descriptors(place: int, count: int) -> list[int]:
    """For what __reduce__ has named: take over the descriptors that came along."""
    incoming = _unpacking[here()]
    return [incoming.pop(place + index) for index in range(count)]


def _map(data: bytes, offset: int, memory: int, *, shared: bool) -> list[memoryview]:
    _flags, count = struct.unpack_from("<BI", data, offset)
    sizes = struct.unpack_from(f"<{count}Q", data, offset + 5)
    access = mmap.MAP_PRIVATE if shared else mmap.MAP_SHARED
    whole = memoryview(mmap.mmap(memory, os.fstat(memory).st_size, flags=access, **_UNTRACKED))
    parts: list[memoryview] = []
    begin = 0
    for size in sizes:
        parts.append(whole[begin : begin + size])
        begin += size + -size % ALIGNMENT
    return parts
