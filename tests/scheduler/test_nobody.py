"""What the kernel itself runs: there words that wait or spawn are refused."""

import sys
from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from tests.conftest import World


class Finalised:
    """Calls a word as it goes."""

    def __init__(self, word: Callable[[], Any]) -> None:
        self._word = word

    def __del__(self) -> None:
        self._word()


def forget(_finalised: Finalised) -> None:
    """The last one who has it is the kernel, which lets go of a finished fiber's arguments."""


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (lambda: spawn(int), "no fiber can be spawned here"),
        (lambda: delay(int, 1), "no fiber can be spawned here"),
        (lambda: on_signal(int, "s"), "no fiber can be spawned here"),
        (lambda: when(lambda: True, int), "no fiber can be spawned here"),
        (lambda: sleep(1), "may not wait"),
        (yield_, "may not wait"),
    ],
)
def test_in_a_finaliser(world: World, monkeypatch: pytest.MonkeyPatch, word: Callable[[], Any], message: str) -> None:
    ignored: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: ignored.append(unraisable.exc_value))

    def main() -> None:
        spawn(forget, Finalised(word))
        yield_()
        assert signal_all("s") == 0
        assert fibers() == [current()]

    world.run(main)
    (error,) = ignored
    assert isinstance(error, RuntimeError)
    assert message in str(error)


def test_a_finaliser_may_give_signals(world: World) -> None:
    def main() -> None:
        spawn(forget, Finalised(lambda: signal_one("s", "gone")))
        assert wait_signal("s") == "gone"

    world.run(main)
