"""What is put in together: anything, in any mixture, arrives as it was and in order."""

import fractions
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from computicle import *
from computicle.work.queue import WorkQueue
from computicle.work.record import LARGE_COUNT_MAX
from tests.conftest import World

LONG = 70_000  # a pickler writes what is longer than 64 KiB in parts
NO_DATA = fractions.Fraction(1, 3)
VALUES = st.one_of(
    st.integers(),
    st.integers(0, 130).map(lambda length: "x" * length),  # around what fits into a record
    st.integers(0, 30).map(lambda length: b"y" * length),
    st.sampled_from([None, (), [1, [2]], {"a": {1}}, b"z" * LONG, "z" * LONG]),
    st.sampled_from([NO_DATA, (b"z" * LONG, NO_DATA), [b"z" * LONG, b"z"], {1: NO_DATA}]),
)
DEEP: list[Any] = []
for _ in range(200_000):
    DEEP = [DEEP]


def taken(queue: WorkQueue, count: int) -> list[Any]:
    found: list[Any] = []
    while len(found) < count:
        with queue.dequeue_many(count) as batch:
            found += batch.values
    return found


@given(st.lists(VALUES, max_size=50), st.sampled_from([60, LARGE_COUNT_MAX + 1]))
def test_any_mixture_arrives(items: list[Any], capacity: int) -> None:
    def main() -> None:
        queue = WorkQueue(capacity, Heap(10_000_000))
        queue.enqueue_many(iter(items))
        found = taken(queue, len(items))
        assert found == items
        assert list(map(type, found)) == list(map(type, items))
        assert queue.heap.stats().blocks == 0

    run(main)


def test_the_same_object_twice_is_two(world: World) -> None:
    def main() -> None:
        same = [1, 2]
        queue = WorkQueue(5)
        queue.enqueue_many([same, same, [same, same]])
        one, two, three = taken(queue, 3)
        assert one == two == same
        assert one is not two
        assert three[0] is three[1]

    world.run(main)


def test_too_deep_for_a_pickler(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        with pytest.raises(TypeError, match="recursion") as caught:
            queue.enqueue_many([1, DEEP, 2])
        assert "1 item was put into the work queue before that" in caught.value.__notes__
        queue.enqueue_many([3])
        assert taken(queue, 2) == [1, 3]

    world.run(main)


def none_after(items: list[Any]) -> Any:
    yield from items
    raise LookupError("there is no next one")


LAST: dict[str, Callable[[list[Any]], Any]] = {
    "there is none": none_after,
    "it cannot be carried": lambda items: [*items, (_ for _ in ())],
    "it is too large": lambda items: [*items, bytes(20_000)],
}


@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("capacity", [100, 2])
def test_those_before_one_that_cannot_be_put_in_are_in(world: World, capacity: int, last: str) -> None:
    items = [1, "x" * 1000, "two", NO_DATA, b"z" * 200]

    def main() -> list[Any]:
        queue = WorkQueue(capacity, Heap(16_000))
        taker = spawn(taken, queue, len(items))
        with pytest.raises((LookupError, TypeError, ValueError)) as caught:
            queue.enqueue_many(LAST[last](items))
        assert caught.value.__notes__ == ["5 items were put into the work queue before that"]
        found: list[Any] = taker.join()
        assert queue.heap.stats().blocks == 0
        return found

    assert world.run(main) == items


def test_where_there_is_no_room_for_those_before_it_is_told_what_came_first(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(2)
        with pytest.raises(LookupError) as caught:
            queue.enqueue_many(none_after([1, 2, "x" * 1000]), timeout=0)
        assert caught.value.__notes__ == ["2 items were put into the work queue before that"]
        assert taken(queue, 2) == [1, 2]
        assert queue.heap.stats().blocks == 0

    world.run(main)
