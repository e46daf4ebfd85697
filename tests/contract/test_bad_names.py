"""Names and functions whose repr fails: they are named otherwise, and nobody else is hurt."""

import pytest

from computicle import *
from tests.conftest import World


class Bad:
    def __repr__(self) -> str:
        raise ValueError

    def __call__(self) -> bool:
        return False


def test_the_waiter_is_told_of_its_timeout(world: World) -> None:
    def main() -> None:
        bad = Bad()
        with pytest.raises(TimeoutError, match="Bad whose repr fails"):
            wait_signal(bad, timeout=0.01)
        with pytest.raises(TimeoutError, match="Bad whose repr fails"):
            wait_for(bad, timeout=0.01)
        assert "Bad whose repr fails" in str(spawn(bad))

    world.run(main)
