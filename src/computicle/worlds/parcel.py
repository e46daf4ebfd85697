"""Parcel: something packed, and what goes along with it: descriptors, and what moves.

Rules:
  1. Handles travel as descriptors: they ask for a place while they are packed.
  2. What moves is no longer the sender's once it is packed; and his again, if it has not been sent
     after all.

Not here: how things are packed (codec.py), the ways to go (mail.py, lane.py).
"""

import os
import pickle
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from computicle.scheduler.carrier import Carrier, here

__all__ = [
    "Moving",
    "Outgoing",
    "Parcel",
    "carry_descriptors",
    "carry_moving",
    "check_carried",
    "packing",
]

BUFFER_MIN = 16_384  # bytes; smaller buffers are copied into the pickle
BUFFERS_MAX = 1000  # beside one pickle: as many as one writev(2) takes, less a few


class Moving(Protocol):
    """Something in a parcel that has one owner."""

    def sent(self) -> None:
        """It is another's now."""

    def unsent(self) -> None:
        """It is the sender's again."""


class Parcel(NamedTuple):
    """Something packed.

    `descriptors` go with it; the first `own` of them are the parcel's, to be closed once it has been sent. `kept`
    are the owners of the others. `moving` is to be told what becomes of the parcel.
    """

    data: bytes
    descriptors: tuple[int, ...] = ()
    own: int = 0
    kept: tuple[Any, ...] = ()
    moving: tuple[Moving, ...] = ()

    def close(self) -> None:
        """Close what is its own. Once."""
        for descriptor in self.descriptors[: self.own]:
            os.close(descriptor)

    def sent(self) -> None:
        """It has left."""
        for each in self.moving:
            each.sent()

    def unsent(self) -> None:
        """It will not leave."""
        for each in self.moving:
            each.unsent()


class Outgoing:
    """What goes along with what is being packed."""

    __slots__ = ("buffers", "descriptors", "for_one", "keep", "kept", "moving", "refusal", "still")

    def __init__(self, *, still: bool = False) -> None:
        self.still = still  # it is to lie in memory, and brings nothing along
        self.for_one = True
        self.moving: list[Moving] = []
        self.refusal: Exception | None = None  # why something cannot move now
        self.keep = self.keep_small  # bound once
        self.descriptors: list[int] = []
        self.kept: list[Any] = []
        self.buffers: list[memoryview] = []

    def parcel(self, data: bytes, descriptors: Sequence[int] = (), own: int = 0) -> Parcel:
        """With all that goes along."""
        return Parcel(data, (*descriptors, *self.descriptors), own, tuple(self.kept), tuple(self.moving))

    def drop(self) -> None:
        """Nothing of this goes anywhere."""
        moving, self.moving = self.moving, []
        for each in moving:
            each.unsent()

    def keep_small(self, buffer: pickle.PickleBuffer) -> bool:
        """As pickle's buffer_callback: True has it copied into the pickle."""
        try:
            view = buffer.raw()
        except BufferError:  # not in one piece
            return True
        if view.nbytes < BUFFER_MIN or len(self.buffers) == BUFFERS_MAX:
            return True
        self.buffers.append(view)
        return False


# What is being packed, by the stack that does it: a __reduce__ may give way in the middle. Each stack writes its own
# entry only, in codec.py, and takes it out again.
packing: dict[Carrier, Outgoing] = {}


def carry_descriptors(owner: Any, descriptors: Sequence[int]) -> int:
    """For a __reduce__: have copies of `owner`'s descriptors go along; the place where they will be found.

    Raises:
        TypeError: as `check_carried`.
    """
    outgoing = check_carried(owner)
    place = len(outgoing.descriptors)
    outgoing.descriptors.extend(descriptors)
    outgoing.kept.append(owner)
    return place


def carry_moving(owner: Any, depart: Callable[[], tuple[Moving, int]]) -> int:
    """For a __reduce__: have `owner` leave with what is being packed; the place where its descriptor will be found.

    Args:
        depart: makes it ready to leave; what is to be told what becomes of it, and a descriptor of that.

    Raises:
        Exception: whatever `depart` raises; so does `pack` then.
        TypeError: as `check_carried`; or several may unpack it.
    """
    known = packing.get(here())
    if known is not None and known.still:
        raise TypeError(
            f"a {type(owner).__qualname__} goes into a work queue by itself, not as a part of something else"
        )
    outgoing = check_carried(owner)
    if not outgoing.for_one:
        raise TypeError(
            f"a {type(owner).__qualname__} cannot be what a computicle comes to: several may ask for that; post it"
        )
    try:
        moving, descriptor = depart()
    except Exception as error:
        outgoing.refusal = error
        raise
    outgoing.moving.append(moving)
    return carry_descriptors(moving, [descriptor])


def check_carried(owner: Any) -> Outgoing:
    """For a __reduce__ that has something to do first: what goes along with what is being packed.

    Raises:
        TypeError: nothing is being packed: it was to be copied, or pickled into a file. Or what is being packed is to
            lie in memory, where nothing can be brought along.
    """
    outgoing = packing.get(here())
    if outgoing is None:
        raise TypeError(
            f"a {type(owner).__qualname__} cannot be copied or pickled: pass it to a computicle by argument or message"
        )
    if outgoing.still:
        raise TypeError(
            f"a {type(owner).__qualname__} cannot lie in shared memory: pass it by argument or message instead"
        )
    return outgoing
