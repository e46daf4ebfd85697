"""Runs one after the other, and what they leave."""

import os
import threading

import pytest

from computicle import *
from tests.descriptors import open_descriptors, settled_descriptors
from tests.process.children import ended, linux_only


def test_run_under_run_is_refused() -> None:
    def main() -> None:
        with pytest.raises(RuntimeError, match="already"):
            run(int)
        with pytest.raises(RuntimeError, match="already|inside a fiber"):
            spawn(run, int).join()

    run(main)


def test_run_in_a_fiber_outside_run_is_refused() -> None:
    assert ended("""
try:
    spawn(run, int).join()
except RuntimeError as error:
    say("inside a fiber" in str(error))
""") == (0, ["True"], "")


def test_runs_follow_each_other() -> None:
    assert [run(lambda number=number: number) for number in range(100)] == list(range(100))


def test_a_run_that_failed_leaves_the_thread_as_it_was() -> None:
    def fail() -> None:
        spawn(sleep, 3600)
        raise ValueError("mine")

    for _ in range(3):
        with pytest.raises(ValueError, match="mine"):
            run(fail)
    assert run(lambda: len(fibers())) == 1


def test_fibers_from_before_keep_running_and_run_does_not_wait_for_them() -> None:
    assert ended("""
def before():
    for number in range(3):
        sleep(0.001)
        count.append(number)
    wait_signal("go")
    say("from before, after the run")

count = []
fiber = spawn(before)

def main():
    wait_for(lambda: len(count) == 3)
    spawn(lambda: say("in the run"))
    return "run has returned"

say(run(main))
say(fiber.done, [fiber.name for fiber in fibers()])
signal_all("go")
fiber.join()
""") == (0, ["in the run", "run has returned", "False ['main', 'before']", "from before, after the run"], "")


def test_stop_leaves_fibers_from_before_alone() -> None:
    assert ended("""
fiber = spawn(lambda: sleep(0.001) or say("going on"))
run(lambda: stop())
say(fiber.done)
fiber.join()
""") == (0, ["False", "going on"], "")


def test_a_run_inside_a_scope_of_the_flow() -> None:
    assert ended("""
with scope() as s:
    s.spawn(lambda: sleep(0.002) or say("in the scope"))
    say(run(lambda: spawn(lambda: 42).join()))
    spawn(lambda: say("in the scope, too"))
say("left")
""") == (0, ["42", "in the scope, too", "in the scope", "left"], "")


def words() -> None:
    with listen(0) as listener, connect("127.0.0.1", listener.port) as stream, listener.accept() as other:
        spawn(other.sendall, b"x")
        stream.recv(1)
    offload(int)
    with move_on_after(0.0001):
        sleep(3600)
    gather(lambda: sleep(0), lambda: yield_())


@linux_only
@pytest.mark.parametrize("end", ["returns", "fails", "is stopped"])
def test_a_hundred_runs_leave_no_descriptors_and_no_threads(end: str) -> None:
    def main() -> None:
        words()
        if end == "fails":
            raise ValueError
        if end == "is stopped":
            stop()

    def once() -> None:
        try:
            run(main)
        except ValueError:
            assert end == "fails"

    once()
    helpers = [thread for thread in threading.enumerate() if "helper" in thread.name]
    for thread in helpers:
        thread.join()
    before = settled_descriptors()
    for _ in range(100):
        once()
    assert open_descriptors() == before
    for thread in threading.enumerate():
        if "helper" in thread.name:
            thread.join()  # it ends by itself, now that its kernel is closed
