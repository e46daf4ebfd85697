"""Outcomes: what came of each item, once each, and in order if that is wanted.

An item may be done twice: whoever had it may have died after it was done, and before that was
known. So what came of it may come twice.

Rules:
  1. Of each item the first outcome counts, and no other.
  2. In order means: those of one producer in the order in which it put the items in. Between producers
     there is none.
  3. An item of which nothing came (its producer died with the number in hand) is not waited for once all
     others are there.

Not here: how they get here (workers.py).
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

from computicle.work.record import NUMBERS

__all__ = ["Outcomes"]

T = TypeVar("T")

HALF = NUMBERS // 2  # what is further away than this lies behind


class Outcomes(Generic[T]):
    """Those that have come, of all producers."""

    def __init__(self) -> None:
        self._of: dict[int, _OfOne[T]] = {}  # by place

    def begin(self, number: int) -> None:
        """This is the first number of its producer that is waited for."""
        self._of[number // NUMBERS] = _OfOne(number % NUMBERS)

    def add(self, number: int, outcome: T) -> bool:
        """What came of the item of that number. False: that is known already."""
        of_one, number = self._producer(number)
        return of_one.add(number, outcome)

    def note(self, number: int) -> bool:
        """Something came of the item of that number, and is not kept here. False: that is known already."""
        of_one, number = self._producer(number)
        return of_one.note(number)

    def in_order(self) -> Iterator[T]:
        """Take out those whose turn has come."""
        for of_one in [*self._of.values()]:
            yield from of_one.in_order()

    def rest(self) -> Iterator[T]:
        """Take out all others, in order: those in between will not come."""
        for of_one in [*self._of.values()]:
            yield from of_one.rest()

    def check(self) -> None:
        """Assert the rules. O(n): for tests."""
        for of_one in self._of.values():
            assert of_one.next not in of_one.later
            assert all((number - of_one.next) % NUMBERS < HALF for number in of_one.later)

    def _producer(self, number: int) -> "tuple[_OfOne[T], int]":
        """Whose it is, and which one of those."""
        place, number = divmod(number, NUMBERS)
        of_one = self._of.get(place)
        if of_one is None:
            of_one = self._of[place] = _OfOne(0)
        return of_one, number


class _OfOne(Generic[T]):
    """Those of one producer."""

    def __init__(self, first: int) -> None:
        self.next = first  # all before this one have come
        self.later: set[int] = set()  # those that have come before their turn
        self._due: list[T] = []  # whose turn has come
        self._kept: dict[int, T] = {}  # of those in `later` that are wanted, and have not been taken out

    def add(self, number: int, outcome: T) -> bool:
        if self._knows(number):
            return False
        self._kept[number] = outcome
        return self.note(number)

    def note(self, number: int) -> bool:
        if self._knows(number):
            return False
        self.later.add(number)
        while self.next in self.later:
            self.later.remove(self.next)
            if self.next in self._kept:
                self._due.append(self._kept.pop(self.next))
            self.next = (self.next + 1) % NUMBERS
        return True

    def _knows(self, number: int) -> bool:
        return (number - self.next) % NUMBERS >= HALF or number in self.later

    def in_order(self) -> Iterator[T]:
        due, self._due = self._due, []
        return iter(due)

    def rest(self) -> Iterator[T]:
        yield from self.in_order()
        for number in sorted(self._kept, key=lambda number: (number - self.next) % NUMBERS):
            yield self._kept.pop(number)
