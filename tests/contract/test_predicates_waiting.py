# mypy: disable-error-code="func-returns-value"
"""A predicate may not wait: each word that may wait refuses, even if it would not have to."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import forever, turns


class Things:
    """Made outside the predicate, used inside it."""

    def __init__(self) -> None:
        self.full = Channel[int](1)
        self.full.send(1)
        self.empty = Channel[int](1)
        self.lock = Lock()
        self.semaphore = Semaphore(1)
        self.done = spawn(lambda: 5)
        self.done.join()
        self.alive = spawn(forever)


WAITING: dict[str, Callable[[Things], Any]] = {
    "yield_": lambda _t: yield_(),
    "sleep": lambda _t: sleep(1),
    "sleep 0": lambda _t: sleep(0),
    "wait_for": lambda _t: wait_for(lambda: False),
    "wait_for true": lambda _t: wait_for(lambda: True),
    "wait_signal": lambda _t: wait_signal("s"),
    "join": lambda t: t.alive.join(),
    "join done": lambda t: t.done.join(),
    "select": lambda t: select(t.empty),
    "select full": lambda t: select(t.full),
    "send": lambda t: t.full.send(1),
    "send empty": lambda t: t.empty.send(1),
    "receive": lambda t: t.empty.receive(),
    "receive full": lambda t: t.full.receive(),
    "iteration": lambda t: next(iter(t.full)),
    "acquire": lambda t: t.semaphore.acquire(),
    "lock": lambda t: t.lock.acquire(),
    "with lock": lambda t: t.lock.__enter__(),
    "race": lambda _t: race(turns),
    "gather": lambda _t: gather(turns),
    "gather nothing": lambda _t: gather(),
    "offload": lambda _t: offload(int),
    "scope": lambda _t: scope().__enter__(),
    "connect": lambda _t: connect("127.0.0.1", 1),
    "serve": lambda _t: serve(print, 0),
}


@pytest.mark.parametrize("inside", ["plainly", "in a shield", "in a deadline", "after a shield", "after a deadline"])
@pytest.mark.parametrize("asked", ["at once", "by the kernel", "before going on"])
@pytest.mark.parametrize("word", WAITING)
def test_it_may_not(word: str, asked: str, inside: str) -> None:
    def main() -> None:
        things = Things()
        count = 0

        def predicate() -> bool:
            nonlocal count
            count += 1
            if asked == "by the kernel" and count == 1:
                return False
            if asked == "before going on" and count < 3:
                return count == 2
            if inside == "in a shield":
                with shield():
                    WAITING[word](things)
            elif inside == "in a deadline":
                with fail_after(5):
                    WAITING[word](things)
            elif inside == "after a shield":
                with shield():
                    pass
            elif inside == "after a deadline":
                with move_on_after(5):
                    pass
            WAITING[word](things)
            return True

        with pytest.raises(RuntimeError, match="may not wait"):
            wait_for(predicate)
        # And nothing has happened.
        assert (len(things.full), len(things.empty), things.lock.locked) == (1, 0, False)
        things.semaphore.acquire(timeout=0)
        sleep(1)
        assert set(fibers()) == {current(), things.alive}
        things.alive.cancel()

    simulate(main)


def test_the_same_on_every_engine(world: World) -> None:
    def main() -> None:
        steps: Iterator[Any] = iter([False, True])
        with pytest.raises(RuntimeError, match="may not wait"):
            wait_for(lambda: next(steps) and sleep(1))
        sleep(1)

    world.run(main)


def test_the_words_that_never_wait_are_free(world: World) -> None:
    def main() -> None:
        made: list[Fiber] = []

        def predicate() -> bool:
            if len(made) > 12:
                return True
            made.extend(
                [
                    spawn(forever),
                    delay(turns, 100),
                    periodic(turns, 100),
                    on_signal(turns, "s"),
                    when(lambda: False, turns),
                    whenever(lambda: False, turns),
                ]
            )
            assert signal_one("nobody") is False
            assert signal_all("nobody") == 0
            assert current() is me
            assert set(made[-6:]) <= set(fibers())
            made[0].cancel()
            Semaphore(1)
            with move_on_after(5), shield():
                pass
            return False

        me = current()
        spawn(turns, 9)
        with scope() as s:
            wait_for(predicate)
            s.cancel()
        assert all(fiber.done for fiber in made)

    world.run(main)


@pytest.mark.parametrize("answer", [True, False])
@pytest.mark.parametrize("asked", [1, 2, 3])
def test_one_that_cancels_its_own_scope(world: World, asked: int, answer: bool) -> None:
    """At once, asked by the kernel, and before going on: the fiber runs on in order, and meets it at its next wait."""
    log: list[Any] = []

    def main() -> None:
        with scope() as s:
            count = 0

            def predicate() -> bool:
                nonlocal count
                count += 1
                if count == asked:
                    s.cancel()
                    return answer
                return count == 2

            s.spawn(turns, 5)
            try:
                log.append(wait_for(predicate))
                sleep(1)
                log.append("unreached")
            finally:
                log.append("clean")
        assert current().waits_for is None
        sleep(1)
        assert wait_for(lambda: 5) == 5
        turns()
        log.append("after")

    world.run(main)
    returned = answer if asked != 2 else False  # a fiber that is parked is interrupted there and then
    assert log == [*([True] if returned else []), "clean", "after"]


def test_one_that_cancels_its_own_fiber_and_then_waits(world: World) -> None:
    """Nothing of the kernel's breaks: the wait is refused, the fiber is cancelled."""

    def main() -> None:
        for wait in (yield_, lambda: sleep(1), Lock().acquire):
            steps = iter([False, True, True, True])
            fiber = spawn(lambda wait=wait, steps=steps: wait_for(lambda: next(steps) and (current().cancel(), wait())))
            with pytest.raises((FiberCancelled, RuntimeError)):
                fiber.join()
        turns()

    world.run(main)


def test_cancelled_by_an_earlier_predicate_it_can_do_no_harm(world: World) -> None:
    def main() -> None:
        state = {"go": False}
        second: Fiber
        first = spawn(wait_for, lambda: state["go"] and (second.cancel() or True))
        second = spawn(wait_for, lambda: state["go"] and sleep(1))
        turns()
        state["go"] = True
        assert first.join() is True
        with pytest.raises(FiberCancelled):
            second.join()

    world.run(main)
