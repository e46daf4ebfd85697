"""Codes: how a place is written into shared memory, and which one is this process's.

Rules:
  1. A holder's code is 16 bits, and neither byte of it is zero. So what is held shows in either byte alone.
  2. One bit, which no place's code has, says that it is on its way, and so held by nobody. The others say from where.

Not here: who gives places (worlds/places.py).
"""

from computicle.worlds.launcher import launcher
from computicle.worlds.places import KEEPER, NOWHERE, PLACES

__all__ = ["KEEPER", "PLACES", "TRANSIT", "code_of", "is_in_transit", "own_place", "place_of"]

TRANSIT = 0x8000  # the bit


def own_place() -> int:
    """This process's. Raises RuntimeError if it has none."""
    place = launcher.place
    if place == NOWHERE:
        raise RuntimeError("so many computicles are alive that this one cannot use a heap")
    return place


def code_of(place: int) -> int:
    """What a place writes into what it holds."""
    assert 0 <= place < PLACES
    return place // 255 + 1 << 8 | place % 255 + 1


def is_in_transit(holder: int) -> bool:
    """Whether that is the holder of what is on its way."""
    return bool(holder & TRANSIT)


def place_of(code: int) -> int | None:
    """Whose code it is; None: nobody's."""
    return None if not code or code & TRANSIT else ((code >> 8) - 1) * 255 + (code & 255) - 1
