"""Signals against a model: for each name, a line of waiters."""

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle import *
from computicle.testing import simulate

Step = st.tuples(
    st.sampled_from(["wait", "wait", "on", "every", "one", "one", "all", "cancel", "yield"]),
    st.integers(0, 2),  # which name
    st.integers(0, 50),  # whom to cancel
)


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(Step, max_size=60), seed=st.integers(0, 2**16))
def test_against_lines(steps: list[tuple[str, int, int]], seed: int) -> None:
    def main() -> None:
        count = itertools.count()
        values = itertools.count(1000)
        lines: dict[int, list[int]] = {0: [], 1: [], 2: []}
        every: set[int] = set()
        made: dict[int, Fiber] = {}
        expected: dict[int, list[int]] = {}
        got: dict[int, list[int]] = {}

        def begin(kind: str, name: int) -> None:
            number = next(count)
            got[number], expected[number] = [], []
            lines[name].append(number)
            if kind == "wait":
                made[number] = spawn(lambda: got[number].append(wait_signal(name)))
                yield_()  # it waits now; what was woken before has run as well
            else:
                made[number] = on_signal(got[number].append, name, every=kind == "every")
                if kind == "every":
                    every.add(number)

        for kind, name, number in steps:
            line = lines[name]
            if kind in ("wait", "on", "every"):
                begin(kind, name)
            elif kind == "one":
                value = next(values)
                assert signal_one(name, value) is bool(line)
                if line:
                    first = line.pop(0)
                    expected[first].append(value)
                    if first in every:
                        line.append(first)
            elif kind == "all":
                value = next(values)
                assert signal_all(name, value) == len(line)
                for waiter in line:
                    expected[waiter].append(value)
                lines[name] = [waiter for waiter in line if waiter in every]
            elif kind == "cancel" and made:
                yield_()
                yield_()
                fiber = made[number % len(made)]
                fiber.cancel()
                for one in lines.values():
                    if number % len(made) in one:
                        one.remove(number % len(made))
            else:
                yield_()
            current().kernel.signals.check()
        for _ in range(len(steps) + 5):
            yield_()
        assert got == expected
        for fiber in made.values():
            fiber.cancel()
        yield_()
        yield_()
        names: dict[Any, Any] = current().kernel.signals._names
        assert names == {}

    simulate(main, seed=seed)


def test_a_name_that_was_waited_for_in_no_time_is_forgotten() -> None:
    def main() -> None:
        for number in range(10):
            with pytest.raises(TimeoutError):
                wait_signal(number, timeout=0)
        assert not current().kernel.signals._names

    simulate(main)
