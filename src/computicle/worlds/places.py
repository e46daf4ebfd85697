"""Places: small numbers for the processes of one program, so that each has a part of its own in what they share.

Rules:
  1. The main program is at 1, computicles at higher ones. 0 belongs to the zygote, which
     looks after what the dead have left.
  2. A place is given again only once nothing is left of whoever had it.
  3. The lowest free one is given: what is laid out by places stays small.

Not here: what lies at a place (work/).
"""

from heapq import heappop, heappush

__all__ = ["KEEPER", "NOWHERE", "PLACES", "ROOT", "Places"]

KEEPER = 0
ROOT = 1
PLACES = 4096
NOWHERE = -1  # so many processes are alive that this one has none: it cannot use what is laid out by places


class Places:
    """Who is where, as far as the zygote has placed them."""

    def __init__(self) -> None:
        self._taken = {KEEPER, ROOT}
        self._left: list[int] = []  # a heap
        self._next = ROOT + 1  # this one and those beyond were never given

    def take(self) -> int:
        """The lowest one that is free, or NOWHERE."""
        if self._left:
            place = heappop(self._left)
        elif self._next < PLACES:
            place = self._next
            self._next += 1
        else:
            return NOWHERE
        self._taken.add(place)
        return place

    def leave(self, place: int) -> None:
        """Nobody is there any more, and nothing."""
        if place != NOWHERE:
            self._taken.remove(place)
            heappush(self._left, place)

    def __contains__(self, place: int) -> bool:
        return place in self._taken
