"""Five thousand worlds killed at random moments under load: every waiter is told, and nothing is left.

Run by `make stress`, or with COMPUTICLE_STRESS=1: it takes minutes.
"""

import gc
import logging
import os
import random

import pytest

from computicle import *
from tests.worlds.chaos import Chaos
from tests.worlds.conftest import _nothing_is_left as _nothing_is_left
from tests.worlds.conftest import children, descriptors

KILLS = 250  # in each round
ROUNDS = 20


@pytest.mark.skipif("COMPUTICLE_STRESS" not in os.environ, reason="takes minutes: make stress")
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_left_of_thousands_of_kills() -> None:
    first = random.randrange(1 << 32)
    logging.disable()
    open_after: list[int] = []
    try:
        for seed in range(first, first + ROUNDS):
            chaos = Chaos(seed, KILLS)
            try:
                run(chaos.main)
            except BaseException as error:
                error.add_note(f"seed={seed}, {chaos.fared}")
                raise
            assert children() == []
            gc.collect()
            open_after.append(len(descriptors()))
    finally:
        logging.disable(logging.NOTSET)
    assert len(set(open_after)) == 1
