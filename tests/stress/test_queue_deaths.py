"""A work queue's processes killed, or held up, at every line of it; and thousands of its producers and workers at random
moments: nothing is lost, nothing is done twice but what a dead one was at, and no memory and no room is lost.

Run by `make stress`, or with COMPUTICLE_STRESS=1: it takes minutes.
"""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from computicle import *
from tests.process.conftest import give_back_the_flow
from tests.work.chaos import Chaos
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
from tests.worlds.conftest import _nothing_is_left as _nothing_is_left

KILLS = 500  # in each round
ROUNDS = 20

pytestmark = [
    pytest.mark.skipif("COMPUTICLE_STRESS" not in os.environ, reason="takes minutes: make stress"),
    pytest.mark.timeout(600),
]


@pytest.fixture
def arena(life: Callable[[Hands], None], monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    give_back_the_flow()
    arena = Arena(monkeypatch, max_tries=TRIES_MAX if life in BEFORE else 100)
    yield arena
    arena.close()


@pytest.mark.parametrize("life", [*LIVES, *BEFORE])
def test_killed_at_every_line(arena: Arena, life: Callable[[Hands], None]) -> None:
    lines = lines_of(arena, life)
    killed = [dies_and_is_reckoned(arena, life, line) for line in range(lines)]
    assert sum(killed) > lines // 2


@pytest.mark.parametrize("life", [*LIVES, *BEFORE])
def test_stopped_at_every_line_while_others_work(arena: Arena, life: Callable[[Hands], None]) -> None:
    """And one of those others is killed."""
    others = lines_of(arena, works_on)
    lines = range(lines_of(arena, life))
    stopped = [stands_still_and_is_reckoned(arena, life, line, random.randrange(others)) for line in lines]
    assert sum(stopped) > len(lines) // 2


@pytest.mark.parametrize("life", WAITING_LIVES)
def test_killed_at_every_line_once_woken(monkeypatch: pytest.MonkeyPatch, life: Callable[[Hands], None]) -> None:
    killed = []
    for line in range(lines_once_woken(monkeypatch, life)):
        arena = Arena(monkeypatch, capacity=2)
        try:
            killed.append(dies_once_woken(arena, life, line))
        finally:
            arena.close()
    assert any(killed)


@pytest.mark.parametrize("round", range(ROUNDS))
def test_thousands_of_producers_and_workers_are_killed(round: int, tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chaos = Chaos(seed, KILLS, str(tmp_path / "book"))
    try:
        run(chaos.main)
    except BaseException as error:
        error.add_note(f"seed={seed}, {chaos.fared}")
        raise
