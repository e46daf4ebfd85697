# mypy: disable-error-code="func-returns-value"
"""Where switches happen (law 1), and who comes next (law 10)."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest

from computicle import *
from computicle.engine.op import Op
from computicle.engine.sim import SimEngine
from computicle.scheduler.flows import run_apart
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import forever, turns

NEVER: dict[str, Callable[[Any], Any]] = {
    "spawn": lambda _: spawn(forever),
    "scope.spawn": lambda s: s.spawn(forever),
    "delay": lambda _: delay(turns, 0),
    "periodic": lambda _: periodic(turns, 1),
    "on_signal": lambda _: on_signal(turns, "s"),
    "on_signal every": lambda _: on_signal(turns, "s", every=True),
    "when": lambda _: when(lambda: True, turns),
    "whenever": lambda _: whenever(lambda: False, turns),
    "signal_one": lambda _: signal_one("s"),
    "signal_all": lambda _: signal_all("s"),
    "cancel": lambda _: spawn(forever).cancel(),
    "current": lambda _: current(),
    "fibers": lambda _: fibers(),
    "release": lambda _: released(),
    "close": lambda _: Channel(1).close(),
    "shield": lambda _: shield().__enter__().__exit__(None, None, None),
    "move_on_after": lambda _: move_on_after(1).__enter__().__exit__(None, None, None),
}


def released() -> None:
    semaphore = Semaphore(1)
    semaphore._free = 0
    semaphore.release()


@pytest.mark.parametrize("word", NEVER)
def test_words_that_never_give_way(world: World, word: str) -> None:
    log: list[str] = []

    def main() -> None:
        with scope() as s:
            s.spawn(log.append, "other")
            for _ in range(300):
                NEVER[word](s)
            assert log == []
            s.cancel()

    world.run(main)


def completing(channel: Channel[int], done: Fiber, lock: Lock, semaphore: Semaphore) -> dict[str, Callable[[], Any]]:
    """Words that may wait, but need not just now."""
    return {
        "send": lambda: channel.send(1),
        "receive": channel.receive,
        "join": done.join,
        "acquire": lambda: semaphore.acquire() or semaphore.release(),
        "lock": lambda: lock.acquire() or lock.release(),
        "select": lambda: select(done, channel),
        "wait_for": lambda: wait_for(lambda: True),
        "iteration": lambda: next(iter(channel)),
        "leaving a scope": lambda: scope().__enter__().__exit__(None, None, None),
    }


WORDS = ["send", "receive", "join", "acquire", "lock", "select", "wait_for", "iteration", "leaving a scope"]
INSIDE: dict[str, Callable[[], Any]] = {
    "nothing": lambda: None,
    "a deadline": lambda: move_on_after(1),
    "a shield": shield,
}


@pytest.mark.parametrize("inside", INSIDE)
@pytest.mark.parametrize("word", WORDS)
def test_sixty_four_completions_in_a_row(word: str, inside: str) -> None:
    """So many do not give way; the next one does, once. A wait begins the count anew."""
    log: list[str] = []

    def main() -> None:
        channel = Channel[int](1000)
        for number in range(400):
            channel.send(number)
        call = completing(channel, spawn(int), Lock(), Semaphore(1))[word]
        for _ in range(2):
            sleep(1)
            log.clear()
            spawn(log.append, "other")
            for count in range(1, 66):
                region = INSIDE[inside]()
                if region is None:
                    call()
                else:
                    with region:
                        call()
                assert log == ([] if count <= 64 else ["other"])
            spawn(log.append, "other")
            for _ in range(63):
                call()
            assert log == ["other"]
            call()
            assert log == ["other", "other"]

    simulate(main)


def test_completions_of_all_kinds_count_together(world: World) -> None:
    def main() -> None:
        log: list[str] = []
        channel = Channel[int](1)
        sleep(0.1)
        spawn(log.append, "other")
        for _ in range(32):
            channel.send(1)
            channel.receive()
        assert log == []
        channel.send(1)
        assert log == ["other"]

    world.run(main)


@pytest.mark.parametrize("wait", [yield_, lambda: sleep(0), lambda: sleep(1e-9)])
def test_words_that_always_give_way(world: World, wait: Callable[[], None]) -> None:
    def main() -> None:
        log: list[int] = []
        for number in range(100):
            spawn(log.append, number)
            wait()
            assert log == [*range(number + 1)]

    world.run(main)


def test_between_two_words_nothing_else_runs(world: World) -> None:
    """The promise that makes locks for plain state needless."""
    state = {"a": 0, "b": 0}

    def worker() -> None:
        for _ in range(50):
            assert state["a"] == state["b"]
            state["a"] += 1
            spawn(turns)
            signal_all("s")
            state["b"] += 1
            yield_()

    world.run(lambda: gather(*[worker] * 20) and None)
    assert state == {"a": 1000, "b": 1000}


@pytest.mark.parametrize("count", [1, 2, 3, 63, 64, 65, 130, 700])
def test_ready_fibers_run_first_in_first_out(world: World, count: int) -> None:
    log: list[int] = []

    def worker(number: int) -> None:
        for _ in range(5):
            log.append(number)
            yield_()

    def main() -> None:
        for number in range(count):
            spawn(worker, number)

    world.run(main)
    assert log == [*range(count)] * 5


def test_woken_fibers_stand_at_the_end(world: World) -> None:
    log: list[str] = []

    def main() -> None:
        channel = Channel[int](0)
        spawn(lambda: channel.receive() or log.append("receiver"))
        spawn(lambda: wait_signal("s") or log.append("waiter"))
        yield_()
        spawn(log.append, "first")
        signal_one("s")
        spawn(log.append, "second")
        channel.send(0)
        spawn(log.append, "third")

    world.run(main)
    assert log == ["first", "waiter", "second", "receiver", "third"]


class Counted(SimEngine):
    """Its clock is turned by hand; it counts how often it is looked at."""

    def __init__(self) -> None:
        super().__init__()
        self.polls = 0

    def poll(self, timeout: float | None) -> deque[Op]:
        self.polls += 1
        return super().poll(timeout)


class TestLooks:
    """While fibers are always ready, timers and engine are looked at every 16 turns or every millisecond."""

    @pytest.mark.parametrize("count", [1, 3, 64, 200])
    def test_every_sixteen_turns(self, count: int) -> None:
        engine = Counted()
        steps = 0
        seen: list[tuple[int, int]] = []

        def worker() -> None:
            nonlocal steps
            for _ in range(6000 // count):
                steps += 1
                seen.append((steps, engine.polls))
                yield_()

        def main() -> None:
            with scope() as s:
                for _ in range(count):
                    s.spawn(worker)

        run_apart(engine, None, main, (), {})
        longest = 16 * min(count, 64) + 2 * 16  # main's own steps in between, and the turn that was cut
        for start in range(0, len(seen) - longest - 1, 7):
            assert seen[start + longest + 1][1] > seen[start][1]

    def test_every_millisecond(self) -> None:
        engine = Counted()
        seen: list[tuple[float, int]] = []

        def worker() -> None:
            for _ in range(2000):
                engine.time += 0.0003
                seen.append((engine.time, engine.polls))
                yield_()

        run_apart(engine, None, worker, (), {})
        for (_, before), (_, after) in zip(seen, seen[5:], strict=False):
            assert after > before

    def test_slow_fibers_make_the_turns_shorter(self) -> None:
        """Where each takes a millisecond, a look comes after a few of them, and not after a turn of 64."""
        engine = Counted()
        looked: list[int] = []

        def worker() -> None:
            for _ in range(30):
                engine.time += 0.001
                yield_()
                looked.append(engine.polls)

        run_apart(engine, None, gather, (worker,) * 100, {})
        late = looked[len(looked) // 2 :]
        assert late[-1] - late[0] >= len(late) * 0.25

    def test_what_the_engine_finishes_gets_through(self) -> None:
        engine = Counted()
        log: list[Any] = []

        def main() -> None:
            spawn(lambda: log.append(offload(lambda: "called")))
            for _ in range(100):
                engine.time += 0.0005
                yield_()
            assert log == ["called"]

        run_apart(engine, None, main, (), {})

    def test_predicates_are_asked_each_turn_all_the_same(self) -> None:
        engine = Counted()
        asked: list[int] = []

        def main() -> None:
            fiber = spawn(lambda: wait_for(lambda: asked.append(engine.polls)))
            turns(100)
            fiber.cancel()

        run_apart(engine, None, main, (), {})
        assert len(asked) >= 100
        assert len(set(asked)) < 20


@pytest.mark.parametrize(
    "leave",
    [
        lambda: cancelled(scope()),
        lambda: cancelled(move_on_after(1)),
    ],
)
def test_leaving_what_was_cancelled_is_no_way_to_keep_the_thread(world: World, leave: Callable[[], Any]) -> None:
    """Nor does it give way when it need not: the count goes on as if nothing had been."""

    def main() -> None:
        log: list[str] = []
        spawn(log.append, "other")
        channel = Channel[int](1)
        for count in range(100):
            channel.send(count)
            channel.receive()
            leave()
            if log:
                break
        assert 15 < count < 64

    world.run(main)


def test_shields_are_no_way_to_keep_the_thread(world: World) -> None:
    def main() -> None:
        log: list[str] = []
        counts: list[int] = []
        channel = Channel[int](1)

        def stubborn() -> None:
            try:
                forever()
            finally:
                outside.spawn(log.append, "other")
                while not log and len(counts) < 100:
                    with shield():
                        channel.send(1)
                        counts.append(channel.receive())

        with scope() as outside:
            fiber = spawn(stubborn)
            turns()
            fiber.cancel()
        assert 15 < len(counts) < 64

    world.run(main)


def cancelled(region: Any) -> None:
    with region:
        region.cancel()


NOTHING_THERE: dict[str, Callable[[Any], Any]] = {
    "receive": lambda it: it["empty"].receive(timeout=0),
    "send": lambda it: it["full"].send(1, timeout=0),
    "join": lambda it: it["fiber"].join(timeout=0),
    "acquire": lambda it: it["lock"].acquire(timeout=0),
    "semaphore": lambda it: it["semaphore"].acquire(timeout=0),
    "wait_for": lambda it: wait_for(lambda: False, timeout=0),
    "wait_signal": lambda it: wait_signal("s", timeout=0),
    "select": lambda it: select(it["empty"], timeout=0),
}


def nothing_there() -> dict[str, Any]:
    it = {
        "empty": Channel[int](1),
        "full": Channel[int](0),
        "fiber": spawn(forever),
        "lock": Lock(),
        "semaphore": Semaphore(1),
    }
    spawn(it["lock"].acquire).join()  # type: ignore[attr-defined]
    spawn(it["semaphore"].acquire).join()  # type: ignore[attr-defined]
    return it


@pytest.mark.parametrize("word", NOTHING_THERE)
def test_waiting_for_no_time_at_all_gives_nobody_a_turn(world: World, word: str) -> None:
    """But 64 of them do, as of anything."""

    def main() -> None:
        tries = 0
        seen: list[int] = []

        def other() -> None:
            while True:
                seen.append(tries)
                yield_()

        it = nothing_there()
        spawn(other)
        for _ in range(300):
            tries += 1
            with pytest.raises(TimeoutError):
                NOTHING_THERE[word](it)
        # join waits in line for its turn, which may be several of the other's.
        between = [later - earlier for earlier, later in pairwise(seen) if later != earlier]
        assert len(between) >= 3
        assert all(64 <= count <= 66 for count in between), between
        stop()

    world.run(main)


def test_an_error_that_comes_in_that_turn_is_told(world: World) -> None:
    def main() -> None:
        error = ValueError()
        fiber = spawn(failing_after(error, 3))
        with pytest.raises(ValueError) as caught:
            while True:
                with suppress(TimeoutError):
                    fiber.join(timeout=0)
        assert caught.value is error

    world.run(main)


def failing_after(error: Exception, count: int) -> Callable[[], None]:
    def fail() -> None:
        turns(count)
        raise error

    return fail


def test_what_comes_in_that_turn_is_taken(world: World) -> None:
    def main() -> None:
        channel = Channel[int](0)
        spawn(channel.send, 1)
        with pytest.raises(TimeoutError):  # it has not begun
            channel.receive(timeout=0)
        tries = 0
        while True:
            tries += 1
            with suppress(TimeoutError):
                channel.receive(timeout=0)
                break
        assert tries < 70

    world.run(main)


def test_what_is_there_is_taken_in_no_time(world: World) -> None:
    def main() -> None:
        channel = Channel[int](1)
        channel.send(1, timeout=0)
        assert channel.receive(timeout=0) == 1
        assert select(spawned(), timeout=0)[1] == 2
        assert wait_for(lambda: 3, timeout=0) == 3
        Lock().acquire(timeout=0)

    def spawned() -> Fiber:
        fiber = spawn(lambda: 2)
        yield_()
        return fiber

    world.run(main)
