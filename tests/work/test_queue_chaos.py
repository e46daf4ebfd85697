"""A hundred producers and workers of a queue killed at random moments: every item is done. (More in tests/stress.)"""

import random
from pathlib import Path

from computicle import *
from tests.work.chaos import Chaos
from tests.worlds.conftest import _nothing_is_left  # noqa: F401

KILLS = 100


def test_a_queue_whose_producers_and_workers_are_killed(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    chaos = Chaos(seed, KILLS, str(tmp_path / "book"))
    try:
        run(chaos.main)
    except BaseException as error:
        error.add_note(f"seed={seed}, {chaos.fared}")
        raise
    assert sum(chaos.fared[who] for who in ("producers", "workers")) == KILLS
    assert chaos.fared["items"] > KILLS
