"""Words that wait several times: what comes between two of their waits, on every engine."""

import errno
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from computicle import *
from computicle.scheduler.flows import run_apart
from tests.conftest import WarpedReadiness, World
from tests.contract.helpers import turns
from tests.contract.test_streams import much, pair, parked


def woken(world: World, fiber: Fiber, meanwhile: Callable[[], object] = lambda: None) -> None:
    """Look outside, as the kernel does, until it is ready; but it does not get to run."""
    while fiber.waits_for is not None:
        meanwhile()
        current().kernel._collect(0.001 if world.name == "sim" else 0.0)
    assert not fiber.done


def refused(fiber: Fiber) -> None:
    """It ends as a cancelled fiber does, and soon."""
    with pytest.raises(FiberCancelled):
        fiber.join(timeout=1000)


def test_a_sender_that_is_cancelled_between_two_waits_does_not_wait_again(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            writer = spawn(near.sendall, b"x" * much(world))
            parked(writer, "room to send")
            woken(world, writer, lambda: far._wire.recv(1000))
            writer.cancel()
            refused(writer)
            with pytest.raises(ClosedError, match=r"cut short after \d+ of \d+ bytes by Cancelled"):
                near.sendall(b"y")

    world.run(main)


def test_a_big_send_to_a_quick_reader_gives_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is taken at once, so the word never waits: it counts its pieces."""

    def main() -> int:
        with pair() as (near, _far):
            monkeypatch.setattr(type(near._wire), "send", lambda _wire, data: min(1, len(data)))
            others = 0

            def other() -> None:
                nonlocal others
                while True:
                    others += 1
                    yield_()

            counting = spawn(other)
            near.sendall(bytes(1000))
            counting.cancel()
            return others

    assert World("readiness").run(main) >= 1000 // 64


def test_a_connect_that_is_cancelled_after_the_look_up_does_not_begin(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            client = spawn(connect, "localhost", listener.port)
            yield_()  # it looks the name up, on a helper thread, which may be quick
            woken(world, client)
            client.cancel()
            acceptor = spawn(listener.accept)
            refused(client)
            yield_()
            assert not acceptor.done
            acceptor.cancel()

    world.run(main)


def test_a_connect_that_is_cancelled_between_two_addresses_tries_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def main() -> None:
        with listen(0) as listener:
            port = listener.port
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))] * 2
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
        engine = current().kernel.engine
        begin = engine.connect

        def counted(address: Any) -> Any:
            asked.append(address)
            wire: Any = begin(address)
            wire.writable = False  # as if it took a while to be refused
            return wire

        monkeypatch.setattr(engine, "connect", counted)
        client = spawn(connect, "two.example", port)
        parked(client, "room to send to")
        woken(World("readiness"), client)
        client.cancel()
        refused(client)

    run_apart(WarpedReadiness(), None, main, (), {})
    assert len(asked) == 1


def test_a_connect_to_a_full_backlog_that_is_cancelled_between_two_pauses_ends(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(0)
            with connect(path=path):
                late = spawn(connect, path=path)
                parked(late, "time")
                woken(World("readiness"), late)
                late.cancel()
                refused(late)

    run_apart(WarpedReadiness(), None, main, (), {})


def test_a_server_without_descriptors_that_is_cancelled_does_not_wait_for_some() -> None:
    def exhausted(_argument: None) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    def main() -> None:
        listener = listen(0)
        server = spawn(serve, lambda stream: None, listener)
        parked(server, "a connection to")
        listener._port.reading.attempt = exhausted
        with socket.create_connection(("127.0.0.1", listener.port)):
            woken(World("readiness"), server)
            server.cancel()
            turns()
            assert server.done

    run(main)


# Errors.


@pytest.mark.parametrize(
    "word",
    [
        lambda stream, _listener: stream.recv_into(bytearray(1)),
        lambda stream, _listener: stream.readline(),
        lambda stream, _listener: stream.read_exactly(1),
        lambda stream, _listener: stream.recv(0),
        lambda _stream, listener: listener.accept(),
    ],
    ids=["recv_into", "readline", "read_exactly", "recv", "accept"],
)
def test_words_that_end_in_an_error_starve_nobody(world: World, word: Callable[[Stream, Listener], object]) -> None:
    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as stream:
            pass
        other = spawn(lambda: None)
        for _ in range(70):
            with pytest.raises(ClosedError):
                word(stream, listener)
        assert other.done

    world.run(main)


def test_an_end_that_could_not_be_said_can_be_said_again(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            near.sendall(b"unread")
            assert far.recv(1)
            far.close()
            with pytest.raises(ConnectionError):
                near.recv()
            for _ in range(2):
                with pytest.raises(ConnectionError):
                    near.send_eof()
            with pytest.raises(ConnectionError):
                near.sendall(b"more")

    world.run(main)
