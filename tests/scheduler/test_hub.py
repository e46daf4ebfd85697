"""The hub survives what goes wrong in it: no memory for a stack, and handlers of the program's own that raise there."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from computicle import *
from computicle.scheduler.carrier import Carrier
from computicle.scheduler.crew import Crew
from computicle.testing import simulate


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], Any]]:
    """What goes wrong when the next carriers are made, in turn."""
    wrong: list[Callable[[], Any]] = []
    make = Crew.make

    def badly(crew: Crew) -> Carrier:
        if wrong:
            wrong.pop(0)()
        return make(crew)

    monkeypatch.setattr(Crew, "make", badly)
    return wrong


def no_memory() -> None:
    raise MemoryError


def test_a_fiber_without_a_stack_fails_and_the_others_go_on(made: list[Callable[[], Any]]) -> None:
    def main() -> None:
        made.append(no_memory)
        unlucky = spawn(sleep, 1)
        lucky = spawn(lambda: sleep(1) or "fine")  # type: ignore[func-returns-value]
        with pytest.raises(MemoryError):
            unlucky.join()
        assert lucky.join() == "fine"
        now = current().kernel.now
        before = now()
        sleep(1)
        assert now() >= before + 1

    simulate(main)


def test_nobody_waits_for_it(made: list[Callable[[], Any]]) -> None:
    log: list[str] = []

    def child() -> None:
        try:
            sleep(100)
        finally:
            log.append("clean")

    def main() -> None:
        spawn(child)
        yield_()
        made.append(no_memory)
        spawn(child)
        sleep(100)

    with pytest.raises(ExceptionGroup) as caught:
        simulate(main)
    assert [type(error) for error in caught.value.exceptions] == [MemoryError]
    assert log == ["clean"]


def test_a_carrier_that_ends_before_it_has_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its first frame has a memory of its own, and that is where there may be none."""
    make = Crew.make
    broken: list[int] = [1]

    def badly(crew: Crew) -> Carrier:
        if broken.pop() if broken else 0:
            carrier = Carrier(lambda _kernel: no_memory())
            carrier.number = 0
            return carrier
        return make(crew)

    def main() -> None:
        monkeypatch.setattr(Crew, "make", badly)
        with pytest.raises(MemoryError):
            spawn(sleep, 1).join()
        spawn(sleep, 1).join()
        assert len(fibers()) == 1

    simulate(main)


def test_what_stands_for_its_first_wait_leaves_nothing_behind(made: list[Callable[[], Any]]) -> None:
    def main() -> None:
        with suppress(ExceptionGroup), scope():
            made.append(no_memory)
            when(lambda: True, int, every=0.5)
        current().kernel.predicates.check()
        with pytest.raises(Deadlock):
            Channel[int](1).receive()

    simulate(main)
