"""workers: one function on each item, in other computicles, and what comes of it."""

import importlib
import os
import signal
import time
from functools import partial
from typing import Any

import pytest

from computicle import *
from computicle.work.progress import how_far
from computicle.work.table import DEAD_MAX
from tests.worlds.conftest import _nothing_is_left  # noqa: F401

workers_room: Any = importlib.import_module("computicle.work.workers")

COUNT = 200


def square(number: int) -> int:
    return number * number


def slow_at_first(number: int) -> int:
    if number % 7 == 0:
        for _ in range(20):
            yield_()
    return number


def fails_on(numbers: set[int], number: int) -> int:
    if number in numbers:
        raise LookupError(f"not {number}")
    return number


def test_results_as_they_are_done() -> None:
    def main() -> None:
        queue = WorkQueue(50)
        crew = workers(queue, square, 2)
        spawn(fill, queue)
        found = [outcome.get() for outcome in crew]
        assert sorted(found) == [number * number for number in range(COUNT)]
        crew.wait()

    run(main)


def fill(queue: WorkQueue) -> None:
    queue.enqueue_many(range(COUNT))
    queue.close()


def test_results_in_order() -> None:
    def main() -> None:
        queue = WorkQueue(20)
        queue.enqueue(-1)
        queue.dequeue().finish()  # so that the first number that counts is not the first
        queue.enqueue(-1)
        crew = workers(queue, slow_at_first, 3)
        spawn(fill, queue)
        assert [outcome.get() for outcome in crew.in_order()] == [-1, *range(COUNT)]

    run(main)


def test_errors_come_when_an_item_was_tried_too_often() -> None:
    def main() -> None:
        queue = WorkQueue(50)
        crew = workers(queue, Fails({3, 4}), 2)
        queue.enqueue_many(range(10))
        queue.close()
        outcomes = list(crew.in_order())
        assert [outcome.value for outcome in outcomes if outcome.error is None] == [0, 1, 2, 5, 6, 7, 8, 9]
        with pytest.raises(LookupError, match="not 3"):
            outcomes[3].get()
        assert isinstance(outcomes[4].error, LookupError)
        assert sorted(dead.value for dead in queue.dead) == [3, 4]

    run(main)


class Fails:
    def __init__(self, numbers: set[int]) -> None:
        self.numbers = numbers

    def __call__(self, number: int) -> int:
        return fails_on(self.numbers, number)


def dies_on_three(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def fails_on_three(number: int) -> int:
    return fails_on({3}, number)


def test_an_item_that_kills_its_workers() -> None:
    def main() -> None:
        queue = WorkQueue(50)
        crew = workers(queue, dies_on_three, 2)
        queue.enqueue_many(range(10))
        seen = 0
        for outcome in crew:  # it is told before the queue is closed
            seen += 1
            if outcome.error is not None:
                assert isinstance(outcome.error, ComputicleDied)
                assert "3 times" in str(outcome.error)
            if seen == 10:
                queue.close()
        assert seen == 10
        assert [dead.value for dead in queue.dead] == [3]

    run(main)


def full_of_dead(max_tries: int) -> WorkQueue:
    queue = WorkQueue(500, max_tries=max_tries)
    queue.enqueue_many(["dead"] * DEAD_MAX)
    for _ in range(DEAD_MAX * max_tries):
        queue.dequeue().give_back()
    assert len(queue.dead) == DEAD_MAX
    return queue


@pytest.mark.parametrize(("fn", "told"), [(fails_on_three, "not 3"), (dies_on_three, "died 2 times")])
def test_an_item_that_finds_no_room_among_the_dead_is_not_tried_for_ever(fn: Any, told: str) -> None:
    def main() -> None:
        queue = full_of_dead(2)
        crew = workers(queue, fn, 1)
        queue.enqueue_many(range(5))
        queue.close()
        outcomes = {outcome.number: outcome for outcome in crew}
        errors = [str(outcome.error) for outcome in outcomes.values() if outcome.error is not None]
        assert sorted(outcome.value for outcome in outcomes.values() if outcome.error is None) == [0, 1, 2, 4]
        assert sum(told in error for error in errors) == 1
        assert len(queue.dead) == DEAD_MAX

    run(main)


def test_an_error_after_the_item_has_ended_is_told() -> None:
    def main() -> None:
        heap = Heap(100_000)
        queue = WorkQueue(5, heap)
        crew = workers(queue, frees_and_fails, 1)
        queue.enqueue(heap.alloc(100))
        queue.close()
        (outcome,) = crew
        assert isinstance(outcome.error, LookupError)
        assert len(queue.dead) == 0

    run(main)


def frees_and_fails(block: Block) -> None:
    block.free()
    raise LookupError


def test_results_that_cannot_be_carried() -> None:
    def main() -> None:
        queue = WorkQueue(5, max_tries=1)
        crew = workers(queue, lambda number: (each for each in range(number)), 1)
        queue.enqueue(1)
        queue.close()
        (outcome,) = crew
        assert isinstance(outcome.error, TypeError)
        assert "generator" in str(outcome.error)

    run(main)


def test_nobody_wants_results() -> None:
    def main() -> None:
        queue, told = WorkQueue(10), WorkQueue(1000)
        crew = workers(queue, Tells(told), 2, results=False)
        spawn(fill, queue)
        crew.wait()
        assert sorted(told.dequeue_many(1000).values) == list(range(COUNT))
        with pytest.raises(RuntimeError, match="nobody wants results"):
            next(iter(crew))

    run(main)


class Tells:
    def __init__(self, queue: WorkQueue) -> None:
        self.queue = queue

    def __call__(self, value: Any) -> None:
        self.queue.enqueue(value)


def test_cancelling_them_puts_back_what_they_had() -> None:
    def main() -> None:
        queue, told = WorkQueue(10), WorkQueue(10)
        with scope():
            crew = workers(queue, Waits(told), 2)
            queue.enqueue_many(range(4))
            for _ in range(2):
                told.dequeue(timeout=20).finish()
            crew.cancel()
        give_up = time.monotonic() + 20
        while len(queue) < 4 and time.monotonic() < give_up:
            sleep(0.001)
        assert sorted(queue.dequeue_many(4).values) == [0, 1, 2, 3]

    run(main)


class Waits(Tells):
    def __call__(self, value: Any) -> None:
        super().__call__(value)
        sleep(1000)


def test_progress_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        queue = WorkQueue(50)
        crew = workers(queue, square, 1, progress=True)
        spawn(fill, queue)
        assert len(list(crew)) == COUNT

    run(main)
    said = capfd.readouterr()
    assert said.out == ""
    assert f"{COUNT}/{COUNT}" in said.err
    assert "square" in said.err
    assert "square-1" not in said.err


def test_how_far_they_are_counts_what_was_tried_too_often() -> None:
    def main() -> None:
        queue = WorkQueue(10, max_tries=2)
        queue.enqueue_many(range(5))
        queue.dequeue().finish()
        held = queue.dequeue()
        assert how_far(queue.stats()) == (1, 5)
        held.give_back()
        assert how_far(queue.stats()) == (1, 5)
        for _ in range(3):
            queue.dequeue().finish()
        queue.dequeue().give_back()
        assert how_far(queue.stats()) == (5, 5)

    run(main)


@pytest.mark.parametrize(
    ("fn", "name"),
    [(square, "square"), (partial(partial(fails_on, {3})), "fails_on"), (Fails({3}), "Fails"), (len, "len")],
)
def test_what_they_are_called(monkeypatch: pytest.MonkeyPatch, fn: Any, name: str) -> None:
    class Seen(Exception):
        pass

    def seen(_queue: Any, specs: list[Spec], _results: Any) -> Any:
        raise Seen(*(spec.name for spec in specs))

    monkeypatch.setattr(workers_room, "Workers", seen)
    with pytest.raises(Seen) as caught:
        workers(WorkQueue(1), fn, 2)
    assert caught.value.args == (f"{name}-1", f"{name}-2")


def dies(_number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_the_loop_is_told_when_workers_die_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_room, "RESTARTS_MAX", 2)

    def main() -> None:
        for listen in (iter, Workers.in_order):
            queue = WorkQueue(50, max_tries=255)
            crew = workers(queue, dies, 1)
            queue.enqueue(1)
            with pytest.raises(GaveUp, match="after 2 restarts"):
                list(listen(crew))
            with pytest.raises(GaveUp):
                crew.wait()

    run(main)


def test_the_scope_is_told_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers_room, "RESTARTS_MAX", 1)

    def main() -> None:
        queue = WorkQueue(50, max_tries=255)
        queue.enqueue(1)
        with pytest.raises(ExceptionGroup) as caught, scope():
            workers(queue, dies, 1)
        assert isinstance(caught.value.exceptions[0], GaveUp)

    run(main)


def test_the_log_is_told_when_the_loop_is_left_meanwhile(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers_room, "RESTARTS_MAX", 1)

    def main() -> None:
        queue = WorkQueue(50, max_tries=255)
        crew = workers(queue, dies_on_three, 1)
        queue.enqueue_many([1, 3])
        for outcome in crew:
            assert outcome.value == 1
            wait_for(lambda: crew.done, every=0.001)
            break
        assert "GaveUp" in caplog.text

    run(main)


@pytest.mark.parametrize("n", [0, -1, "two"])
def test_impossible_numbers(n: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="n must be"):
        workers(WorkQueue(1), square, n)


def test_no_function() -> None:
    with pytest.raises(TypeError, match="callable"):
        workers(WorkQueue(1), square(3))  # type: ignore[arg-type]


def test_a_queue_that_is_none() -> None:
    with pytest.raises(TypeError, match="queue must be a WorkQueue, not"):
        workers([1, 2, 3], print)  # type: ignore[arg-type]


def stops(value: int) -> None:
    stop()
    sleep(0)


@pytest.mark.parametrize("closed", [True, False])
def test_workers_that_all_end_by_themselves_are_an_error(closed: bool) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        queue.enqueue_many(range(5))
        if closed:
            queue.close()
        with pytest.raises(
            RuntimeError, match=r"ended by themselves, with [1-5] items in it" if closed else "still open"
        ):
            list(workers(queue, stops, 2))

    run(main)
