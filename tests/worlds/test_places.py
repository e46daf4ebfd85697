"""Places: the lowest free one, and never one that is taken."""

from hypothesis import given
from hypothesis import strategies as st

from computicle import *
from computicle.worlds.launcher import launcher
from computicle.worlds.places import KEEPER, NOWHERE, PLACES, ROOT, Places


@given(st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=60))
def test_the_lowest_free_one(steps: list[int | None]) -> None:
    places = Places()
    taken = {KEEPER, ROOT}
    for step in steps:
        if step is None:
            place = places.take()
            assert place == min(set(range(PLACES)) - taken)
            taken.add(place)
        elif step > ROOT and step in taken:
            places.leave(step)
            taken.remove(step)
        assert all((place in places) == (place in taken) for place in range(25))


def test_when_all_are_taken() -> None:
    places = Places()
    for _ in range(PLACES - 2):
        places.take()
    assert places.take() == NOWHERE
    places.leave(NOWHERE)
    places.leave(7)
    assert places.take() == 7


def place() -> int:
    return launcher.place


def test_each_computicle_has_its_own() -> None:
    assert launcher.place == ROOT

    def main() -> set[int]:
        worlds = [Computicle(stay=True) for _ in range(5)]
        return {world.call(place) for world in worlds}

    found = run(main)
    assert found is not None
    assert len(found) == 5
    assert min(found) > ROOT
