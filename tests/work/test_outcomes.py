"""Outcomes: of each item once, and in order."""

from hypothesis import given
from hypothesis import strategies as st

from computicle.work.outcomes import Outcomes
from computicle.work.record import NUMBERS


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


def test_what_was_before_the_first_is_known() -> None:
    outcomes: Outcomes[str] = Outcomes()
    outcomes.begin(5)
    assert not outcomes.add(4, "before")
    assert outcomes.add(5, "first")
    assert list(outcomes.in_order()) == ["first"]
