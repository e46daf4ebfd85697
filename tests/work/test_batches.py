"""A batch that has ended says how."""

from typing import Any

import pytest

from computicle import *
from computicle.work.queue import WorkQueue
from tests.conftest import World

KINDS = pytest.mark.parametrize("values", [[1, 2], ["x" * 1000, 2]], ids=["small", "in the heap"])


@KINDS
def test_finished(world: World, values: list[Any]) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many(values)
        with queue.dequeue_many(5) as batch:
            assert repr(batch) == "<Batch of 2 items>"
            assert batch.values == values
        batch.finish()
        assert repr(batch) == "<Batch finished>"
        for word in (lambda: batch.values, batch.give_back):
            with pytest.raises(ValueError, match="the batch is finished"):
                word()
        assert len(batch) == len(queue) == 0

    world.run(main)


@KINDS
def test_given_back(world: World, values: list[Any]) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue_many(values)
        with queue.dequeue_many(5) as batch:
            batch.give_back()
        assert repr(batch) == "<Batch given back>"
        for word in (lambda: batch.values, batch.give_back, batch.finish):
            with pytest.raises(ValueError, match="the batch is given back"):
                word()
        assert len(queue) == 2

    world.run(main)
