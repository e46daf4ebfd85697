"""Cancelled by a handler of the program's own in the middle of an attempt: what it has done is not lost, nor done twice.

A handler may strike anywhere; here each attempt is made to cancel its own fiber, right after the system has done it.
"""

from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import turns


def cancel_within(fiber: Fiber, cancel: Callable[[], None] | None = None) -> Callable[[], None]:
    """Have the attempt that `fiber` waits for cancel it, or call `cancel`, once made. What is returned undoes that."""
    op: Any = fiber.why
    attempt = op.attempt

    def struck(argument: Any) -> Any:
        result = attempt(argument)
        (cancel or fiber.cancel)()
        return result

    op.attempt = struck
    return lambda: setattr(op, "attempt", attempt)


def pair() -> tuple[Stream, Stream]:
    with listen(0) as listener:
        accepting = spawn(listener.accept)
        near = connect("127.0.0.1", listener.port)
        return near, accepting.join()


class TestCancelledInTheAttempt:
    def test_what_was_received_is_returned(self, world: World) -> None:
        def main() -> None:
            near, far = pair()
            with near, far:
                reader = spawn(far.recv, 100)
                turns()
                cancel_within(reader)
                near.sendall(b"abcd")
                got = reader.join(timeout=10)
                assert got
                assert got + far.read_exactly(4 - len(got)) == b"abcd"

        world.run(main)

    def test_what_was_sent_counts_as_sent(self, world: World) -> None:
        data = bytes(range(256)) * 40_000

        def main() -> None:
            near, far = pair()
            with near, far:
                writer = spawn(near.sendall, data)
                turns()
                assert not writer.done
                undo = cancel_within(writer)
                got = b""
                while not writer.cancelled:
                    got += far.recv(65_536)
                undo()
                with pytest.raises(FiberCancelled):
                    writer.join(timeout=10)
                with pytest.raises(ClosedError, match="cut short"):
                    near.sendall(b"more")
                near.close()
                got += b"".join(iter(lambda: far.recv(65_536), b""))
                assert data.startswith(got)
                assert len(got) > 65_536

        world.run(main)

    def test_a_connection_that_was_accepted_is_not_lost(self, world: World) -> None:
        def main() -> None:
            with listen(0) as listener:
                accepting = spawn(listener.accept)
                turns()
                cancel_within(accepting)
                with connect("127.0.0.1", listener.port) as near, accepting.join(timeout=10) as far:
                    near.sendall(b"here")
                    assert far.read_exactly(4) == b"here"

        world.run(main)

    def test_it_is_cancelled_at_its_next_wait(self, world: World) -> None:
        def main() -> None:
            near, far = pair()
            with near, far:
                got = []

                def read() -> None:
                    while True:
                        got.append(far.recv(100))

                reader = spawn(read)
                turns()
                undo = cancel_within(reader)
                near.sendall(b"abcd")
                wait_for(lambda: reader.done)
                undo()
                assert len(got) == 1
                assert b"".join(got) + far.read_exactly(4 - len(got[0])) == b"abcd"

        world.run(main)

    def test_an_attempt_that_came_to_nothing_is_called_off_soon(self, world: World) -> None:
        """The handler may also strike in a look at what is ready, for somebody else."""

        def main() -> None:
            near, far = pair()
            with near, far, listen(0) as listener:
                idle = spawn(listener.accept)
                reader = spawn(far.recv, 100)
                turns()
                cancel_within(reader, idle.cancel)
                near.sendall(b"x")
                assert reader.join() == b"x"
                wait_for(lambda: idle.done, timeout=10)

        world.run(main)


class TestCancelledWhileTheKernelLooks:
    def test_a_thousand_at_once(self, world: World) -> None:
        """No recursion a fiber, and none is forgotten."""

        def main() -> None:
            listeners = [listen(path=f"\0{__name__}{number}") for number in range(1_000)]
            near, far = pair()
            with scope() as s, near, far:
                waiting = [s.spawn(listener.accept) for listener in listeners]
                reader = spawn(far.recv, 1)
                turns()
                cancel_within(reader, s.cancel)
                near.sendall(b"x")
                assert reader.join() == b"x"
            assert all(fiber.done for fiber in waiting)
            for listener in listeners:
                listener.close()

        world.run(main)
