"""Packing: what goes wrong in the middle of it, or comes in between."""

import os
import re
from typing import Any

import pytest

from computicle import *
from computicle.engine.packets import copies_of, packet_pair
from computicle.worlds.codec import ENDS, pack, pack_pieces, unpack
from computicle.worlds.parcel import carry_descriptors
from computicle.worlds.errors import carried_error
from computicle.worlds.lane import Lane
from tests.test_docs import ROOT
from tests.worlds.conftest import descriptors


class Pause:
    """Gives way while it is packed, and while it is unpacked."""

    def __reduce__(self) -> Any:
        yield_()
        return yield_, ()


def test_giving_way_in_the_middle_of_packing_mixes_nothing_up() -> None:
    pairs = [packet_pair() for _ in range(2)]
    lanes = [Lane(sending, "a test") for sending, _receiving in pairs]
    found: dict[int, list[int]] = {}

    def carry(number: int) -> None:
        parcel = pack([Pause(), lanes[number]])
        carried = [*parcel.descriptors]
        _pause, lane = unpack(parcel.data, 0, copies_of(carried))
        found[number] = [os.fstat(descriptor).st_ino for descriptor in (*carried, lane.sock.fileno())]

    def main() -> None:
        with scope() as s:
            for number in range(2):
                s.spawn(carry, number)

    run(main)
    expected = {number: [os.fstat(lane.sock.fileno()).st_ino] * 2 for number, lane in enumerate(lanes)}
    assert found == expected
    for lane, (_sending, receiving) in zip(lanes, pairs, strict=True):
        lane.close()
        receiving.close()


def test_copies_of_descriptors_are_all_or_none(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def dup(descriptor: int) -> int:
        if made:
            raise OSError(24, "Too many open files")
        made.append(real(descriptor))
        return made[0]

    real = os.dup
    monkeypatch.setattr(os, "dup", dup)
    with pytest.raises(OSError, match="Too many"):
        copies_of([0, 1])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(made[0])


class Unreadable(Exception):
    """So large that it lies in memory of its own, and cannot be rebuilt."""

    def __reduce__(self) -> Any:
        return int, ("x" * 100_000,)


def test_an_error_that_cannot_be_rebuilt_leaves_nothing_open() -> None:
    before = descriptors()
    carried_error(Unreadable(), "a test")
    assert descriptors() == before


class TooLarge:
    def __reduce__(self) -> Any:
        raise MemoryError


def test_too_little_memory_to_pack_something_is_told_as_that() -> None:
    for packing in (pack, pack_pieces):
        with pytest.raises(MemoryError):
            packing([TooLarge()])


class LikeAHandle:
    """Brings as many descriptors as one."""

    def __reduce__(self) -> Any:
        return int, (carry_descriptors(self, [0] * ENDS),)


def test_as_many_handles_fit_into_a_message_as_the_guide_says() -> None:
    said = re.search(r"Up to (\d+) handles fit", (ROOT / "docs/guide.md").read_text())
    assert said is not None
    fitting = int(said[1])
    assert len(pack([LikeAHandle() for _ in range(fitting)]).descriptors) == fitting * ENDS
    with pytest.raises(TypeError, match=f"{(fitting + 1) * ENDS} descriptors"):
        pack([LikeAHandle() for _ in range(fitting + 1)])


def test_as_many_blocks_fit_into_a_message_as_the_guide_says() -> None:
    said = re.search(r"Up to\s+(\d+) blocks of one heap fit", (ROOT / "docs/guide.md").read_text())
    assert said is not None
    fitting = int(said[1])
    heap = Heap(1 << 21)
    blocks = [heap.alloc(1) for _ in range(fitting + 1)]
    with pytest.raises(TypeError, match="too much in one message: it brings 250 descriptors along, and may bring 249;"):
        pack(blocks)
    pack(blocks[:-1]).unsent()
    for block in blocks:
        block.free()


def test_what_is_said_to_have_so_many_descriptors_has_them() -> None:
    with pytest.raises(TypeError) as caught:
        pack([LikeAHandle() for _ in range(100)])
    heap = Heap(1 << 20)
    with heap.alloc(1) as block:
        found = []
        for things in ([self_()], [heap], [heap, WorkQueue(1, heap)], [heap, block]):
            parcel = pack(things)
            found.append(len(parcel.descriptors))
            parcel.unsent()
    handle, of_heap, with_queue, with_block = found
    assert with_queue - of_heap == handle
    assert f"a handle or a queue has {handle}, a heap {of_heap}, a block {with_block - of_heap}." in str(caught.value)
