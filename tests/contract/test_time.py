# mypy: disable-error-code="func-returns-value"
"""Time: sleep, delay, periodic, and what is not a number of seconds."""

import math
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import fail, raises_group, turns


def now() -> float:
    return current().kernel.now()


class TestSleep:
    def test_in_order_of_time_not_of_asking(self, world: World) -> None:
        log: list[int] = []

        def main() -> None:
            for seconds in (30, 10, 20, 5000, 10):
                spawn(lambda seconds=seconds: sleep(seconds) or log.append(seconds))

        world.run(main)
        assert log == [10, 10, 20, 30, 5000]

    def test_as_long_as_asked(self) -> None:
        def main() -> None:
            for seconds in (0.25, 1.0, 3600.5, 1e-9, 1e9):
                before = now()
                sleep(seconds)
                assert now() == pytest.approx(before + seconds, abs=1e-6)

        simulate(main)

    def test_zero_gives_way_once(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: log.append("other"))
            sleep(0)
            assert log == ["other"]

        world.run(main)

    def test_always_gives_way(self, world: World) -> None:
        log: list[int] = []

        def main() -> None:
            for number in range(3):
                spawn(log.append, number)
                sleep(1e-12)
                assert log == [*range(number + 1)]

        world.run(main)

    def test_beyond_the_seconds_that_a_float_can_tell_apart(self) -> None:
        def main() -> None:
            sleep(1e17)
            sleep(1)
            with move_on_after(1e300) as deadline:
                sleep(1e301)
            assert deadline.expired
            assert now() >= 1e300

        simulate(main)

    def test_infinite_lasts_until_cancelled(self, world: World) -> None:
        def main() -> None:
            with move_on_after(1000) as deadline:
                sleep(math.inf)
            assert deadline.expired

        world.run(main)


WORDS: dict[str, Callable[[Any], Any]] = {
    "sleep": sleep,
    "delay": lambda seconds: delay(turns, seconds),
    "periodic": lambda seconds: periodic(turns, seconds),
    "fail_after": fail_after,
    "move_on_after": move_on_after,
    "wait_signal": lambda seconds: wait_signal("s", timeout=seconds),
    "wait_for": lambda seconds: wait_for(lambda: False, timeout=seconds),
    "every": lambda seconds: wait_for(lambda: False, every=seconds),
    "when": lambda seconds: when(lambda: False, turns, every=seconds),
    "whenever": lambda seconds: whenever(lambda: False, turns, every=seconds),
    "select": lambda seconds: select(Channel(0), timeout=seconds),
    "send": lambda seconds: Channel[int](0).send(1, seconds),
    "receive": lambda seconds: Channel(0).receive(seconds),
    "acquire": lambda seconds: Semaphore(1).acquire(seconds),
    "lock": lambda seconds: Lock().acquire(seconds),
}


@pytest.mark.parametrize("word", WORDS)
class TestArguments:
    @pytest.mark.parametrize("seconds", [-1, -1e-9, -math.inf, math.nan])
    def test_not_a_time(self, word: str, seconds: float) -> None:
        def main() -> None:
            with pytest.raises(ValueError, match=r"seconds|timeout|every"):
                WORDS[word](seconds)
            assert fibers() == [current()]

        simulate(main)

    @pytest.mark.parametrize("seconds", [True, False, "1", b"1", [], {}, object(), 1j])
    def test_not_a_number(self, word: str, seconds: Any) -> None:
        def main() -> None:
            with pytest.raises(TypeError, match=r"seconds|timeout|every"):
                WORDS[word](seconds)
            assert fibers() == [current()]

        simulate(main)

    @pytest.mark.parametrize("seconds", [1, 1.5, Decimal("1.5"), Fraction(3, 2)])
    def test_any_real_number(self, word: str, seconds: Any) -> None:
        def use() -> None:
            made = WORDS[word](seconds)
            if hasattr(made, "__enter__"):
                with made:
                    turns()

        def main() -> None:
            with scope() as s:
                s.spawn(use)
                sleep(0.5)
                s.cancel()

        simulate(main)


@pytest.mark.parametrize("word", ["periodic", "every", "when", "whenever"])
def test_a_beat_of_zero(word: str) -> None:
    with pytest.raises(ValueError, match="more than zero"):
        simulate(lambda: WORDS[word](0))


@pytest.mark.parametrize("word", ["wait_signal", "wait_for", "select", "send", "receive"])
def test_an_infinite_timeout_is_none(word: str) -> None:
    """It is not a timer: where nothing can happen any more, that is seen."""
    with pytest.raises(Deadlock):
        simulate(lambda: WORDS[word](math.inf))


def test_infinite_elsewhere() -> None:
    def main() -> None:
        made = [delay(turns, math.inf), periodic(turns, math.inf), when(lambda: False, turns, every=math.inf)]
        with fail_after(math.inf), move_on_after(math.inf) as deadline:
            sleep(5)
        assert not deadline.expired
        for fiber in made:
            assert not fiber.done
            fiber.cancel()
        turns()
        assert all(fiber.done for fiber in made)

    simulate(main)


class TestDelay:
    def test_once_and_later(self, world: World) -> None:
        log: list[str] = []

        def main() -> Any:
            fiber = delay(lambda: log.append("late") or 5, 10)
            turns()
            sleep(5)
            assert log == []
            sleep(10)
            assert log == ["late"]
            return fiber.join()

        assert world.run(main) == 5

    def test_cancelled_it_never_starts(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            fiber = delay(lambda: log.append("never"), 10)
            sleep(5)
            fiber.cancel()
            sleep(20)
            assert fiber.done

        world.run(main)
        assert log == []

    def test_cancelled_when_due_but_not_begun(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: sleep(10) or fiber.cancel())
            yield_()
            fiber = delay(lambda: log.append("never"), 10)

        simulate(main, seed=1)
        world.run(main)

    def test_its_error(self, world: World) -> None:
        error = ValueError()
        with raises_group(error):
            world.run(lambda: delay(lambda: fail(error), 1))

    def test_none_takes_a_carrier_while_it_waits(self) -> None:
        def main() -> None:
            for _ in range(1000):
                delay(turns, 1)
            assert all(fiber.runner is fiber for fiber in fibers() if fiber is not current())

        simulate(main)


class TestPeriodic:
    @given(
        period=st.floats(1e-3, 1e3),
        start=st.floats(0, 1e6),
        work=st.lists(st.sampled_from([0.0, 0.0, 0.1, 0.5, 0.99, 1.0, 1.5, 3.25]), min_size=3, max_size=30),
    )
    def test_keeps_the_beat_and_skips_what_it_missed(self, period: float, start: float, work: list[float]) -> None:
        called: list[float] = []
        delays = iter(work)

        def tick() -> None:
            called.append(now())
            pause = next(delays, None)
            if pause is None:
                stop()
            elif pause:
                sleep(pause * period)

        def main() -> None:
            sleep(start)
            origin.append(now())
            periodic(tick, period)

        origin: list[float] = []
        simulate(main)
        assert len(called) == len(work) + 1
        beats = [(time - origin[0]) / period for time in called]
        numbers = [round(beat) for beat in beats]
        assert beats == pytest.approx(numbers, abs=1e-5)  # no drift
        assert numbers[0] == 1
        for number, then, pause in zip(numbers, numbers[1:], work, strict=False):
            if pause in (0.0, 0.1, 0.5, 0.99):
                assert then == number + 1
            elif pause == 1.0:
                assert then in (number + 1, number + 2)
            else:
                assert then == number + math.ceil(pause)

    def test_a_period_next_to_nothing(self) -> None:
        def main() -> None:
            calls: list[int] = []
            beat = periodic(lambda: sleep(0.1) or calls.append(1), 5e-324)
            sleep(1.05)
            beat.cancel()
            assert len(calls) == 10

        simulate(main)

    def test_in_one_fiber(self, world: World) -> None:
        seen: set[Fiber] = set()

        def main() -> None:
            beat = periodic(lambda: seen.add(current()), 1)
            sleep(5.5)
            assert seen == {beat}
            beat.cancel()

        world.run(main)

    def test_cancelled_before_the_first(self, world: World) -> None:
        log: list[int] = []

        def main() -> None:
            periodic(lambda: log.append(1), 1).cancel()
            sleep(5)

        world.run(main)
        assert log == []

    def test_an_error_ends_it(self, world: World) -> None:
        error = ValueError()
        log: list[int] = []

        def tick() -> None:
            log.append(1)
            if len(log) == 3:
                raise error

        with raises_group(error):
            world.run(lambda: periodic(tick, 1))
        assert log == [1, 1, 1]
