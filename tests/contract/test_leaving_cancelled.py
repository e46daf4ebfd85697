"""What is cut short while its scope is being left does not pass for finished."""

import math
import pickle
from typing import Any

import pytest

from computicle import *
from tests.conftest import World


def test_a_deadline_that_comes_while_a_scope_is_left(world: World) -> None:
    done: list[int] = []

    def job() -> None:
        sleep(10)
        done.append(1)

    def main() -> None:
        with pytest.raises(TimeoutError), fail_after(1), scope():
            spawn(job)
        with move_on_after(1) as deadline:
            with scope():
                spawn(job)
            done.append(2)
        assert deadline.expired
        assert not done

    world.run(main)


def test_a_fiber_cancelled_while_it_leaves_a_scope_was_cancelled(world: World) -> None:
    def outer() -> str:
        with scope():
            spawn(sleep, 10)
        return "all jobs done"

    def main() -> None:
        fiber = spawn(outer)
        sleep(1)
        fiber.cancel()
        with pytest.raises(FiberCancelled):
            fiber.join()

    world.run(main)


def test_a_scope_that_cancels_itself_goes_on_behind_it(world: World) -> None:
    def main() -> str:
        with scope() as s:
            s.spawn(sleep, 10)
            s.cancel()
        return "behind it"

    assert world.run(main) == "behind it"


def test_errors_of_the_fibers_come_before_the_cancellation(world: World) -> None:
    def failing() -> None:
        try:
            sleep(10)
        finally:
            raise ValueError("in clean-up")

    def main() -> None:
        with pytest.raises(ExceptionGroup) as caught, move_on_after(1), scope():
            spawn(failing)
        assert caught.group_contains(ValueError, match="in clean-up")

    world.run(main)


def test_a_failed_fiber_of_one_handler_disturbs_no_other(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def handler(stream: Stream) -> None:
        def helper() -> None:
            if stream.read_exactly(4) == b"bad!":
                raise ValueError("one bad client")
            stream.sendall(b"fine\n")

        spawn(helper)

    def ask(port: int, word: bytes) -> bytes:
        with connect("127.0.0.1", port) as stream:
            stream.sendall(word)
            try:
                return stream.readline()
            except ConnectionError:
                return b""

    def main() -> None:
        listener = listen(0)
        server = spawn(serve, handler, listener)
        assert ask(listener.port, b"good") == b"fine\n"
        assert ask(listener.port, b"bad!") == b""
        assert ask(listener.port, b"good") == b"fine\n"
        server.cancel()

    world.run(main)
    assert "one bad client" in caplog.text


@pytest.mark.parametrize("word", [gather, race])
def test_a_crowd_that_nobody_can_wake_is_a_deadlock(world: World, word: Any) -> None:
    with pytest.raises(Deadlock, match="signal 'a'"):
        world.run(lambda: word(lambda: wait_signal("a"), lambda: wait_signal("b")))


def test_an_incomplete_read_can_be_carried() -> None:
    copy = pickle.loads(pickle.dumps(IncompleteRead(b"a", 3)))
    assert (copy.partial, str(copy)) == (b"a", "the stream ended after 1 of 3 bytes")


@pytest.mark.parametrize("seconds", [10**400, math.inf])
def test_numbers_beyond_all_floats_are_forever(world: World, seconds: float) -> None:
    def main() -> None:
        channel: Channel[int] = Channel(1)
        receiver = spawn(channel.receive, timeout=seconds)
        yield_()
        channel.send(1)
        assert receiver.join() == 1

    world.run(main)
