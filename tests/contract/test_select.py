# mypy: disable-error-code="func-returns-value"
"""select: one wait for several sources, taking from exactly one."""

from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import fail, forever, turns


def test_what_is_there_is_taken_at_once_from_the_first(world: World) -> None:
    log: list[str] = []

    def main() -> None:
        empty, first, second = Channel[str](1), Channel[str](1), Channel[str](1)
        first.send("first")
        second.send("second")
        done = spawn(lambda: "value")
        done.join()
        spawn(lambda: log.append("other"))
        assert select(empty, first, second, done) == (first, "first")
        assert (len(first), len(second)) == (0, 1)
        assert select(done, second) == (done, "value")
        assert select(empty, second, done) == (second, "second")
        assert log == []

    world.run(main)


def test_else_from_whichever_comes(world: World) -> None:
    def main() -> None:
        channels = [Channel[int](1) for _ in range(4)]
        for number, channel in enumerate(channels):
            chooser = spawn(select, *channels)
            yield_()
            channel.send(number)
            for other in channels:
                other_is_served = not other._receivers.fibers
                assert other_is_served
            assert chooser.join() == (channel, number)
            assert all(len(other) == 0 for other in channels)

    world.run(main)


def test_from_exactly_one_though_all_come_in_one_turn(world: World) -> None:
    def main() -> None:
        channels = [Channel[int](1) for _ in range(4)]
        chooser = spawn(select, *channels)
        yield_()
        for number, channel in enumerate(channels):
            channel.send(number)
        assert chooser.join() == (channels[0], 0)
        assert [len(channel) for channel in channels] == [0, 1, 1, 1]

    world.run(main)


def test_from_waiting_senders(world: World) -> None:
    def main() -> None:
        channels = [Channel[str](0) for _ in range(3)]
        senders = [spawn(channel.send, name) for channel, name in zip(channels, "abc", strict=True)]
        yield_()
        assert select(*reversed(channels)) == (channels[2], "c")
        turns()
        assert [sender.done for sender in senders] == [False, False, True]
        for channel in channels[:2]:
            channel.receive()

    world.run(main)


def test_stands_in_line_with_the_receivers(world: World) -> None:
    log: list[tuple[str, int]] = []

    def main() -> None:
        channel, other = Channel[int](0), Channel[int](0)
        spawn(lambda: log.append(("a", channel.receive())))
        spawn(lambda: log.append(("b", select(other, channel)[1])))
        spawn(lambda: log.append(("c", channel.receive())))
        yield_()
        for number in range(3):
            channel.send(number)

    world.run(main)
    assert log == [("a", 0), ("b", 1), ("c", 2)]


def test_fibers(world: World) -> None:
    error = ValueError()

    def main() -> None:
        slow, quick = spawn(lambda: sleep(5) or "slow"), spawn(lambda: sleep(1) or "quick")
        assert select(slow, quick) == (quick, "quick")
        assert not slow.done
        bad = spawn(lambda: sleep(1) or fail(error))
        with pytest.raises(ValueError):
            select(slow, bad)
        with pytest.raises(ValueError):
            select(bad)
        cancelled = spawn(forever)
        delay(cancelled.cancel, 1)
        with pytest.raises(FiberCancelled):
            select(cancelled, slow)
        assert select(slow, Channel(0)) == (slow, "slow")

    world.run(main)


def test_the_same_source_twice(world: World) -> None:
    def main() -> None:
        channel = Channel[int](1)
        fiber = spawn(lambda: sleep(1) or 5)
        spawn(lambda: sleep(2) or channel.send(7))
        assert select(channel, fiber, fiber, channel) == (fiber, 5)
        assert select(channel, channel) == (channel, 7)

    world.run(main)


def test_a_closed_channel(world: World) -> None:
    def main() -> None:
        closed, channel = Channel[int](1), Channel[int](1)
        closed.send(1)
        closed.close()
        assert select(channel, closed) == (closed, 1)
        with pytest.raises(ClosedError):
            select(channel, closed)
        chooser = spawn(pytest.raises, ClosedError, select, channel, Channel(0))
        yield_()
        channel.close()
        chooser.join()

    world.run(main)


@pytest.mark.parametrize("end", ["timeout", "cancel", "deadline"])
def test_given_up_it_stands_nowhere(world: World, end: str) -> None:
    def main() -> None:
        channels = [Channel[int](1) for _ in range(3)]
        fiber = spawn(forever)
        if end == "timeout":
            with pytest.raises(TimeoutError, match="a value from a channel or"):
                select(*channels, fiber, timeout=1)
        elif end == "deadline":
            with move_on_after(1):
                select(*channels, fiber)
        else:
            chooser = spawn(select, *channels, fiber)
            yield_()
            chooser.cancel()
        for channel in channels:
            assert not channel._receivers.fibers
            channel.send(1)
            assert len(channel) == 1
        assert not fiber.is_awaited()
        fiber.cancel()

    world.run(main)


@pytest.mark.parametrize("source", [None, 5, "s", turns, [], Lock()])
def test_what_cannot_be_taken_from(source: Any) -> None:
    def main() -> None:
        with pytest.raises(TypeError, match="cannot take from"):
            select(Channel(1), source)
        with pytest.raises(ValueError, match="at least one"):
            select()

    simulate(main)
