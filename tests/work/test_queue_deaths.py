"""Whoever puts in, takes, works or frees may die at any line, or stand still there for long: no item is lost, none is
done twice but what a dead one was at, no memory and no room is lost, and nobody sleeps for ever.

Some lines of each life here; all of them in tests/stress.
"""

import random
from collections.abc import Callable, Iterator

import pytest

from tests.work.deaths import (
    WAITING_LIVES,
    dies_and_is_reckoned,
    dies_once_woken,
    lines_of,
    lines_once_woken,
    stands_still_and_is_reckoned,
)
from tests.work.dying import Arena, Hands
from tests.work.lives import LIVES, works_on

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads that pytest has

KILLS = 9  # of each life
STOPS = 2
WOKEN = 4


@pytest.fixture
def arena(monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    arena = Arena(monkeypatch)
    yield arena
    arena.close()


def some(lines: int, count: int) -> list[int]:
    return random.sample(range(lines), min(count, lines))


@pytest.mark.parametrize("life", LIVES)
def test_killed_at_some_line(arena: Arena, life: Callable[[Hands], None]) -> None:
    lines = some(lines_of(arena, life), KILLS)
    killed = [dies_and_is_reckoned(arena, life, line) for line in lines]
    assert sum(killed) > len(killed) // 2  # it may come to a line less than the first time


@pytest.mark.parametrize("life", LIVES)
def test_stopped_at_some_line_while_others_work(arena: Arena, life: Callable[[Hands], None]) -> None:
    """And one of those others is killed."""
    others = lines_of(arena, works_on)
    for line in some(lines_of(arena, life), STOPS):
        stands_still_and_is_reckoned(arena, life, line, random.randrange(others))


@pytest.mark.parametrize("life", WAITING_LIVES)
def test_killed_once_woken(monkeypatch: pytest.MonkeyPatch, life: Callable[[Hands], None]) -> None:
    for line in some(lines_once_woken(monkeypatch, life), WOKEN):
        arena = Arena(monkeypatch, capacity=2)
        try:
            dies_once_woken(arena, life, line)
        finally:
            arena.close()
