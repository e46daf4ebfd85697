"""A hundred and fifty deaths at random moments. (Thousands in tests/stress.)"""

import logging
import random

from computicle import *
from tests.worlds.chaos import Chaos

KILLS = 150


def test_kills_under_load() -> None:
    seed = random.randrange(1 << 32)
    chaos = Chaos(seed, KILLS)
    logging.disable()
    try:
        run(chaos.main)
    except BaseException as error:
        error.add_note(f"seed={seed}, {chaos.fared}")
        raise
    finally:
        logging.disable(logging.NOTSET)
    assert chaos.fared["done"] > KILLS
    assert chaos.fared["echoes"] > 0
