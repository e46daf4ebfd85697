"""A work queue in a forked child: it is the parent's, and nothing of it is touched."""

import os
from typing import Any

import pytest

from computicle.work.queue import WorkQueue


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads that pytest has
def test_a_forked_child_leaves_it_alone() -> None:
    queue = WorkQueue(5, max_tries=2)
    queue.enqueue("poison")
    for _ in range(2):
        queue.dequeue().give_back()
    (dead,) = queue.dead
    dead_ones = queue.dead
    queue.enqueue_many(["a", "b"])
    item = queue.dequeue()
    words: list[Any] = [
        lambda: queue.enqueue(1),
        lambda: queue.enqueue_many([1]),
        lambda: queue.gate.put(b"", 1),
        queue.dequeue,
        queue.close,
        lambda: queue.closed,
        lambda: queue.dead,
        queue.stats,
        queue.first_numbers,
        queue.__len__,
        queue.__reduce__,
        dead.requeue,
        dead.drop,
        lambda: dead.value,
        dead_ones.__len__,
        lambda: list(dead_ones),
    ]
    table, gate = queue._core.table, queue.gate
    intent = gate._intent
    table.ints[intent] = 3  # as if another thread were about to put something in
    with gate._lock:
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                for word in words:
                    with pytest.raises(RuntimeError, match="forked"):
                        word()
                item.finish()
                del item
                status = 0
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert table.ints[intent] == 3
    table.ints[intent] = 0
    assert table.held() == 1
    item.finish()
    assert len(queue) == 1
    assert dead.value == "poison"
    queue.check()
