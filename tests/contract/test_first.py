"""The smallest whole programs, on every engine."""

from computicle import *
from tests.conftest import World


def test_run_returns_what_main_returns(world: World) -> None:
    assert world.run(lambda: 42) == 42


def test_the_conversation(world: World) -> None:
    said: list[str] = []

    def main() -> None:
        for number in range(1, 5):
            on_signal(lambda number=number: said.append(f"waited {number}"), "waiting")
        assert signal_one("waiting")
        sleep(2)
        said.append("pause")
        assert signal_all("waiting") == 3
        sleep(2)

    world.run(main)
    assert said == ["waited 1", "pause", "waited 2", "waited 3", "waited 4"]
