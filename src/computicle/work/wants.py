"""Wants: how much memory of a heap each place waits for, so that a wake gets to one who can use it.

Rules:
  1. Each place writes down its own: the least that any of its threads waits for. After its
     death the keeper strikes that off.
  2. Who is told to look again does so once, whatever there is: something else than memory has changed.

Not here: the waiting (room.py), the claims (ledger.py).
"""

from computicle.work.layout import ROW_WORDS
from computicle.work.space import Space

__all__ = ["Wants", "forget_wants"]

WANTED, LOOK = 16, 17  # words of a place's row, behind the ledger's: bytes; and not 0 if it is to look again


class Wants:
    """Of all places, as one process sees them."""

    def __init__(self, space: Space, place: int) -> None:
        self._space = space
        self._place = place
        self._row = place * ROW_WORDS

    def say(self, wanted: int) -> None:
        """So many bytes are waited for here; 0: none."""
        self._space.rows[self._row + WANTED] = wanted

    def told_to_look(self) -> bool:
        """Whether this place is to look again. Asked once, it is forgotten."""
        if not self._space.rows[self._row + LOOK]:
            return False
        self._space.rows[self._row + LOOK] = 0
        return True

    def have_all_look(self) -> bool:
        """All who wait are to look again. False: nobody does."""
        waiting = [place for place in self._space.places() if self._space.rows[place * ROW_WORDS + WANTED]]
        for place in waiting:
            self._space.rows[place * ROW_WORDS + LOOK] = 1
        return bool(waiting)

    def left(self) -> int:
        """How many bytes are nobody's."""
        return self._space.layout.limit - sum(self._space.claims[place] for place in self._space.places())

    def suit_others(self, left: int) -> bool:
        """Whether another place waits for no more than so many, or is to look again."""
        rows = self._space.rows
        others = [place * ROW_WORDS for place in self._space.places() if place != self._place]
        return any(rows[row + WANTED] and (rows[row + LOOK] or rows[row + WANTED] <= left) for row in others)


def forget_wants(space: Space, place: int) -> None:
    """Whoever was there is dead."""
    space.rows[place * ROW_WORDS + WANTED] = space.rows[place * ROW_WORDS + LOOK] = 0
