"""Names and functions whose repr or hash fails: they are named otherwise, and nobody else is hurt."""

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


class Turning:
    """A name whose hash fails from some moment on."""

    failing = False

    def __hash__(self) -> int:
        if self.failing:
            raise ValueError
        return 1


def test_waiters_for_a_name_that_cannot_be_found_any_more_are_called_off(world: World) -> None:
    def main() -> None:
        name = Turning()
        with scope() as s:
            waiters = [s.spawn(wait_signal, name), s.spawn(wait_signal, name, timeout=1000), s.spawn(sleep, 1000)]
            yield_()
            name.failing = True
            s.cancel()
        assert all(waiter.done for waiter in waiters)

    world.run(main)
