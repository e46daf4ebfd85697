"""serve, on every engine."""

import logging
import math
from typing import Any

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.test_streams import parked, read_all


def echo(stream: Stream) -> None:
    while data := stream.recv():
        stream.sendall(data)


def ask(port: int, question: bytes) -> bytes:
    with connect("127.0.0.1", port) as stream:
        stream.sendall(question)
        stream.send_eof()
        return read_all(stream)


def serving(handler: Any, listener: Listener, **options: Any) -> Fiber:
    return spawn(lambda: serve(handler, listener, **options), name="server")


def test_many_conversations_at_once(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        server = serving(echo, listener)
        questions = [b"%d" % number * 50 for number in range(100)]
        answers = gather(*[lambda question=question: ask(listener.port, question) for question in questions])
        assert answers == questions
        server.cancel()

    world.run(main)


def test_a_port_will_do(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            port = listener.port
        server = spawn(serve, echo, port)
        parked(server, "a connection to")
        assert ask(port, b"hello") == b"hello"
        server.cancel()

    world.run(main)


def test_a_handlers_error_is_logged_and_ends_only_its_connection(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    class Unusual(BaseException):
        pass

    def handler(stream: Stream) -> None:
        line = stream.readline()
        if line == b"error\n":
            raise LookupError("on purpose")
        if line == b"unusual\n":
            raise Unusual("on purpose")
        if line == b"refused\n":
            raise ConnectionRefusedError("on purpose, by somebody else")
        stream.sendall(line)

    def main() -> None:
        listener = listen(0)
        server = serving(handler, listener)
        with connect("127.0.0.1", listener.port) as early:
            for question in (b"error\n", b"unusual\n", b"refused\n", b"unusual\n"):
                assert ask(listener.port, question) == b""
            early.sendall(b"fine\n")
            assert early.readline() == b"fine\n"
        assert ask(listener.port, b"fine too\n") == b"fine too\n"
        server.cancel()

    with caplog.at_level(logging.INFO, "computicle"):
        world.run(main)
    told = [(record.levelname, record.exc_info and record.exc_info[0]) for record in caplog.records]
    errors = [LookupError, Unusual, ConnectionRefusedError, Unusual]
    assert told == [("ERROR", error) for error in errors]
    assert all("127.0.0.1" in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("also", [[], [LookupError("on purpose")]])
def test_a_lost_connection_is_told_in_a_line(
    world: World, caplog: pytest.LogCaptureFixture, also: list[Exception]
) -> None:
    def handler(stream: Stream) -> None:
        stream.sendall(b"never read")
        try:
            while stream.recv():
                pass
        except ConnectionResetError as error:
            raise ExceptionGroup("all of it", [error, *also]) from None

    def main() -> None:
        listener = listen(0)
        server = serving(handler, listener)
        with connect("127.0.0.1", listener.port) as stream:
            stream.sendall(b"hello")
            stream.recv(1)  # to close it with the rest unread resets it
        server.cancel()

    with caplog.at_level(logging.INFO, "computicle"):
        world.run(main)
    told = [record.levelname for record in caplog.records]
    assert told == (["ERROR"] if also else ["INFO"])


def test_a_handler_may_end_the_run(world: World) -> None:
    def handler(stream: Stream) -> None:
        raise SystemExit(7)

    def main() -> None:
        listener = listen(0)
        serving(handler, listener)
        with connect("127.0.0.1", listener.port):
            sleep(math.inf)

    with pytest.raises(SystemExit) as caught:
        world.run(main)
    assert caught.value.code == 7


def test_a_handler_may_stop_the_run(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        serving(lambda stream: stop(), listener)
        with connect("127.0.0.1", listener.port):
            sleep(math.inf)

    assert world.run(main) is None


def test_a_handler_may_close_its_stream_itself(world: World, caplog: pytest.LogCaptureFixture) -> None:
    def main() -> None:
        listener = listen(0)
        server = serving(Stream.close, listener)
        for _ in range(3):
            assert ask(listener.port, b"") == b""
        server.cancel()

    world.run(main)
    assert not caplog.records


def test_no_more_than_limit_at_once(world: World) -> None:
    at_work: list[Stream] = []
    most = 0

    def handler(stream: Stream) -> None:
        nonlocal most
        at_work.append(stream)
        most = max(most, len(at_work))
        for _ in range(5):
            yield_()
        echo(stream)
        at_work.remove(stream)
        if len(at_work) % 2:
            raise LookupError("a failed handler makes room too")

    def main() -> None:
        listener = listen(0)
        server = serving(handler, listener, limit=3)
        answers = gather(*[lambda: ask(listener.port, b"x") for _ in range(20)])
        assert answers == [b"x"] * 20
        server.cancel()

    logging.disable()
    try:
        world.run(main)
    finally:
        logging.disable(logging.NOTSET)
    assert most == 3


# The end.


def test_cancelled_it_lets_handlers_finish(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        server = serving(echo, listener, grace=1000)
        with connect("127.0.0.1", listener.port) as stream:
            stream.sendall(b"before")
            assert stream.read_exactly(6) == b"before"
            server.cancel()
            parked(server, "the fibers of its scope")
            assert listener.closed
            with pytest.raises(ConnectionRefusedError):
                connect("127.0.0.1", listener.port)
            stream.sendall(b"after")
            assert stream.read_exactly(5) == b"after"
            assert not server.done
        with pytest.raises(FiberCancelled):
            server.join()

    world.run(main)


@pytest.mark.parametrize("grace", [0, 0.01])
def test_after_the_grace_handlers_are_cancelled(world: World, grace: float) -> None:
    cleaned: list[str] = []

    def handler(stream: Stream) -> None:
        try:
            stream.recv()
        finally:
            with shield():
                yield_()
            cleaned.append("up")

    def main() -> None:
        listener = listen(0)
        server = serving(handler, listener, grace=grace)
        with connect("127.0.0.1", listener.port) as stream:
            wait_for(lambda: any("data from" in (fiber.waits_for or "") for fiber in fibers()))
            server.cancel()
            with pytest.raises(FiberCancelled):
                server.join()
            assert cleaned == ["up"]
            assert stream.recv() == b""

    world.run(main)


def test_an_endless_grace(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        server = serving(echo, listener, grace=math.inf)
        with connect("127.0.0.1", listener.port) as stream:
            stream.sendall(b"x")
            assert stream.recv() == b"x"
            server.cancel()
            parked(server, "the fibers of its scope")
        with pytest.raises(FiberCancelled):
            server.join()

    world.run(main)


def test_the_listener_is_closed_in_the_end_however_it_comes(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        server = serving(echo, listener)
        server.cancel()  # before its first step: it never began, so the listener is still ours
        yield_()
        assert not listener.closed
        server = serving(echo, listener)
        parked(server, "a connection to")
        server.cancel()
        with pytest.raises(FiberCancelled):
            server.join()
        assert listener.closed

    world.run(main)


def test_closing_the_listener_ends_it(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        server = serving(echo, listener)
        with connect("127.0.0.1", listener.port) as stream:
            stream.sendall(b"x")
            assert stream.recv() == b"x"
            listener.close()
            stream.sendall(b"y")
            assert stream.recv() == b"y"
        with pytest.raises(ClosedError, match="closed while waiting for a connection"):
            server.join()

    world.run(main)


def test_streams_of_handlers_that_never_began_are_closed(world: World) -> None:
    """Accepted, and cancelled before the handler's first step."""
    begun: list[Stream] = []

    def main() -> None:
        for moment in range(12):
            listener = listen(0)
            server = serving(begun.append, listener, grace=0)
            client = spawn(connect, "127.0.0.1", listener.port)
            for _ in range(moment):
                yield_()
            server.cancel()
            try:
                server.join()
            except FiberCancelled:
                pass
            listener.close()
            try:
                with client.join() as stream:
                    assert stream.recv() == b""
            except ConnectionError:
                pass

    world.run(main)
    assert all(stream.closed for stream in begun)


def test_leaving_the_scope_of_a_server(world: World) -> None:
    def main() -> bytes:
        with scope() as s:
            listener = listen(0)
            s.spawn(serve, echo, listener)
            answer = ask(listener.port, b"question")
            s.cancel()
        assert listener.closed
        return answer

    assert world.run(main) == b"question"


def test_a_listener_of_an_earlier_run_is_closed(world: World) -> None:
    kept: list[Listener] = []
    world.run(lambda: kept.append(listen(0)))
    with pytest.raises(ClosedError, match="serve: the listener is closed"):
        world.run(serve, echo, *kept)


def test_handlers_have_names(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        server = serving(echo, listener)
        with connect("127.0.0.1", listener.port) as stream:
            stream.sendall(b"x")
            stream.recv()
            (handler,) = [fiber for fiber in fibers() if fiber.name.startswith("connection from")]
            assert handler.name == f"connection from {stream.local}"
            assert handler.waits_for == f"data from 127.0.0.1:{stream.local[1]}"
            server.cancel()

    world.run(main)


def test_a_handler_sees_the_servers_context(world: World) -> None:
    from contextvars import ContextVar

    setting: ContextVar[str] = ContextVar("setting")

    def main() -> bytes:
        setting.set("as at home")
        listener = listen(0)
        server = serving(lambda stream: stream.sendall(setting.get().encode()), listener)
        answer = ask(listener.port, b"")
        server.cancel()
        return answer

    assert world.run(main) == b"as at home"
