"""Places: how a place is written into shared memory, and which one is this process's.

Rules:
  1. A holder's code is 16 bits, and neither byte of it is zero. So what is held shows in either byte alone.
  2. No place has the code of what is on its way.

Not here: who gives places (worlds/places.py).
"""

from computicle.worlds.launcher import launcher
from computicle.worlds.places import KEEPER, NOWHERE, PLACES

__all__ = ["KEEPER", "PLACES", "TRANSIT", "code_of", "own_place", "place_of"]

TRANSIT = 0xFFFF  # on its way, and so held by no place


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


def place_of(code: int) -> int | None:
    """Whose code it is; None: nobody's."""
    return None if code in (0, TRANSIT) else ((code >> 8) - 1) * 255 + (code & 255) - 1
