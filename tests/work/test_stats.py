"""What is said of a work queue: as much as was done, and nothing that is there is missed."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from computicle.work.gate import Gate
from computicle.work.table import Table
from tests.conftest import World
from tests.work.test_queue_worlds import LATE_S, hold, take_all


def test_what_was_done(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(10, max_tries=1)
        queue.enqueue_many(range(4))
        queue.dequeue().finish()
        queue.dequeue().give_back()
        item = queue.dequeue()
        stats = queue.stats()
        assert (stats.capacity, stats.queued, stats.leased, stats.dead, stats.closed) == (10, 1, 1, 1, False)
        assert (stats.put, stats.taken, stats.given_back, stats.wakes) == (4, 3, 1, 0)
        (share,) = [share for place, share in stats.places.items() if place]
        assert (share.pid, share.put, share.taken, share.leased, share.given_back) == (os.getpid(), 4, 3, 1, 1)
        queue.close()
        assert queue.stats().closed
        item.finish()

    world.run(main)


def test_who_was_woken(world: World) -> None:
    def main() -> None:
        queue = WorkQueue(10)
        waiting = spawn(queue.dequeue)
        yield_()
        assert queue.stats().wakes == 0
        queue.enqueue("work")
        waiting.join().finish()
        assert queue.stats().wakes == 1

    world.run(main)


def test_what_others_have_done() -> None:
    def main() -> None:
        queue = WorkQueue(10)
        workers = [Computicle(take_all, queue) for _ in range(2)]
        queue.enqueue_many(range(100))
        wait_for(lambda: not (queue.stats().queued or queue.stats().leased), every=0.001)
        shares = {share.pid: share for share in queue.stats().places.values()}
        assert sum(shares[worker.pid].taken for worker in workers if worker.pid in shares) == 100
        queue.close()
        for worker in workers:
            worker.wait()
        stats = queue.stats()  # what the ended ones have done is still counted, together
        assert (stats.put, stats.taken, stats.places[0].taken) == (100, 100, 100)

    run(main)


def test_what_a_dead_one_had_counts_as_given_back() -> None:
    def main() -> None:
        queue, news = WorkQueue(10, max_tries=2), WorkQueue(10)
        queue.enqueue("work")
        for tries in range(2):
            holder = Computicle(hold, queue, news)
            news.dequeue(timeout=LATE_S).finish()
            holder.kill()
            with pytest.raises(ComputicleDied):
                holder.wait()
            stats = queue.stats()
            assert (stats.taken, stats.given_back, stats.leased) == (tries + 1, tries + 1, 0)
        assert (stats.queued, stats.dead) == (0, 1)

    run(main)


@pytest.mark.parametrize("moment", range(1, 6))
@pytest.mark.parametrize("word", ["take", "give back"])
def test_what_moves_meanwhile_is_not_missed(monkeypatch: pytest.MonkeyPatch, word: str, moment: int) -> None:
    """Between any two looks, as another process would do it."""

    def main() -> None:
        queue = WorkQueue(10)
        queue.enqueue("work")
        items = [queue.dequeue()] if word == "give back" else []
        looks = 0

        def interfered(look: Callable[..., Any]) -> Callable[..., Any]:
            def look_later(*args: Any) -> Any:
                nonlocal looks
                looks += 1
                if looks == moment:
                    move()
                return look(*args)

            return look_later

        def move() -> None:
            if items:
                items.pop().give_back()
            else:
                items.append(queue.dequeue())

        with monkeypatch.context() as patch:
            patch.setattr(Table, "states", interfered(Table.states))
            patch.setattr(Gate, "items", interfered(Gate.items))
            stats = queue.stats()
        assert looks >= moment
        assert stats.queued + stats.leased >= 1

    run(main)
