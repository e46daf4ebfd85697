"""Packing: what goes wrong in the middle of it, or comes in between."""

import os
import re
from typing import Any

import pytest

from computicle import *
from computicle.engine.packets import copies_of, packet_pair
from computicle.worlds.codec import ENDS, pack, unpack
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


class LikeAHandle:
    """Brings as many descriptors as one."""

    def __reduce__(self) -> Any:
        return int, (carry_descriptors(self, [0] * ENDS),)


def test_as_many_handles_fit_into_a_message_as_the_guide_says() -> None:
    said = re.search(r"Up to (\d+) handles fit", (ROOT / "docs/guide.md").read_text())
    assert said is not None
    fitting = int(said[1])
    assert len(pack([LikeAHandle() for _ in range(fitting)]).descriptors) == fitting * ENDS
    with pytest.raises(TypeError, match=f"{fitting} fit"):
        pack([LikeAHandle() for _ in range(fitting + 1)])
