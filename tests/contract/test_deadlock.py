# mypy: disable-error-code="func-returns-value"
"""Nothing waits forever unseen (law 5)."""

import re
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import forever, turns


def line_of(function: Any, offset: int = 0) -> int:
    return function.__code__.co_firstlineno + offset  # type: ignore[no-any-return]


class TestReport:
    def test_name_place_and_reason_of_each(self, world: World) -> None:
        channel, full = Channel[int](1), Channel[int](0)
        lock, semaphore = Lock(), Semaphore(1)

        def holder() -> None:
            lock.acquire()
            semaphore.acquire()
            wait_signal(("the", "end"))

        def main() -> None:
            held = spawn(holder, name="holder")
            yield_()
            spawn(channel.receive, name="receiver")
            spawn(full.send, 1, name="sender")
            spawn(lock.acquire, name="locker")
            spawn(semaphore.acquire, name="entrant")
            spawn(held.join, name="joiner")
            spawn(select, channel, held, name="chooser")
            spawn(wait_for, never, name="watcher")
            spawn(forever, name="sleeper")
            on_signal(never, "s")
            turns()
            Channel[int](0).receive()

        def never() -> bool:
            return False

        with pytest.raises(Deadlock) as caught:
            world.run(main)
        text = str(caught.value)
        here = re.escape(__file__)
        lines = [
            rf"main  at {here}:{line_of(main, 13)}  waits for a value from a channel",
            rf"holder  at {here}:{line_of(holder, 3)}  waits for signal \('the', 'end'\)",
            r"receiver  at \S+\.py:\d+  waits for a value from a channel",
            r"sender  at \S+\.py:\d+  waits for room in a channel",
            r"locker  at \S+\.py:\d+  waits for a lock",
            r"entrant  at \S+\.py:\d+  waits for a semaphore",
            r"joiner  at \S+\.py:\d+  waits for the end of fiber 'holder'",
            r"chooser  at \S+\.py:\d+  waits for a value from a channel or the end of fiber 'holder'",
            rf"watcher  at .*  waits for predicate .*never \({here}:{line_of(never)}\)",
            r"sleeper  at .*helpers.py:\d+  waits for nothing: it sleeps until cancelled",
            rf"never  at {here}:{line_of(never)}  waits for signal 's'",
        ]
        for line in lines:
            assert re.search(line, text), line
        assert text.startswith("nothing can happen any more, and 11 fibers wait:\n")
        assert text.count("\n") == 11

    def test_a_long_one_is_cut(self, world: World) -> None:
        def main() -> None:
            for _ in range(250):
                spawn(forever)
            Channel[int](0).receive()

        with pytest.raises(Deadlock) as caught:
            world.run(main)
        assert "and 251 fibers wait" in str(caught.value)
        assert "... and 151 more" in str(caught.value)
        assert str(caught.value).count("\n") <= 101

    def test_fibers_of_inner_scopes_are_listed(self, world: World) -> None:
        def child() -> None:
            with scope() as s:
                s.spawn(forever, name="grandchild")

        def main() -> None:
            spawn(child, name="child")

        with pytest.raises(Deadlock, match=r"child  at .*  waits for the fibers of its scope to end: 'grandchild'"):
            world.run(main)


class TestWhen:
    @pytest.mark.parametrize(
        "wait",
        [
            lambda: Channel[int](0).receive(),
            lambda: Channel[int](0).send(1),
            lambda: wait_signal("s"),
            lambda: wait_for(lambda: False),
            lambda: spawn(forever).join(),
            lambda: select(Channel(0), Channel(1)),
            lambda: race(forever, forever),
            lambda: gather(forever),
            forever,
        ],
    )
    def test_main_is_told_where_it_waits(self, world: World, wait: Any) -> None:
        def main() -> None:
            with pytest.raises(Deadlock):
                wait()
            stop()

        world.run(main)

    @pytest.mark.parametrize(
        "pending",
        [
            lambda: sleep(1000),
            lambda: offload(int),
            lambda: delay(turns, 500).join(),
            lambda: wait_for(iter([0, 0, 1, 1]).__next__, every=100),
        ],
    )
    def test_not_while_something_can_come(self, world: World, pending: Any) -> None:
        def main() -> str:
            spawn(lambda: (pending(), signal_all("go")))
            wait_signal("go")
            return "went"

        assert world.run(main) == "went"

    def test_not_while_a_listener_listens(self, world: World) -> None:
        def main() -> str:
            with listen(0) as listener:
                spawn(lambda: signal_one("came", listener.accept()))
                client = spawn(connect, "127.0.0.1", listener.port)
                wait_signal("came").close()
                client.join().close()
            return "came"

        assert world.run(main) == "came"

    def test_a_cancelled_timer_does_not_count(self, world: World) -> None:
        def main() -> None:
            delay(turns, 100).cancel()
            with fail_after(100):
                turns()
            with pytest.raises(TimeoutError):
                wait_signal("s", timeout=1)
            with pytest.raises(Deadlock):
                wait_signal("s")
            assert current().kernel.now() < before + 90

        before = 0.0
        simulate(main)

    def test_main_may_catch_it_and_go_on(self, world: World) -> None:
        channel = Channel[int](0)

        def main() -> Any:
            stuck = [spawn(channel.receive) for _ in range(3)]
            for number, fiber in enumerate(stuck):
                with pytest.raises(Deadlock):
                    fiber.join()
                channel.send(number)
            return [fiber.join() for fiber in stuck]

        assert world.run(main) == [0, 1, 2]

    def test_caught_while_leaving_an_inner_scope(self, world: World) -> None:
        log: list[str] = []

        def stuck() -> None:
            try:
                Channel[int](0).receive()
            finally:
                log.append("clean")

        def main() -> str:
            with pytest.raises(Deadlock), scope() as s:
                s.spawn(stuck)
            assert log == ["clean"]
            sleep(1)
            return "on"

        assert world.run(main) == "on"

    def test_leaving_the_run(self, world: World) -> None:
        log: list[str] = []

        def stuck() -> None:
            try:
                Channel[int](0).receive()
            finally:
                log.append("clean")

        with pytest.raises(Deadlock):
            world.run(lambda: spawn(stuck))
        assert log == ["clean"]

    def test_of_a_fiber_that_nobody_can_wake(self, world: World) -> None:
        """Then to cancel it helps as little: leaving gives it up rather than wait for ever."""

        def main() -> None:
            lost = spawn(int, name="lost")
            current().kernel.ready.remove(lost)

        with pytest.raises(Deadlock, match="lost  at .*  waits for its turn"):
            world.run(main)
