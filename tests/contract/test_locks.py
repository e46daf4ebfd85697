"""Lock and Semaphore: first come, first served, and given back by whoever may."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import forever, turns


class TestLock:
    def test_one_at_a_time_in_order(self, world: World) -> None:
        lock = Lock()
        log: list[Any] = []

        def worker(number: int) -> None:
            with lock:
                assert lock.locked
                log.append(("in", number))
                sleep(1)
                log.append(("out", number))

        def main() -> None:
            for number in range(4):
                spawn(worker, number)

        world.run(main)
        assert log == [(step, number) for number in range(4) for step in ("in", "out")]
        assert not lock.locked

    def test_nobody_overtakes(self, world: World) -> None:
        """What is released goes to the longest waiter, even if somebody else asks before that one runs."""
        lock = Lock()
        log: list[str] = []

        def main() -> None:
            lock.acquire()
            spawn(lambda: lock.acquire() or log.append("waiter") or lock.release())  # type: ignore[func-returns-value]
            yield_()
            lock.release()
            assert lock.locked
            lock.acquire()
            log.append("main")
            lock.release()

        world.run(main)
        assert log == ["waiter", "main"]

    def test_is_not_reentrant(self, world: World) -> None:
        def main() -> None:
            lock = Lock()
            with lock, pytest.raises(RuntimeError, match="holds it already"):
                lock.acquire()
            assert not lock.locked

        world.run(main)

    def test_only_its_holder_releases(self, world: World) -> None:
        def main() -> None:
            lock = Lock()
            with pytest.raises(RuntimeError, match="only the fiber that holds it"):
                lock.release()
            lock.acquire()
            with pytest.raises(RuntimeError, match="only the fiber that holds it"):
                spawn(lock.release).join()
            assert lock.locked
            lock.release()

        world.run(main)

    def test_released_by_an_error_and_by_cancellation(self, world: World) -> None:
        lock = Lock()

        def holder() -> None:
            with lock:
                forever()

        def main() -> None:
            with pytest.raises(KeyError), lock:
                raise KeyError
            fiber = spawn(holder)
            yield_()
            assert lock.locked
            fiber.cancel()
            lock.acquire()
            lock.release()

        world.run(main)

    def test_a_cancelled_waiter_in_a_with_statement_does_not_release(self, world: World) -> None:
        lock = Lock()

        def waiter() -> None:
            with lock:
                raise AssertionError

        def main() -> None:
            lock.acquire()
            fiber = spawn(waiter)
            yield_()
            fiber.cancel()
            turns()
            assert fiber.done
            assert lock.locked
            lock.release()

        world.run(main)

    def test_repr(self) -> None:
        def main() -> None:
            lock = Lock()
            assert repr(lock) == "<Lock free, 0 waiting>"
            lock.acquire()
            spawn(lock.acquire, name="w").cancel()
            assert "held by" in repr(lock)
            assert repr(Semaphore(2)) == "<Semaphore 2 of 2 free, 0 waiting>"

        simulate(main)


class TestSemaphore:
    def test_at_most_n_and_in_order(self, world: World) -> None:
        semaphore = Semaphore(3)
        inside: list[int] = []
        began: list[int] = []
        most: list[int] = []

        def worker(number: int) -> None:
            with semaphore:
                began.append(number)
                inside.append(number)
                most.append(len(inside))
                sleep(1 + number % 3)
                inside.remove(number)

        def main() -> None:
            for number in range(20):
                spawn(worker, number)

        world.run(main)
        assert max(most) == 3
        assert began == [*range(20)]

    def test_any_fiber_may_release(self, world: World) -> None:
        def main() -> None:
            semaphore = Semaphore(1)
            semaphore.acquire()
            spawn(semaphore.release)
            semaphore.acquire()
            semaphore.release()
            with pytest.raises(RuntimeError, match="more often"):
                semaphore.release()

        world.run(main)

    @pytest.mark.parametrize("n", [0, -1])
    def test_fits_one_or_more(self, n: int) -> None:
        with pytest.raises(ValueError, match="1 or more"):
            Semaphore(n)

    @pytest.mark.parametrize("n", [1.0, "1", None, True])
    def test_of_a_whole_number(self, n: Any) -> None:
        with pytest.raises(TypeError, match="int"):
            Semaphore(n)


@settings(max_examples=100, deadline=None)
@given(
    n=st.integers(1, 3),
    holds=st.lists(st.sampled_from([0, 0.5, 1, 2]), min_size=1, max_size=10),
    timeouts=st.lists(st.sampled_from([None, 0, 1, 3]), min_size=10, max_size=10),
    cancels=st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 0.25, 1, 1.5])), max_size=6),
    seed=st.integers(0, 2**16),
    shuffle=st.booleans(),
)
def test_never_too_many_and_none_lost(
    n: int, holds: list[float], timeouts: list[float | None], cancels: list[Any], seed: int, shuffle: bool
) -> None:
    def main() -> None:
        semaphore = Semaphore(n)
        lock = Lock()
        inside = 0

        def worker(hold: float, timeout: float | None) -> None:
            nonlocal inside
            try:
                semaphore.acquire(timeout)
            except TimeoutError:
                return
            inside += 1
            assert inside <= n
            try:
                sleep(hold)
                with lock:
                    sleep(hold)
            finally:
                inside -= 1
                semaphore.release()

        with scope() as s:
            workers = [s.spawn(worker, hold, timeout) for hold, timeout in zip(holds, timeouts, strict=False)]
            for number, pause in cancels:
                sleep(pause)
                workers[number % len(workers)].cancel()
        assert inside == 0
        assert not lock.locked
        for _ in range(n):
            semaphore.acquire(timeout=0)

    simulate(main, seed=seed, shuffle=shuffle)
