"""Looking into a queue's pipe: what is in it stays there, whatever the system allows."""

import errno
import fcntl
import gc
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from computicle import *
from computicle.work import pipe
from computicle.work.pipe import WorkPipe
from computicle.work.gate import Gate
from computicle.work.queue import WorkQueue
from computicle.work.record import inline
from computicle.worlds.launcher import launcher
from computicle.worlds.places import Places
from computicle.worlds.wards import Wards
from tests.conftest import World
from tests.descriptors import open_descriptors, settled_descriptors

CAPACITY = 1000  # so many need more than a new pipe has

system_fcntl = fcntl.fcntl


def refusing(number: int, command: int, argument: Any = 0) -> Any:
    """As for a user who has too much in pipes already."""
    if command == fcntl.F_SETPIPE_SZ:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
    return system_fcntl(number, command, argument)


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    yield lambda: monkeypatch.setattr(fcntl, "fcntl", refusing)
    monkeypatch.undo()


def test_who_has_made_one_can_look_into_it_whatever_is_allowed_later(refuse: Callable[[], None]) -> None:
    queue = WorkQueue(CAPACITY)
    refuse()
    queue.gate.nudge()
    assert len(queue) == 0
    queue.enqueue_many(range(CAPACITY), timeout=0)
    assert len(queue) == CAPACITY
    with pytest.raises(TimeoutError):
        queue.enqueue(0, timeout=0)
    queue.close()
    assert [item.value for item in queue] == [*range(CAPACITY)]


def test_where_it_is_not_allowed_there_is_no_queue(refuse: Callable[[], None]) -> None:
    end = pipe.make_work_pipe(CAPACITY, 128)
    gc.collect()  # queues of other tests would have the pipe it takes
    refuse()
    with pytest.raises(OSError, match="to look into a queue.*pipe-user-pages-soft"):
        pipe.WorkPipe(end, 128).reserve()
    with pytest.raises(OSError, match="for a queue of 1000 items.*pipe-user-pages-soft"):
        WorkQueue(CAPACITY)


def test_all_queues_of_a_process_are_looked_into_by_one_pipe() -> None:
    kept = WorkQueue(1, Heap(1000))  # so that the pipe is there, whether another test's queue still is or not
    kept.enqueue("so that this thread's own descriptors are there")
    before = settled_descriptors()
    queues = [WorkQueue(5, kept.heap)]
    of_one = open_descriptors() - before
    queues += [WorkQueue(CAPACITY, kept.heap), WorkQueue(7, kept.heap)]
    assert open_descriptors() - before == 3 * of_one
    assert of_one < 3 + 2, "it has more than its own, and what its table is mapped by"
    for queue in queues:
        queue.gate.nudge()
        queue.enqueue_many("abc")
    assert [len(queue) for queue in queues] == [3] * 3
    del queue, queues
    assert settled_descriptors() == before


def test_one_who_looks_in_the_middle_of_looking(monkeypatch: pytest.MonkeyPatch, refuse: Callable[[], None]) -> None:
    """A finaliser may strike there, or another thread come."""
    queue = WorkQueue(CAPACITY)
    queue.gate.nudge()
    queue.enqueue_many("abc")
    tee, found = pipe._tee, []

    def tee_and_look(*args: Any) -> int:
        monkeypatch.setattr(pipe, "_tee", tee)
        found.append(len(queue))
        refuse()
        found.append(len(queue))  # nudges count then
        count: int = tee(*args)
        return count

    monkeypatch.setattr(pipe, "_tee", tee_and_look)
    assert len(queue) == 3
    assert found == [3, 4]


def test_what_an_interrupt_has_left_is_not_found_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = WorkQueue(5)
    queue.gate.nudge()
    queue.enqueue_many("abc")
    tee = pipe._tee

    def tee_and_fail(*args: Any) -> int:
        tee(*args)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(pipe, "_tee", tee_and_fail)
        with pytest.raises(KeyboardInterrupt):
            len(queue)
    queue.dequeue().finish()
    assert len(queue) == 2


def test_where_one_has_come_to_and_nothing_is_allowed_wakes_count_until_they_are_taken(
    world: World, monkeypatch: pytest.MonkeyPatch, refuse: Callable[[], None]
) -> None:
    def main() -> None:
        queue = WorkQueue(2)
        pipe = queue._core.pipe
        system_fcntl(pipe.number, fcntl.F_SETPIPE_SZ, 1 << 19)
        came = WorkPipe(queue._core.ends.work, queue.record_size)
        monkeypatch.setattr(queue.gate, "_pipe", came)  # as in a process to which it has come
        refuse()
        queue.gate.nudge()
        queue.enqueue("a", timeout=0)
        assert len(queue) == 2
        waiting = spawn(queue.enqueue, "b")
        yield_()
        assert "room" in (waiting.waits_for or "")
        item = queue.dequeue()  # the wake first
        waiting.join(timeout=1)
        item.finish()
        queue.close()
        assert [each.value for each in queue] == ["b"]

    world.run(main)


def test_the_keeper_goes_on_where_nothing_is_allowed_any_more(
    monkeypatch: pytest.MonkeyPatch, refuse: Callable[[], None]
) -> None:
    handlers: dict[int, Any] = {}
    wards = Wards(Places(), handlers.__setitem__, handlers.__delitem__)

    def keep(shared: Any) -> None:
        order, numbers = shared.keeping()
        wards.obey(order, [os.dup(number) for number in numbers])

    queue = WorkQueue(CAPACITY)
    monkeypatch.setattr(launcher, "keep", keep)
    queue.heap.share()
    queue._core.share()
    core = queue._core
    core.table.join(2)
    dying = Gate(core.table, core.pipe, 2, core.room.call)
    assert dying.put(inline(b"N.", queue.record_size), 1)
    queue.enqueue("x" * 1000)
    refuse()
    wards.died(2)
    assert len([*wards]) == 2
    assert len(queue) == 2
    for ward in wards:
        wards._drop(ward)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads that pytest has
def test_a_forked_child_looks_by_a_pipe_of_its_own() -> None:
    queue = WorkQueue(CAPACITY)
    queue.gate.nudge()
    queue.enqueue_many("abc")
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            assert queue._core.pipe.items() == 3
            own = WorkQueue(5)
            own.gate.nudge()
            own.enqueue_many("ab")
            assert len(own) == 2
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(queue) == 3
