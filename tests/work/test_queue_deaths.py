"""Whoever puts in, takes, works or frees may die at any line, or stand still there for long: no item is lost, none is
done twice but what a dead one was at, no memory and no room is lost, and nobody sleeps for ever.

Some lines of each life here; all of them in tests/stress.
"""

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from tests.work.deaths import (
    TRIES_MAX,
    WAITING_LIVES,
    dies_and_is_reckoned,
    dies_once_woken,
    lines_of,
    lines_once_woken,
    stands_still_and_is_reckoned,
)
from tests.work.dying import Arena
from tests.work.hands import Hands
from tests.work.lives import BEFORE, LIVES, works_on

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads that pytest has

KILLS = 9  # of each life
STOPS = 2
WOKEN = 4


@pytest.fixture
def arena(life: Callable[[Hands], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    arena = Arena(monkeypatch, max_tries=TRIES_MAX if life in BEFORE else 100)
    yield arena
    arena.close()


def some(lines: int, count: int) -> list[int]:
    """One of each part: those near the end may not be come to."""
    begins = [lines * part // count for part in range(count + 1)]
    return [random.randrange(begin, end) for begin, end in pairwise(begins) if begin < end]


def lines_known(arena: Arena, life: Callable[[Hands], None]) -> int:
    """As many as it came to in an earlier test, or comes to now."""
    if life not in known:
        known[life] = lines_of(arena, life)
    return known[life]


known: dict[Callable[[Hands], None], int] = {}


@pytest.mark.parametrize("life", [*LIVES, *BEFORE])
def test_killed_at_some_line(arena: Arena, life: Callable[[Hands], None]) -> None:
    lines = some(lines_known(arena, life), KILLS)
    killed = [dies_and_is_reckoned(arena, life, line) for line in lines]
    assert sum(killed) > len(killed) // 2  # it may come to a line less than the first time


@pytest.mark.parametrize("life", [*LIVES, *BEFORE])
def test_stopped_at_some_line_while_others_work(arena: Arena, life: Callable[[Hands], None]) -> None:
    """And one of those others is killed."""
    others = lines_known(arena, works_on)
    lines = some(lines_known(arena, life), STOPS)
    assert any([stands_still_and_is_reckoned(arena, life, line, random.randrange(others)) for line in lines])


@pytest.mark.parametrize("life", WAITING_LIVES)
def test_killed_once_woken(monkeypatch: pytest.MonkeyPatch, life: Callable[[Hands], None]) -> None:
    killed = []
    for line in some(lines_once_woken(monkeypatch, life), WOKEN):
        arena = Arena(monkeypatch, capacity=2)
        try:
            killed.append(dies_once_woken(arena, life, line))
        finally:
            arena.close()
    assert any(killed)
