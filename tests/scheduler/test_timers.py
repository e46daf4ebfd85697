"""Timers against the plainest model there is: a list, sorted."""

import itertools
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    precondition,
    rule,
)

from computicle.scheduler.timers import HORIZON_S, ROT_MIN, Timer, Timers


class Noting(Timer):
    """Notes that it has fired, and may do something more."""

    __slots__ = ("cancels", "log", "name")

    def __init__(self, name: int, log: list[int]) -> None:
        self.name = name
        self.log = log
        self.timers = None
        self.cancels: list[Noting] = []

    def fire(self) -> None:
        self.log.append(self.name)
        for other in self.cancels:
            other.cancel()


class TimersMachine(RuleBasedStateMachine):
    """Adds, cancels and fires; equal deadlines come in the order of adding."""

    names = Bundle("names")

    def __init__(self) -> None:
        super().__init__()
        self.count = itertools.count()
        self.now = 0.0
        self.model: dict[int, tuple[float, int]] = {}  # name -> (deadline, order)
        self.timers_of: dict[int, Noting] = {}
        self.fired: list[int] = []
        self.most = 0  # timers at one time
        self.timers = Timers(itertools.count().__next__, 0.0)

    @rule(start=st.sampled_from([0.0, 0.3, 1e6, 1234.999]))
    @precondition(lambda self: not self.timers_of)
    def begin(self, start: float) -> None:
        self.now = start
        self.timers = Timers(itertools.count().__next__, start)

    def add(self, seconds: float) -> int:
        name = next(self.count)
        timer = self.timers_of[name] = Noting(name, self.fired)
        self.timers.add(self.now + seconds, timer)
        self.model[name] = (self.now + seconds, name)
        self.most = max(self.most, len(self.model))
        return name

    @rule(
        target=names,
        seconds=st.one_of(
            st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 60.0, 1e9]),
            st.floats(0, HORIZON_S),
            st.floats(0, 5),
            st.floats(0, 1e6),
        ),
    )
    def add_one(self, seconds: float) -> int:
        return self.add(seconds)

    @rule(target=names, count=st.integers(2, 3 * ROT_MIN), width=st.sampled_from([0.0, 0.5, 3.0, 100.0]))
    def add_many(self, count: int, width: float) -> Any:
        return multiple(*[self.add(width * (place * 7919 % count) / count) for place in range(count)])

    @rule(count=st.integers(1, 5 * ROT_MIN), first=st.sampled_from([1.0, 100.0, 1e9]))
    def add_and_cancel(self, count: int, first: float) -> None:
        for place in range(count):
            self.cancel(self.add(first + place))

    @rule(name=consumes(names))
    def cancel(self, name: int) -> None:
        self.timers_of[name].cancel()
        self.model.pop(name, None)

    @rule(part=st.floats(0, 1))
    def cancel_many(self, part: float) -> None:
        for name in [*self.model][: int(len(self.model) * part)]:
            self.timers_of[name].cancel()
            del self.model[name]

    @rule(first=names, second=names)
    def cancel_while_firing(self, first: int, second: int) -> None:
        if first in self.model and second in self.model and self.model[first] < self.model[second]:
            self.timers_of[first].cancels.append(self.timers_of[second])

    @rule(first=names)
    def cancel_all_others_while_firing(self, first: int) -> None:
        if first in self.model:
            self.timers_of[first].cancels += [
                self.timers_of[name] for name, place in self.model.items() if place > self.model[first]
            ]

    @rule(seconds=st.one_of(st.sampled_from([0.0, 0.5, 1.0, 2.0, 1e6]), st.floats(0, 10)))
    def fire(self, seconds: float) -> None:
        self.now += seconds
        self.fired.clear()
        self.timers.fire(self.now)
        expected: list[int] = []
        for name in sorted(self.model, key=lambda name: self.model[name]):
            if name in self.model and self.model[name][0] <= self.now:
                expected.append(name)
                for other in self.timers_of[name].cancels:
                    if other.name not in expected:
                        self.model.pop(other.name, None)
        for name in expected:
            self.model.pop(name, None)
        assert self.fired == expected
        assert all(self.timers_of[name].timers is None for name in expected)

    @rule()
    def sleep_until_the_next(self) -> None:
        """As the kernel does: never late, and early only a bounded number of times."""
        for _ in range(4):
            deadline = self.timers.next_deadline()
            if not self.model:
                assert deadline is None
                return
            first = min(self.model.values())[0]
            assert deadline is not None
            assert deadline <= first
            self.fire(max(0.0, deadline - self.now))
            if self.fired:
                return
        assert deadline == first

    @invariant()
    def holds(self) -> None:
        self.timers.check()
        assert len(self.timers._far) <= self.most * 2 + ROT_MIN


TestTimers = TimersMachine.TestCase
TestTimers.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)


def test_the_order_of_equal_deadlines_is_that_of_tie() -> None:
    for ties in itertools.permutations(range(4)):
        for deadline in (0.5, 70.0):
            log: list[int] = []
            timers = Timers(iter(ties).__next__, 0.0)
            for name in range(4):
                timers.add(deadline, Noting(name, log))
            timers.fire(100.0)
            assert log == sorted(range(4), key=lambda name: ties[name])  # noqa: B023


def test_cancelling_twice_and_after_firing_does_nothing() -> None:
    log: list[int] = []
    timers = Timers(itertools.count().__next__, 0.0)
    made = [Noting(name, log) for name in range(3)]
    for timer, deadline in zip(made, (0.1, 0.2, 50.0), strict=True):
        timer.cancel()  # not set yet
        timers.add(deadline, timer)
    made[1].cancel()
    made[1].cancel()
    made[2].cancel()
    timers.fire(0.15)
    made[0].cancel()
    timers.check()
    assert log == [0]
    assert timers.next_deadline() is None


def test_a_timer_added_while_firing_is_due_at_once() -> None:
    """If it is due: a timer for now, set by one that fires, need not wait for the next look."""
    log: list[int] = []
    timers = Timers(itertools.count().__next__, 0.0)

    class Adding(Noting):
        def fire(self) -> None:
            super().fire()
            if self.name < 5:
                timers.add(0.5, Adding(self.name + 1, self.log))

    timers.add(0.5, Adding(0, log))
    timers.fire(0.5)
    assert log == [0, 1, 2, 3, 4, 5]


def test_cancelled_timers_do_not_pile_up() -> None:
    timers = Timers(itertools.count().__next__, 0.0)
    log: list[int] = []
    for round_ in range(300):
        for deadline in (round_ * 0.01 + 0.5, round_ + 100.0):
            timer = Noting(0, log)
            timers.add(deadline, timer)
            timer.cancel()
        timers.fire(round_ * 0.01)
        timers.check()
        assert timers._rot <= ROT_MIN + 1
    assert timers.next_deadline() is None
    assert not timers._far


def test_seconds_whose_timers_were_cancelled_do_not_pile_up() -> None:
    """Each timer in a second of its own, which is far from coming; few of them stay."""
    timers = Timers(itertools.count().__next__, 0.0)
    log: list[int] = []
    for number in range(10_000):
        timer = Noting(number, log)
        timers.add(1000.0 + number, timer)
        if number % 500:
            timer.cancel()
        assert len(timers._far) == len(timers._seconds) <= 2 * 20 + ROT_MIN
    timers.check()
    timers.fire(20_000.0)
    assert log == [*range(0, 10_000, 500)]
