"""What there is once cannot be copied or pickled: a twin would stand in nobody's line."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from computicle.worlds.launcher import launcher
from tests.conftest import World

SINGLES: dict[str, Callable[[], Any]] = {
    "Channel": lambda: Channel(1),
    "Lock": Lock,
    "Semaphore": lambda: Semaphore(1),
    "FiberLocal": FiberLocal,
    "Fiber": lambda: spawn(int),
    "Scope": scope,
    "Deadline": lambda: move_on_after(1),
    "Heap": lambda: Heap(1000),
    "WorkQueue": lambda: WorkQueue(1),
}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
@pytest.mark.parametrize("single", SINGLES)
def test_copies_are_refused(world: World, single: str, copied: Callable[[Any], Any]) -> None:
    def main() -> None:
        with pytest.raises(TypeError, match=f"a {single} cannot be copied or pickled"):
            copied(SINGLES[single]())

    world.run(main)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_of_streams_and_listeners_too(world: World, copied: Callable[[Any], Any]) -> None:
    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as stream:
            for single in (listener, stream):
                with pytest.raises(TypeError, match="cannot be copied or pickled"):
                    copied(single)

    world.run(main)


@pytest.mark.parametrize("single", ["Heap", "WorkQueue"])
def test_nobody_is_asked_to_look_after_what_is_not_carried(monkeypatch: pytest.MonkeyPatch, single: str) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(launcher, "keep", asked.append)
    refused = SINGLES[single]()
    for deed in (copy.copy, pickle.dumps, WorkQueue(1).enqueue, lambda thing: WorkQueue(1).enqueue([thing])):
        with pytest.raises(TypeError):
            deed(refused)
    assert not asked
