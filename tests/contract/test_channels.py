# mypy: disable-error-code="func-returns-value"
"""Channels: bounded (law 9), in order, nothing lost and nothing twice."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import turns


@pytest.mark.parametrize("capacity", [0, 1, 2, 7])
class TestBounded:
    def test_a_full_one_parks_the_sender(self, world: World, capacity: int) -> None:
        log: list[int] = []

        def sender(channel: Channel[int]) -> None:
            for number in range(20):
                channel.send(number)
                log.append(number)

        def main() -> None:
            channel = Channel[int](capacity)
            fiber = spawn(sender, channel)
            turns(30)
            assert len(log) == len(channel) == capacity
            assert fiber.waits_for == "room in a channel"
            for number in range(20):
                assert channel.receive() == number
                turns(2)
                assert len(log) == min(20, capacity + number + 1)
            assert fiber.done

        world.run(main)

    def test_an_empty_one_parks_the_receiver(self, world: World, capacity: int) -> None:
        def main() -> None:
            channel = Channel[str](capacity)
            fiber = spawn(channel.receive)
            yield_()
            assert fiber.waits_for == "a value from a channel"
            channel.send("value")
            assert len(channel) == 0  # handed over in person
            assert fiber.join() == "value"

        world.run(main)

    def test_receivers_and_senders_are_served_in_order(self, world: World, capacity: int) -> None:
        log: list[Any] = []

        def main() -> None:
            channel = Channel[int](capacity)
            for number in range(4):
                spawn(lambda number=number: log.append((number, channel.receive())))
            yield_()
            for value in range(4):
                channel.send(value)
            turns()
            for value in range(capacity + 4):
                spawn(channel.send, value)
            turns()
            assert [channel.receive() for _ in range(capacity + 4)] == [*range(capacity + 4)]

        world.run(main)
        assert log == [(number, number) for number in range(4)]


class TestClose:
    def test_sending_ends_at_once(self, world: World) -> None:
        def main() -> None:
            channel = Channel[int](3)
            channel.close()
            channel.close()
            assert channel.closed
            with pytest.raises(ClosedError, match="closed"):
                channel.send(1)
            with pytest.raises(ClosedError, match="closed and empty"):
                channel.receive()

        world.run(main)

    def test_what_is_on_the_way_is_still_received(self, world: World) -> None:
        def main() -> None:
            channel = Channel[int](3)
            for number in range(3):
                channel.send(number)
            channel.close()
            assert list(channel) == [0, 1, 2]
            with pytest.raises(ClosedError):
                channel.receive()

        world.run(main)

    def test_waiting_senders_are_told_and_their_values_not_taken(self, world: World) -> None:
        def main() -> None:
            channel = Channel[int](1)
            channel.send(0)
            senders = [spawn(pytest.raises, ClosedError, channel.send, number) for number in (1, 2)]
            yield_()
            channel.close()
            for sender in senders:
                sender.join()
            assert list(channel) == [0]

        world.run(main)

    def test_waiting_receivers_are_told(self, world: World) -> None:
        def main() -> None:
            channel = Channel[int](0)
            first = spawn(pytest.raises, ClosedError, channel.receive)
            second = spawn(pytest.raises, ClosedError, select, channel, Channel(1))
            third = spawn(lambda: list(channel))
            yield_()
            channel.close()
            first.join()
            second.join()
            assert third.join() == []

        world.run(main)

    def test_a_wake_given_before_it_stands(self, world: World) -> None:
        def main() -> None:
            channel, full = Channel[int](0), Channel[int](0)
            receiver, sender = spawn(channel.receive), spawn(full.send, 2)
            yield_()
            channel.send(1)
            assert full.receive() == 2
            channel.close()
            full.close()
            assert receiver.join() == 1
            assert sender.join() is None

        world.run(main)


def test_iteration(world: World) -> None:
    def main() -> list[int]:
        channel = Channel[int](2)

        def produce() -> None:
            for number in range(50):
                channel.send(number)
            channel.close()

        spawn(produce)
        return list(channel)

    assert world.run(main) == [*range(50)]


@pytest.mark.parametrize("value", [None, 0, False, (), Exception])
def test_any_value(world: World, value: Any) -> None:
    def main() -> Any:
        channel = Channel[Any](1)
        channel.send(value)
        first = channel.receive()
        fiber = spawn(channel.receive)
        yield_()
        channel.send(value)
        return first, fiber.join()

    assert world.run(main) == (value, value)


@pytest.mark.parametrize("capacity", [1.0, "1", None, True])
def test_a_capacity_is_an_int(capacity: Any) -> None:
    with pytest.raises(TypeError, match="capacity"):
        Channel(capacity)


def test_and_not_negative() -> None:
    with pytest.raises(ValueError, match="capacity"):
        Channel(-1)


def test_repr() -> None:
    def main() -> str:
        channel = Channel[int](3)
        channel.send(1)
        assert repr(channel) == "<Channel 1 of 3>"
        channel.close()
        return repr(channel)

    assert simulate(main) == "<Channel closed, 1 of 3>"


Steps = st.lists(
    st.sampled_from(["yield", "sleep", "send", "send", "timeout", "receive", "receive", "select", "move on"]),
    max_size=12,
)


@settings(max_examples=150, deadline=None)
@given(
    scripts=st.lists(Steps, min_size=2, max_size=7),
    capacity=st.integers(0, 3),
    cancels=st.lists(st.integers(0, 6), max_size=4),
    seed=st.integers(0, 2**16),
    shuffle=st.booleans(),
)
def test_nothing_is_lost_and_nothing_comes_twice(
    scripts: list[list[str]], capacity: int, cancels: list[int], seed: int, shuffle: bool
) -> None:
    """Whatever happens: what was sent has been received or is there."""
    sent: list[tuple[int, int]] = []
    received: list[tuple[int, int]] = []

    def play(number: int, script: list[str], channel: Channel[tuple[int, int]]) -> None:
        other = Channel[Any](1)
        for place, step in enumerate(script):
            value = (number, place)
            try:
                if step == "yield":
                    yield_()
                elif step == "sleep":
                    sleep(place % 3)
                elif step == "send":
                    channel.send(value)
                    sent.append(value)
                elif step == "timeout":
                    channel.send(value, timeout=1)
                    sent.append(value)
                elif step == "receive":
                    received.append(channel.receive(timeout=5))
                elif step == "select":
                    received.append(select(other, channel, timeout=2)[1])
                elif step == "move on":
                    with move_on_after(1):
                        received.append(channel.receive())
            except TimeoutError:
                pass

    def main() -> None:
        channel = Channel[tuple[int, int]](capacity)
        with move_on_after(500), scope() as s:
            players = [s.spawn(play, number, script, channel) for number, script in enumerate(scripts)]
            for number in cancels:
                yield_()
                players[number % len(players)].cancel()
        assert len(channel) <= capacity
        while len(channel):
            received.append(channel.receive())
        assert not channel._senders.fibers
        assert not channel._receivers.fibers

    simulate(main, seed=seed, shuffle=shuffle)
    assert sorted(sent) == sorted(received)
