"""Hooks: tools are told what becomes of fibers, and nobody else notices."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from computicle import *
from computicle.scheduler.hooks import Hooks, attach, detach
from computicle.testing import simulate
from tests.conftest import World
from tests.process.children import ended


class Recorder(Hooks):
    """Writes down everything, and holds each fiber to the order of its life."""

    FOLLOWS = {
        None: {"created"},
        "created": {"ready", "parked"},  # parked: not told, since it waits from the start
        "ready": {"running", "ended"},
        "running": {"ready", "parked", "ended"},
        "parked": {"ready"},
    }

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.states: dict[Fiber, str] = {}

    def note(self, event: str, fiber: Fiber) -> None:
        self.told.append((event, fiber.name))
        if fiber.name == "main" or (event != "created" and fiber not in self.states):
            return  # it was there before
        before = self.states.get(fiber)
        assert event in self.FOLLOWS[before], (fiber, before, event)
        self.states[fiber] = event

    def created(self, fiber: Fiber) -> None:
        self.note("created", fiber)

    def ready(self, fiber: Fiber) -> None:
        assert fiber.why is None
        self.note("ready", fiber)

    def running(self, fiber: Fiber) -> None:
        self.note("running", fiber)

    def parked(self, fiber: Fiber) -> None:
        assert fiber.waits_for
        self.note("parked", fiber)

    def ended(self, fiber: Fiber) -> None:
        assert fiber.done
        self.note("ended", fiber)

    def of(self, name: str) -> list[str]:
        return [event for event, whose in self.told if whose == name]


@contextmanager
def recording() -> Iterator[Recorder]:
    recorder = Recorder()
    attach(recorder)
    try:
        yield recorder
    finally:
        detach(recorder)


def test_the_life_of_a_fiber(world: World) -> None:
    def worker() -> None:
        yield_()
        sleep(1)

    def main() -> list[tuple[str, str]]:
        with recording() as recorder:
            spawn(worker, name="worker").join()
        return recorder.told

    assert world.run(main) == [
        ("created", "worker"),
        ("ready", "worker"),
        ("parked", "test_the_life_of_a_fiber.<locals>.main"),
        ("running", "worker"),
        ("ready", "worker"),
        ("running", "worker"),
        ("parked", "worker"),
        ("ready", "worker"),
        ("running", "worker"),
        ("ready", "test_the_life_of_a_fiber.<locals>.main"),
        ("ended", "worker"),
        ("running", "test_the_life_of_a_fiber.<locals>.main"),
    ]


def test_fibers_that_wait_from_the_start_are_told_at_once(world: World) -> None:
    def main() -> None:
        with recording() as recorder:
            fibers = [delay(int, 1), on_signal(int, "x"), when(lambda: True, int), periodic(int, 1)]
            assert [event for event, _name in recorder.told] == ["created"] * 4
            sleep(2)
            signal_all("x")
            sleep(0)
            fibers[-1].cancel()
            yield_()
            assert list(recorder.states.values()) == ["ended"] * 4

    world.run(main)


def test_nothing_is_kept_of_fibers_that_were_ready_before(world: World) -> None:
    def main() -> None:
        spawn(int, name="ready")
        waiting = delay(int, 1)
        with recording():
            hooks = current().kernel.hooks
            assert hooks is not None
            yield_()
            assert hooks.told == {waiting}
            sleep(2)
            assert not hooks.told

    world.run(main)


def test_one_that_never_begins_is_never_running(world: World) -> None:
    def main() -> None:
        with recording() as recorder:
            for _ in range(3):
                spawn(int, name="doomed").cancel()
            delay(int, 1).cancel()
            yield_()
        assert recorder.of("doomed") == ["created"] * 0 + ["created", "ready"] * 3 + ["ended"] * 3
        assert recorder.of("int") == ["created", "ready", "ended"]

    world.run(main)


def test_the_park_is_told_before_the_kernel_sleeps() -> None:
    told_at: list[float] = []

    class Clock(Hooks):
        def parked(self, fiber: Fiber) -> None:
            told_at.append(fiber.kernel.now())

    def main() -> None:
        hooks = Clock()
        attach(hooks)
        sleep(1000)
        detach(hooks)
        assert told_at == [0]

    simulate(main)


def mixed_load() -> None:
    channel: Channel[int] = Channel(2)

    def work(depth: int) -> None:
        if depth:
            gather(lambda: work(depth - 1), lambda: work(depth - 1))
        channel.send(depth)
        with move_on_after(0.5):
            wait_signal("x", timeout=1)
        yield_()
        wait_for(lambda: True)
        offload(int)

    with scope() as s:
        for _ in range(3):
            s.spawn(work, 3)
        s.spawn(lambda: list(channel))
        beat = periodic(lambda: signal_one("x"), 0.1)
        sleep(20)
        beat.cancel()
        s.cancel()


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_every_fiber_lives_in_order_under_load(seed: int, shuffle: bool) -> None:
    def main() -> None:
        with recording() as recorder:
            mixed_load()
            yield_()
        assert set(recorder.states.values()) == {"ended"}

    simulate(main, seed=seed, shuffle=shuffle)


@pytest.mark.parametrize("shuffle", [False, True])
def test_looking_on_changes_nothing(shuffle: bool) -> None:
    def main(looking: bool) -> list[str]:
        order: list[str] = []
        hooks = Hooks()

        def work(number: int) -> None:
            for turn in range(5):
                order.append(f"{number}.{turn}")
                if looking and number == 3:
                    (attach, detach)[turn % 2](hooks)
                yield_() if number % 2 else sleep(0.01)

        for number in range(10):
            spawn(work, number)
        wait_for(lambda: len(order) == 50)
        return order

    assert simulate(main, True, seed=1, shuffle=shuffle) == simulate(main, False, seed=1, shuffle=shuffle)


def test_without_hooks_the_queue_is_the_one_from_before() -> None:
    def main() -> None:
        kernel = current().kernel
        before = kernel.ready
        spawn(int, name="ready")
        with recording():
            assert kernel.ready is not before
            with recording() as second:
                spawn(int, name="another")
                yield_()
            assert kernel.ready is not before
        assert kernel.ready is before
        assert kernel.hooks is None
        assert current().ready is before
        assert second.of("ready") == ["running", "ended"]
        yield_()

    run(main)


def test_hooks_attached_before_run_are_told_of_it() -> None:
    assert ended("""
from computicle.scheduler.hooks import Hooks, attach

class Names(Hooks):
    def created(self, fiber):
        say("created", fiber.name)
    def ended(self, fiber):
        say("ended", fiber.name)

attach(Names())
run(lambda: spawn(int, name="mine") and None)
spawn(int, name="outside")
sleep(0)
""").lines == ["created mine", "ended mine", "created outside", "ended outside"]


WORDS: dict[str, Callable[[], Any]] = {
    "sleep": lambda: sleep(0),
    "yield_": yield_,
    "wait_signal": lambda: wait_signal("x"),
    "wait_for": lambda: wait_for(lambda: False),
}


@pytest.mark.parametrize("event", ["created", "ready", "running", "parked", "ended"])
@pytest.mark.parametrize("word", WORDS)
def test_hooks_may_not_wait_and_are_taken_off(word: str, event: str, caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def waiting(_fiber: Fiber) -> None:
        nonlocal calls
        calls += 1
        WORDS[word]()

    def main() -> None:
        hooks = Hooks()
        setattr(hooks, event, waiting)
        attach(hooks)
        with recording() as recorder:
            for _ in range(3):
                spawn(sleep, 0, name="sleeper").join()
            assert recorder.of("sleeper").count("ended") == 3
        spawn(sleep, 0).join()

    with caplog.at_level(logging.ERROR, "computicle"):
        run(main)
    assert calls == 1
    assert [record.getMessage().split(" ")[-4:] for record in caplog.records] == [["and", "are", "taken", "off"]]
    assert "may not wait" in str(caplog.records[0].exc_info)


def test_hooks_may_look_at_everything() -> None:
    seen: list[Any] = []

    class Looking(Hooks):
        def parked(self, fiber: Fiber) -> None:
            seen.append((fiber.where.rpartition(":")[0], fiber.waits_for, len(fibers()), repr(fiber)))

    def main() -> None:
        hooks = Looking()
        attach(hooks)
        wait_signal("x", timeout=0.001) if False else sleep(0.001)
        detach(hooks)

    run(main)
    assert seen[0][0] == __file__
    assert seen[0][1].startswith("time")
    assert seen[0][2] == 1


def test_hooks_are_gone_in_a_forked_child() -> None:
    assert ended("""
from computicle.scheduler.hooks import Hooks, attach

class Telling(Hooks):
    def running(self, fiber):
        say("parent" if os.getpid() == parent else "child")

parent = os.getpid()
def main():
    attach(Telling())
    spawn(forking)

def forking():
    pid = os.fork()
    if pid:
        os.waitpid(pid, 0)
    else:
        spawn(int).join()
run(main)
""") == (0, ["parent", "parent"], "")
