"""Dying: processes that die, or stand still, at one line of the work rooms, and a keeper who puts things right.

The test's own process is the main program, and the keeper, too: it has the wards that a zygote has. Children are
forked from it. Each has a place of its own, and the heap and the queues anew, as one to whom they were handed.
"""

import ctypes
import gc
import os
import select
import signal
import sys
import time
import traceback
from collections.abc import Callable
from types import FrameType
from typing import Any

import computicle.work
from computicle.engine.pipes import PipeEnd
from computicle.work.core import Core, Ends
from computicle.work.heap import Heap
from computicle.work.memory import HeapMemory
from computicle.work.queue import WorkQueue
from computicle.worlds.launcher import launcher
from computicle.worlds.places import KEEPER, ROOT, Places
from computicle.worlds.wards import Wards
from tests.work.hands import NUMBERS, Hands, Record

HEAP_SIZE = 1 << 22
CAPACITY = 40
FIRSTS = range(64, NUMBERS, 8)  # of the items that children put in, each up to eight
TAKEN_MAX = 10  # items that are taken in one go
LATE_S = 20.0  # bounds a hang
NEVER = 1 << 60  # a line that nobody comes to

_ROOM = os.path.dirname(computicle.work.__file__) + os.sep
_PR_SET_PDEATHSIG = 1
_prctl = ctypes.CDLL(None).prctl


class Arena:
    """A heap and two queues over it, and who looks after them."""

    def __init__(self, monkeypatch: Any, capacity: int = CAPACITY, max_tries: int = 100) -> None:
        self._handlers: dict[int, Callable[[], None]] = {}
        self.places = Places()
        self.wards = Wards(self.places, self._handlers.__setitem__, self._forget)
        heap = Heap(HEAP_SIZE)
        queues = [WorkQueue(capacity, heap, max_tries=max_tries) for _ in range(2)]
        with monkeypatch.context() as patch:
            patch.setattr(launcher, "keep", self._keep)
            heap.share()
            for queue in queues:
                queue._core.share()
        self._given = [heap.keeping()[1], *(queue._core.keeping()[1] for queue in queues)]
        self._given = [[os.dup(number) for number in numbers] for numbers in self._given]  # for children
        self._uids = (heap.uid, *(queue._core.uid for queue in queues))
        self.records: list[Record] = [Record()]
        self.hands = Hands(queues[0], queues[1], self.records[0], 0)
        self.unsure = bytearray(NUMBERS)  # how many have died that may have finished it
        self.alive: dict[int, tuple[int, Record]] = {}  # by process: its place, and what it has done
        self.killed = 0  # of those who had to do with the items that there are now
        self._counted = (0, 0)  # put in and taken, before these

    # Children.

    def fork(self, life: Callable[[Hands], object], line: int = NEVER, what: int = signal.SIGKILL) -> int:
        """The process id of one that lives so, and sends itself a signal at that line."""
        place = self.places.take()
        record = Record()
        self.records.append(record)
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
                gc.disable()
                launcher.place = place
                trace = _Tracer(record, line, what).call
                comes = life.__name__ == "comes"
                sys.settrace(trace if comes else None)
                hands = self._attach(record)
                sys.settrace(trace)
                life(hands)
                sys.settrace(None)
                status = 0
            except BaseException:
                sys.settrace(None)
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        self.alive[pid] = (place, record)
        return pid

    def _attach(self, record: Record) -> Hands:
        (heap_bell, memory, heap_room), *queues = self._given
        heap = Heap.__new__(Heap)
        heap._attach(self._uids[0], HeapMemory(memory), PipeEnd(heap_room), PipeEnd(heap_bell))
        made = []
        for uid, numbers in zip(self._uids[1:], queues, strict=True):
            bell, *ends = (PipeEnd(number) for number in numbers)
            queue = WorkQueue.__new__(WorkQueue)
            queue._open(Core(uid, Ends(*ends), heap, bell))
            made.append(queue)
        return Hands(made[0], made[1], record, FIRSTS[len(self.records) - 2])

    def end_of(self, pid: int) -> int:
        """Wait until it has ended, and see to that: its exit status, or the signal, below zero."""
        self.wait(lambda: self.has_ended(pid), "to end", pid)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        place, record = self.alive.pop(pid)
        for number in range(NUMBERS):
            self.unsure[number] += record.unsure(number)
        self.wards.died(place)
        self.look()
        self.places.leave(place)
        assert status in (0, -signal.SIGKILL), "a child has failed"
        self.killed += status != 0
        return status

    def stopped(self, pid: int) -> bool:
        """Wait until it stands still, or has ended."""
        found = None

        def look() -> bool:
            nonlocal found
            found = os.waitid(os.P_PID, pid, os.WEXITED | os.WSTOPPED | os.WNOHANG | os.WNOWAIT)
            return found is not None

        self.wait(look, "to stop")
        return found is not None and found.si_code == os.CLD_STOPPED

    def has_ended(self, pid: int) -> bool:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def wait(self, true: Callable[[], bool], what: str, pid: int = 0) -> None:
        """Until it is; if that is told by its end, until a process has ended. All the while the bells are heard."""
        give_up = time.monotonic() + LATE_S
        watch = os.pidfd_open(pid) if pid else -1
        try:
            while not true():
                self.look(watch)
                if time.monotonic() > give_up:
                    raise TimeoutError(f"waited for too long for somebody {what}\n{self.hands.queue.dump()}")
                if not pid:
                    os.sched_yield()
        finally:
            if pid:
                os.close(watch)

    def kill_all(self) -> None:
        """A test has failed."""
        for pid in [*self.alive]:
            os.kill(pid, signal.SIGKILL)
            self.end_of(pid)

    # The keeper.

    def _keep(self, shared: Any) -> None:
        order, numbers = shared.keeping()
        self.wards.obey(order, [os.dup(number) for number in numbers])

    def _forget(self, descriptor: int) -> None:
        del self._handlers[descriptor]

    def look(self, watch: int = -1) -> None:
        """See to what the bells say. Waits for that, or for an event of the descriptor, if one is given."""
        while events := self._poll(watch):
            for descriptor in events:
                if descriptor in self._handlers:
                    self._handlers[descriptor]()
            if watch >= 0:
                return

    def _poll(self, watch: int) -> list[int]:
        ready = select.poll()
        for descriptor in self._handlers:
            ready.register(descriptor, select.POLLIN)
        if watch >= 0:
            ready.register(watch, select.POLLIN)
        return [descriptor for descriptor, _events in ready.poll(LATE_S * 1000 if watch >= 0 else 0)]

    # The reckoning.

    def reckon(self) -> None:
        """Nobody else is alive: do all that is left. Then everything is right, and there is room for everything."""
        assert not self.alive
        hands = self.hands
        for queue in (hands.queue, hands.second):
            queue.check()
            hands.finish_all(queue)
            self._finish_dead(queue)
            self._check_empty(queue)
        self._check_items()
        self._check_counts()
        assert hands.heap.stats().blocks == 0, hands.heap.dump()
        hands.heap.check()
        assert [*self.wards], "a ward was dropped"
        with hands.heap.alloc(HEAP_SIZE, timeout=0):
            pass
        for queue in (hands.queue, hands.second):
            if not queue.closed:
                self._check_room(queue)

    def _finish_dead(self, queue: WorkQueue) -> None:
        for dead in queue.dead:
            if queue.closed:
                self.hands.drop_dead(dead)
            else:
                dead.requeue(timeout=0)
        self.look()
        self.hands.finish_all(queue)

    def _check_counts(self) -> None:
        """Of what was put in and taken: only those who were killed in the middle of it may have counted it or not."""
        put, taken = (now - before for now, before in zip(self._count(), self._counted, strict=True))
        begun = sum(sum(record.begun) + record.passing[0] for record in self.records)
        done = sum(sum(record.put) + record.passed[0] for record in self.records)
        assert done <= put <= begun, f"{put} put in, {done} to {begun} in truth"
        found = sum(sum(record.taken) for record in self.records)
        assert found <= taken <= found + self.killed * TAKEN_MAX, f"{taken} taken, {found} in truth"

    def _count(self) -> tuple[int, int]:
        stats = [queue.stats() for queue in (self.hands.queue, self.hands.second)]
        return sum(each.put for each in stats), sum(each.taken for each in stats)

    def _check_items(self) -> None:
        for number in range(NUMBERS):
            begun = sum([record.begun[number] for record in self.records])
            put = sum([record.put[number] for record in self.records])
            done = sum([record.done[number] for record in self.records])
            finished = sum([record.finished[number] for record in self.records])
            if not (begun or done):
                continue
            dropped = any(record.dropped[number] for record in self.records)
            told = f"item {number}: begun {begun}, put {put}, done {done}, finished {finished}"
            assert begun <= 1, told
            assert put <= done or dropped, f"lost: {told}"
            assert done <= begun * (1 + self.unsure[number]), f"done twice: {told}, unsure {self.unsure[number]}"
            assert finished <= 1, f"finished twice: {told}"

    def _check_empty(self, queue: WorkQueue) -> None:
        stats = queue.stats()
        assert (stats.queued, stats.leased, stats.dead, len(queue)) == (0, 0, 0, 0), queue.dump()
        assert not queue._core.table.intents(-1)
        assert not any(queue._core.table.states(KEEPER))
        assert [*queue._core.table.members()] in ([], [ROOT])
        queue.check()

    def _check_room(self, queue: WorkQueue) -> None:
        queue.enqueue_many(range(queue.capacity), timeout=0)
        try:
            queue.enqueue(0, timeout=0)
        except TimeoutError:
            pass
        else:
            raise AssertionError("there is more room than there should be")
        for _ in range(queue.capacity):
            queue.dequeue(timeout=0).finish()

    def forget_items(self) -> None:
        """The next ones begin anew."""
        del self.records[1:]
        self.records[0].view[:] = bytes(len(self.records[0].view))
        self.unsure[:] = bytes(NUMBERS)
        self.killed = 0
        self._counted = self._count()

    def close(self) -> None:
        """Nobody has any of it any more."""
        self.kill_all()
        for numbers in self._given:
            for number in numbers:
                os.close(number)
        del self.hands
        gc.collect()
        self.look()
        assert not self._handlers


class _Tracer:
    """Counts the lines of the work rooms that a process comes to."""

    def __init__(self, record: Record, line: int, what: int) -> None:
        self._lines = record.lines
        self._left = line
        self._what = what

    def call(self, frame: FrameType, _event: str, _argument: Any) -> Any:
        return self.line if frame.f_code.co_filename.startswith(_ROOM) else None

    def line(self, _frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            self._lines[0] += 1
            if self._left == 0:
                os.kill(os.getpid(), self._what)
            self._left -= 1
        return self.line
