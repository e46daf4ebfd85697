"""Helper threads: bounded, reused, and ended when they have nothing to do."""

import os
import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from computicle.engine import threads as threads_module
from computicle.engine.op import Op
from computicle.engine.threads import Threads, in_helper_thread

HANG_S = 30  # bounds a hang; nothing takes this long


class Crew:
    """Helper threads, and what they have finished."""

    def __init__(self, threads_max: int = 64) -> None:
        self.finished: "queue.Queue[Op]" = queue.Queue()
        self.threads = Threads(self.finished.put, threads_max=threads_max)

    def call(self, fn: Callable[[], Any]) -> Op:
        return self.threads.call(fn, "a call", "somebody")

    def next(self) -> Op:
        return self.finished.get(timeout=HANG_S)


@pytest.fixture
def crew() -> Any:
    crew = Crew(threads_max=3)
    before = set(threading.enumerate())
    yield crew
    crew.threads.close()
    for thread in set(threading.enumerate()) - before:
        thread.join(HANG_S)
        assert not thread.is_alive()


def idle_again(crew: Crew) -> None:
    """Until a helper waits for its next call."""
    while not crew.threads._idle:
        os.sched_yield()


def test_values_and_errors(crew: Crew) -> None:
    op = crew.call(lambda: 42)
    assert crew.next() is op
    assert (op.result, op.error) == (42, None)
    error = KeyboardInterrupt("even this")

    def fail() -> None:
        raise error

    op = crew.call(fail)
    assert crew.next() is op
    assert op.error is error


def test_they_are_bounded_and_the_rest_wait_their_turn(crew: Crew) -> None:
    go, begun = threading.Semaphore(0), threading.Semaphore(0)
    lock = threading.Lock()
    at_work: list[int] = []
    most = 0

    def work() -> None:
        nonlocal most
        with lock:
            at_work.append(1)
            most = max(most, len(at_work))
        begun.release()
        assert go.acquire(timeout=HANG_S)
        with lock:
            at_work.pop()

    ops = [crew.call(work) for _ in range(10)]
    for _ in range(3):
        assert begun.acquire(timeout=HANG_S)
    assert crew.threads._threads == 3
    go.release(10)
    assert {crew.next() for _ in range(10)} == set(ops)
    assert most == 3


def test_they_are_reused(crew: Crew) -> None:
    used: set[int] = set()
    for _ in range(20):
        op = crew.call(threading.get_ident)
        crew.next()
        used.add(op.result)
        idle_again(crew)
    assert len(used) == 1


def test_one_idle_helper_does_not_serve_two_calls_in_turn(crew: Crew) -> None:
    """Both are started at once: the second must not wait for the first."""
    crew.call(int)
    crew.next()
    idle_again(crew)
    together = threading.Barrier(2, timeout=HANG_S)
    crew.call(together.wait)
    crew.call(together.wait)
    assert {crew.next().error, crew.next().error} == {None}


def test_idle_ones_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "IDLE_S_MAX", 0.001)
    crew = Crew()
    threads = []
    for _ in range(5):
        op = crew.call(threading.current_thread)
        crew.next()
        threads.append(op.result)
    for thread in threads:
        thread.join(HANG_S)
        assert not thread.is_alive()
    assert crew.threads._threads == crew.threads._idle == 0
    assert crew.call(lambda: "again").waiter
    assert crew.next().result == "again"


def test_closing_ends_the_idle_at_once_and_the_busy_after_their_call() -> None:
    crew = Crew()
    go = threading.Event()
    crew.call(threading.current_thread)
    idle = crew.next().result
    begun = threading.Event()

    def work() -> threading.Thread:
        begun.set()
        go.wait(HANG_S)
        return threading.current_thread()

    busy_op = crew.call(work)
    assert begun.wait(HANG_S)
    crew.threads.close()
    go.set()
    busy = crew.next()
    assert busy is busy_op
    for thread in (idle, busy.result):
        thread.join(HANG_S)
        assert not thread.is_alive()


def test_a_call_withdrawn_before_its_turn_never_runs(crew: Crew) -> None:
    go = threading.Event()
    ran: list[str] = []
    for _ in range(3):
        crew.call(lambda: go.wait(HANG_S))
    late = crew.call(lambda: ran.append("late"))
    late.call_off("somebody")
    go.set()
    for _ in range(4):
        crew.next()
    assert ran == []


def test_calls_given_up_do_not_pile_up(crew: Crew) -> None:
    go = threading.Event()
    stuck = [crew.call(lambda: go.wait(HANG_S)) for _ in range(3)]
    for _ in range(1000):
        crew.call(int).call_off("somebody")
        assert len(crew.threads._calls) <= 6
    kept = crew.call(lambda: "kept")
    for _ in range(10):
        crew.call(int).call_off("somebody")
    go.set()
    ended: set[Op] = set()
    while not ended >= {*stuck, kept}:  # those given up come out, too, if they have not been thrown out
        ended.add(crew.next())


def test_no_thread_to_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    crew = Crew()

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        with pytest.raises(RuntimeError, match="can't start"):
            crew.call(int)
    assert not crew.threads._calls
    assert crew.threads._threads == 0
    go = threading.Event()
    crew.call(lambda: go.wait(HANG_S))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        crew.call(lambda: "the one there is must do")
    go.set()
    assert crew.next().result is True
    assert crew.next().result == "the one there is must do"
    crew.threads.close()


def test_helpers_know_what_they_are(crew: Crew) -> None:
    assert not in_helper_thread()
    crew.call(in_helper_thread)
    assert crew.next().result is True


def test_many_calls_through_few_threads() -> None:
    def main() -> None:
        with scope() as s:
            fibers_ = [s.spawn(offload, int, number) for number in range(500)]
        assert [fiber.join() for fiber in fibers_] == list(range(500))

    before = threading.active_count()
    run(main)
    assert threading.active_count() - before <= threads_module.THREADS_MAX
