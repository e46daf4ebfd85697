"""Lines: first come, first served; leaving from anywhere; choices among several."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle import *
from computicle.scheduler.line import Choice, Line
from computicle.scheduler.park import wake
from computicle.testing import simulate
from tests.contract.helpers import turns


def test_empty() -> None:
    def main() -> None:
        line = Line("it")
        assert line.wake_first() is None
        while line.wake_first():
            pass
        line.raise_all(ValueError)
        assert str(line) == "it"

    simulate(main)


def test_wake_first_and_all_and_raise_all() -> None:
    log: list[object] = []

    def waiter(line: Line, number: int) -> None:
        try:
            log.append((number, line.wait(current())))
        except ValueError as error:
            log.append((number, error))

    def main() -> None:
        line, errors = Line("it"), [ValueError(), ValueError()]
        for number in range(3):
            spawn(waiter, line, number)
        yield_()
        assert line.wake_first("first")
        assert log == []  # waking never gives way
        turns()
        while line.wake_first("others"):
            pass
        assert not line.fibers
        turns()
        assert log == [(0, "first"), (1, "others"), (2, "others")]
        log.clear()
        for number in range(2):
            spawn(waiter, line, number)
        yield_()
        left = iter(errors)
        line.raise_all(lambda: next(left))
        turns()
        assert log == [(0, errors[0]), (1, errors[1])]

    simulate(main)


def test_what_each_brought_comes_out_with_it() -> None:
    def main() -> None:
        line = Line("it")
        for number in range(3):
            spawn(lambda number=number: line.wait(current(), None, number))
        yield_()
        for number in range(3):
            woken = line.wake_first()
            assert woken is not None
            assert woken[1] == number
        assert not line.fibers

    simulate(main)


def test_a_line_of_another_thread() -> None:
    """Who waits there can only be woken there, and is told so before anything has changed."""
    line = Line("it")
    waiting, end = threading.Event(), threading.Event()
    woken: list[object] = []

    def elsewhere() -> None:
        def main() -> None:
            spawn(lambda: woken.append(line.wait(current())))
            yield_()
            waiting.set()
            end.wait()
            line.wake_first("here")

        simulate(main)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    waiting.wait()

    def main() -> None:
        with pytest.raises(RuntimeError, match="another thread waits for it"):
            line.wake_first()
        assert len(line.fibers) == 1

    simulate(main)
    end.set()
    thread.join()
    assert woken == ["here"]


@settings(max_examples=100, deadline=None)
@given(
    lines_of=st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=4), min_size=1, max_size=8),
    wakes=st.lists(st.integers(0, 3), max_size=12),
)
def test_choices_against_a_model(lines_of: list[list[int]], wakes: list[int]) -> None:
    """Each wake reaches the longest waiter of that line, and takes it out of all its others."""

    def main() -> None:
        lines = [Line(str(number)) for number in range(4)]
        model: list[list[int]] = [[] for _ in lines]
        woken: dict[int, tuple[int, object]] = {}

        def waiter(number: int, chosen: list[int]) -> None:
            choice = Choice([lines[place] for place in chosen])
            value = choice.wait(current(), None)
            assert choice.winner is not None
            woken[number] = (lines.index(choice.winner), value)

        made = []
        for number, chosen in enumerate(lines_of):
            made.append(spawn(waiter, number, chosen))
            for place in set(chosen):
                model[place].append(number)
        yield_()
        expected: dict[int, tuple[int, object]] = {}
        for count, place in enumerate(wakes):
            assert (lines[place].wake_first(count) is not None) is bool(model[place])
            if model[place]:
                number = model[place][0]
                expected[number] = (place, count)
                for line in model:
                    if number in line:
                        line.remove(number)
        yield_()
        assert woken == expected
        for fiber in made:
            fiber.cancel()
        yield_()
        assert not any(line.fibers for line in lines)

    simulate(main)
