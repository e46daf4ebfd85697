"""A heap and a queue as they arrive, in several threads at once, and in a forked child."""

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

from computicle.engine.packets import copies_of
from computicle.work import heap as heap_module
from computicle.work import queue as queue_module
from computicle.work.heap import Heap
from computicle.work.memory import HeapMemory
from computicle.work.queue import WorkQueue
from computicle.worlds.codec import pack, unpack
from tests.process.conftest import give_back_the_flow
from tests.worlds.conftest import warm_zygote

LATE_S = 20  # bounds a hang


@pytest.fixture(autouse=True)
def _a_zygote() -> Iterator[None]:
    give_back_the_flow()
    warm_zygote()
    yield
    give_back_the_flow()


def parcels(make: Callable[[], Any], count: int) -> list[Callable[[], Any]]:
    """Ways to unpack one that nobody here has otherwise: it arrives as in another process."""
    parcel = pack(make())
    data, copies = parcel.data, [copies_of(parcel.descriptors) for _ in range(count)]
    del parcel
    gc.collect()
    return [partial(unpack, data, 0, descriptors) for descriptors in copies]


@pytest.mark.parametrize(
    ("make", "module", "name"),
    [(lambda: Heap(1 << 20), heap_module, "HeapMemory"), (lambda: WorkQueue(10), queue_module, "Core")],
    ids=["Heap", "WorkQueue"],
)
def test_two_threads_that_unpack_it_get_one(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], Any], module: Any, name: str
) -> None:
    ways = parcels(make, 2)
    found = []
    started: list[threading.Thread] = []
    others = [threading.Thread(target=lambda: found.append(ways[1]()))]
    real = getattr(module, name)

    def in_the_middle(*arguments: Any) -> Any:
        made = real(*arguments)
        if others:
            other = others.pop()
            other.start()
            for _ in range(1000):  # as far as it gets
                time.sleep(0)
            started.append(other)
        return made

    monkeypatch.setattr(module, name, in_the_middle)
    found.append(ways[0]())
    started[0].join(LATE_S)
    one, other = found
    assert one is other


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads that pytest has
def test_a_child_that_was_forked_while_one_arrives_is_not_held_up(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (parcels(lambda: Heap(1 << 20), 1)[0] for _ in range(2))
    there, go_on = threading.Event(), threading.Event()
    real = HeapMemory

    def in_the_middle(number: int) -> Any:
        if threading.current_thread() is other:
            there.set()
            assert go_on.wait(LATE_S)
        return real(number)

    monkeypatch.setattr(heap_module, "HeapMemory", in_the_middle)
    other = threading.Thread(target=first)
    other.start()
    assert there.wait(LATE_S)
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            signal.alarm(LATE_S)
            second()
            status = 0
        finally:
            os._exit(status)
    go_on.set()
    other.join(LATE_S)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    second()  # so that nothing of it stays open here
