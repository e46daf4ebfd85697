# mypy: disable-error-code="func-returns-value"
"""Cancellation (law 4): level-triggered, clean, all or nothing. Word by word in test_wakes.py."""

from typing import Any

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import forever, turns


class TestLevelTriggered:
    def test_raised_at_each_wait(self, world: World) -> None:
        log: list[int] = []

        def stubborn() -> str:
            for number in range(5):
                try:
                    forever()
                except Cancelled:
                    log.append(number)
            return "after all"

        def main() -> None:
            fiber = spawn(stubborn)
            yield_()
            fiber.cancel()
            assert fiber.join() == "after all"

        world.run(main)
        assert log == [0, 1, 2, 3, 4]

    def test_even_at_words_that_would_not_have_to_wait(self, world: World) -> None:
        def main() -> None:
            channel = Channel[int](5)
            channel.send(1)
            lock, semaphore, done = Lock(), Semaphore(1), spawn(turns)
            done.join()
            words: list[Any] = [
                lambda: channel.send(2),
                channel.receive,
                lock.acquire,
                semaphore.acquire,
                done.join,
                lambda: select(channel),
                lambda: select(done),
                lambda: wait_for(lambda: True),
                lambda: sleep(0),
                lambda: offload(int),
                gather,
            ]
            with scope() as s:
                s.cancel()
                for word in words:
                    with pytest.raises(Cancelled):
                        word()
            # None of them did a part of its work.
            assert (len(channel), lock.locked) == (1, False)
            semaphore.acquire(timeout=0)

        world.run(main)

    def test_words_that_never_wait_go_on_working(self, world: World) -> None:
        def main() -> None:
            fiber = spawn(wait_signal, "s")
            lock = Lock()
            lock.acquire()
            yield_()
            with scope() as s:
                s.cancel()
                assert signal_one("s", 5)
                lock.release()
                spawn(turns)
                assert current() in fibers()
            assert fiber.join() == 5

        world.run(main)

    def test_gives_way_once_before_each_raise(self, world: World) -> None:
        """So one that swallows it in a loop does not lock out the others."""
        log: list[str] = []

        def stubborn() -> None:
            for _ in range(4):
                try:
                    forever()
                except Cancelled:
                    log.append("raised")

        def other() -> None:
            for _ in range(6):
                log.append("other")
                yield_()

        def main() -> None:
            fiber = spawn(stubborn)
            yield_()
            spawn(other)
            fiber.cancel()

        world.run(main)
        assert log == ["other", "raised"] * 4 + ["other"] * 2

    def test_ends_where_its_region_ends(self, world: World) -> None:
        def main() -> None:
            with scope() as s:
                s.cancel()
                with pytest.raises(Cancelled):
                    sleep(1)
                sleep(1)
            sleep(1)
            Lock().acquire()
            turns()

        world.run(main)


class TestNeverStarts:
    def test_before_the_first_step(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            fiber = spawn(log.append, "no")
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()

        world.run(main)
        assert log == []

    def test_by_another_that_runs_before_it(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: second.cancel())
            second = spawn(log.append, "no")

        world.run(main)
        assert log == []

    @pytest.mark.parametrize("fresh", [True, False])
    def test_thousands_at_once(self, world: World, fresh: bool) -> None:
        """Without using up the stack."""

        def main() -> None:
            if not fresh:
                gather(*[turns] * 50)
            with scope() as s:
                made = [s.spawn(turns) for _ in range(5000)]
                late = [delay(turns, 1) for _ in range(2000)] + [on_signal(turns, "s") for _ in range(2000)]
                s.cancel()
            assert all(fiber.done for fiber in made + late)

        world.run(main)

    def test_one_spawned_while_cancelling(self, world: World) -> None:
        log: list[str] = []

        def child() -> None:
            try:
                forever()
            finally:
                spawn(log.append, "no")

        def main() -> None:
            with scope() as s:
                s.spawn(child)
                yield_()
                s.cancel()

        world.run(main)
        assert log == []


def test_a_fiber_may_cancel_itself(world: World) -> None:
    log: list[str] = []

    def child() -> None:
        current().cancel()
        log.append("goes on")
        yield_()
        sleep(1)
        log.append("unreached")

    def main() -> None:
        with pytest.raises(FiberCancelled):
            spawn(child).join()

    world.run(main)
    assert log == ["goes on"]


def test_one_of_many_is_cancelled_and_its_own_fibers_are_not(world: World) -> None:
    """They belong to the scope, not to the fiber that spawned them."""
    log: list[str] = []

    def parent() -> None:
        spawn(lambda: sleep(5) or log.append("child"))
        forever()

    def main() -> None:
        fiber = spawn(parent)
        sleep(1)
        fiber.cancel()

    world.run(main)
    assert log == ["child"]
