# mypy: disable-error-code="func-returns-value"
"""Predicates: when they are asked (law 2), in which order, and what they may do."""

from collections.abc import Callable

import pytest

from computicle import *
from computicle.scheduler.timers import Timer
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import Asked, forever, turns


class Idle(Timer):
    """A timer that wakes nobody."""

    def fire(self) -> None: ...


class TestWhenAsked:
    def test_at_once(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: log.append("other"))
            asked = Asked("truthy")
            assert wait_for(asked) == "truthy"
            assert (asked.count, log) == (1, [])

        world.run(main)

    def test_never_while_nothing_runs(self, world: World) -> None:
        """Time passes, and timers do; but no fiber runs."""
        asked = Asked()

        def main() -> None:
            spawn(wait_for, asked)
            sleep(1)
            before = asked.count
            for _ in range(1000):
                current().kernel.timers.add(current().kernel.now() + 500, Idle())
            sleep(1000)
            assert asked.count == before + 1  # after main had run
            stop()

        world.run(main)

    def test_once_a_turn(self) -> None:
        asked = Asked()

        def main() -> None:
            fiber = spawn(wait_for, asked)
            for _ in range(3):
                spawn(turns, 100)
            turns(2)
            before = asked.count
            turns(10)
            assert asked.count == before + 10
            asked.value = "yes"
            assert fiber.join() == "yes"

        simulate(main)

    def test_a_timer_that_wakes_nobody_does_not_ask(self) -> None:
        asked = Asked()

        def main() -> None:
            spawn(wait_for, asked)
            with move_on_after(5):
                with shield():
                    sleep(10)  # the deadline comes in here
            counted.append(asked.count)
            stop()

        counted: list[int] = []
        simulate(main)
        assert counted == [2]  # as it began to wait, and after main had begun to sleep

    def test_a_beat_asks_only_its_own(self) -> None:
        plain, beating = Asked(), Asked()

        def main() -> None:
            spawn(wait_for, plain)
            spawn(lambda: wait_for(beating, every=1))
            sleep(0.5)
            before = plain.count, beating.count
            sleep(10)
            assert (plain.count, beating.count) == (before[0] + 1, before[1] + 1 + 10)  # and once after main had run
            stop()

        simulate(main)

    def test_a_beat_finds_what_came_from_outside(self, world: World) -> None:
        asked = iter([0, 0, 0, 0, "outside", "outside"])

        def main() -> None:
            assert wait_for(lambda: next(asked), every=0.5) == "outside"
            assert list(asked) == []

        world.run(main)

    def test_when_and_whenever_take_a_beat_too(self, world: World) -> None:
        first, second = iter([0, 0, 0, 1, 1, 1]), iter([0, 0, 1, 1, 0, 1, 1, 1, 1])
        log: list[str] = []

        def main() -> None:
            when(lambda: next(first), lambda: log.append("when"), every=1)
            whenever(
                lambda: next(second), lambda: log.append("whenever") or (log.count("whenever") > 1 and stop()), every=1
            )
            sleep(100)

        world.run(main)
        assert sorted(log) == ["when", "whenever", "whenever"]

    def test_each_wait_of_whenever_begins_a_beat_of_its_own(self) -> None:
        times: list[float] = []

        def main() -> None:
            now = current().kernel.now
            sleep(0.75)  # so that a second of the clock is full in between
            began = now()

            def predicate() -> bool:
                times.append(now() - began)
                return 0 < times.count(0.5) <= 2  # found true, and confirmed

            whenever(predicate, turns, every=1)
            sleep(0.5)
            sleep(3.25)  # as this begins, the predicate is found true; then it is waited for anew
            stop()

        simulate(main)
        assert sorted({time for time in times if time > 0.5}) == [1.5, 2.5, 3.5]

    def test_a_beat_ends_with_its_wait(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(TimeoutError):
                wait_for(lambda: False, every=1, timeout=3)
            waiting = [when(lambda: False, turns, every=1), spawn(lambda: wait_for(lambda: False, every=1))]
            turns()
            for fiber in waiting:
                fiber.cancel()
            turns()
            assert current().kernel.timers.next_deadline() is None
            with pytest.raises(Deadlock):
                Channel(0).receive()

        world.run(main)

    def test_first_come_first_asked_and_first_woken(self, world: World) -> None:
        log: list[str] = []
        items: list[int] = []

        def waiter(name: str) -> None:
            wait_for(Asked(items, log, name))
            woken.append(name)

        woken: list[str] = []

        def main() -> None:
            for name in "abc":
                spawn(waiter, name)
            yield_()
            log.clear()
            yield_()
            assert log == ["a", "b", "c"]
            items.append(1)

        world.run(main)
        assert woken == ["a", "b", "c"]


class TestStillTrue:
    """It is asked once more before the waiter goes on."""

    def test_one_item_wakes_one_of_many(self, world: World) -> None:
        items: list[int] = []
        taken: list[tuple[str, int]] = []

        def taker(name: str) -> None:
            assert wait_for(lambda: items) is items
            taken.append((name, items.pop()))

        def main() -> None:
            for name in "abcd":
                spawn(taker, name)
            for item in range(4):
                turns()
                assert len(taken) == item
                items.append(item)
            turns()

        world.run(main)
        assert taken == [("a", 0), ("b", 1), ("c", 2), ("d", 3)]

    def test_who_lost_waits_on_in_the_old_place(self, world: World) -> None:
        items: list[int] = []
        log: list[str] = []

        def taker(name: str) -> None:
            wait_for(lambda: items)
            log.append(name)
            items.pop()

        def main() -> None:
            spawn(taker, "a")
            spawn(taker, "b")
            yield_()
            items.append(1)  # both are found true; a takes it
            turns()
            spawn(taker, "c")
            turns()
            assert log == ["a"]
            items.append(2)
            turns()
            assert log == ["a", "b"]
            items.append(3)

        world.run(main)
        assert log == ["a", "b", "c"]

    def test_who_was_disappointed_is_asked_before_those_who_came_later(self, world: World) -> None:
        open_: set[str] = set()
        log: list[str] = []

        def main() -> None:
            def wait(name: str) -> None:
                wait_for(lambda: name in open_)
                log.append(name)

            for name in "ab":
                spawn(wait, name)
            turns()
            open_.add("a")
            yield_()  # a has been found true, and stands behind us
            open_.clear()
            turns()
            assert log == []
            open_.update("ab")

        world.run(main)
        assert log == ["a", "b"]

    def test_it_may_become_false_and_true_again_any_number_of_times(self, world: World) -> None:
        state = {"open": False}
        result: list[bool] = []

        def flicker() -> None:
            for _ in range(200):
                state["open"] = not state["open"]
                yield_()
            state["open"] = True

        def main() -> None:
            spawn(lambda: result.append(wait_for(lambda: state["open"]) and state["open"]))
            spawn(flicker)

        world.run(main)
        assert result == [True]

    def test_when_and_whenever_see_it_true(self, world: World) -> None:
        items: list[int] = []
        log: list[int] = []

        def main() -> None:
            for _ in range(3):
                when(lambda: items, lambda: log.append(items.pop()))
            loop = whenever(lambda: items, lambda: log.append(items.pop()))
            for number in range(6):
                items.append(number)
                turns(4)
            loop.cancel()

        world.run(main)
        assert log == [0, 1, 2, 3, 4, 5]


def test_whenever_gives_way_in_between(world: World) -> None:
    log: list[str] = []

    def main() -> None:
        loop = whenever(lambda: True, lambda: log.append("loop"))
        for _ in range(5):
            log.append("main")
            yield_()
        loop.cancel()

    world.run(main)
    assert 3 <= log.count("loop") <= 5
    assert "loop loop" not in " ".join(log)


def test_when_and_whenever_never_give_way_and_ask_later(world: World) -> None:
    asked = Asked(True)

    def main() -> None:
        spawn(forever)
        when(asked, turns)
        whenever(asked, stop)
        assert asked.count == 0

    world.run(main)


@pytest.mark.parametrize("begin", [lambda: when(lambda: True, turns), lambda: whenever(lambda: True, turns)])
def test_cancelled_after_it_was_found_but_before_it_began(begin: Callable[[], Fiber]) -> None:
    """Its first step never comes, and it leaves nothing behind."""

    def main() -> None:
        kernel = current().kernel
        fiber = begin()
        spawn(lambda: None)
        kernel.predicates.sweep(kernel.hub)
        assert fiber.waits_for is None  # found true
        fiber.cancel()
        turns()
        assert fiber.done
        assert not kernel.predicates.watches

    simulate(main)
