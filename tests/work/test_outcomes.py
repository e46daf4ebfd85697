"""Outcomes: of each item once, and in order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from computicle.work.gate import Gate
from computicle.work.outcomes import Outcomes
from computicle.work.queue import WorkQueue
from computicle.work.record import NUMBERS, inline


@given(st.data(), st.integers(0, NUMBERS - 1), st.integers(1, 40))
def test_each_once_and_in_order(data: st.DataObject, first: int, count: int) -> None:
    numbers = [(first + index) % NUMBERS for index in range(count)]
    arriving = data.draw(st.permutations([*numbers, *data.draw(st.lists(st.sampled_from(numbers), max_size=20))]))
    outcomes: Outcomes[int] = Outcomes()
    outcomes.begin(first)
    got: list[int] = []
    seen: set[int] = set()
    for number in arriving:
        assert outcomes.add(number, number) is (number not in seen)
        seen.add(number)
        got.extend(outcomes.in_order())
        outcomes.check()
        assert got == numbers[: len(got)]
        assert len(got) == count or numbers[len(got)] not in seen
    assert got == numbers
    assert list(outcomes.rest()) == []


@given(st.sets(st.integers(0, 30)), st.sets(st.integers(0, 30)))
def test_numbers_that_never_come(missing: set[int], other: set[int]) -> None:
    outcomes: Outcomes[tuple[int, int]] = Outcomes()
    expected: dict[int, list[tuple[int, int]]] = {1: [], 7: []}
    for place, left_out in ((1, missing), (7, other)):
        outcomes.begin(place * NUMBERS)
        for number in range(31):
            if number not in left_out:
                outcomes.add(place * NUMBERS + number, (place, number))
                expected[place].append((place, number))
    got = [*outcomes.in_order(), *outcomes.rest()]
    for place, of_one in expected.items():
        assert [each for each in got if each[0] == place] == of_one


def test_who_puts_in_where_another_one_has_ended_goes_on_counting() -> None:
    queue = WorkQueue(10)
    core = queue._core
    record = inline(b"N.", core.table.record_size)
    for _ in range(3):  # one after the other, at one place
        outcomes: Outcomes[int] = Outcomes()
        for first in queue.first_numbers():
            outcomes.begin(first)
        core.table.join(2)
        assert Gate(core.table, core.pipe, 2, core.room.call).put(record * 2, 2)
        for _ in range(2):
            with queue.dequeue(timeout=0) as item:
                outcomes.add(item.number, item.number)
                assert list(outcomes.in_order()) == [item.number]
        assert core._keeper is not None
        core._keeper.bury(2)
        assert [*core.table.members()] == [core.place]


def test_what_is_put_in_while_somebody_looks_counts_from_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue(10)
    queue.enqueue_many("ab")
    queue.dequeue().finish()
    peek = queue._core.pipe.peek

    def peek_late() -> bytes:
        queue.enqueue_many("cde")
        queue.dequeue().finish()
        queue.dequeue().finish()  # so that of those that are in, all came later
        return peek()

    monkeypatch.setattr(queue._core.pipe, "peek", peek_late)
    (first,) = queue.first_numbers()
    assert first % NUMBERS == 2


@given(st.lists(st.integers(0, 20)))
def test_noted_once_each_and_not_kept(numbers: list[int]) -> None:
    outcomes: Outcomes[str] = Outcomes()
    assert [number for number in numbers if outcomes.note(number)] == [*dict.fromkeys(numbers)]
    outcomes.check()
    assert [*outcomes.in_order(), *outcomes.rest()] == []


def test_what_was_before_the_first_is_known() -> None:
    outcomes: Outcomes[str] = Outcomes()
    outcomes.begin(5)
    assert not outcomes.add(4, "before")
    assert outcomes.add(5, "first")
    assert list(outcomes.in_order()) == ["first"]
