"""What serve does with its places and its listener, on every engine."""

import threading

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.test_serve import ask, echo, serving
from tests.contract.test_streams import parked

HANG_S = 30  # bounds a hang; nothing takes this long


def handlers() -> list[Fiber]:
    return [fiber for fiber in fibers() if fiber.name.startswith("connection from")]


def test_a_handler_cancelled_before_its_first_step_gives_back_its_place_and_its_stream(world: World) -> None:
    called: list[Stream] = []

    def handler(stream: Stream) -> None:
        called.append(stream)
        echo(stream)

    def main() -> None:
        listener = listen(0)
        server = serving(handler, listener, limit=1)
        for _ in range(3):
            parked(server, "a connection to")
            client = spawn(connect, "127.0.0.1", listener.port)
            while not handlers():
                # Looking outside makes the server ready, and it takes its turn after this fiber.
                current().kernel._collect(0.001 if world.name == "sim" else 0.0)
                yield_()
            (doomed,) = handlers()
            assert doomed.where != "(not started)"  # the handler's own place
            doomed.cancel()
            with client.join() as stream:
                assert stream.recv() == b""
            assert doomed.done
        assert not called
        assert ask(listener.port, b"x") == b"x"
        server.cancel()

    world.run(main)


def test_many_cancelled_before_their_first_step(world: World) -> None:
    """Not one of them has begun, and each is told so."""

    def main() -> None:
        listener = listen(0)
        server = serving(echo, listener, limit=5)
        clients = [spawn(connect, "127.0.0.1", listener.port) for _ in range(30)]
        for client in clients:
            while not client.done:
                current().kernel._collect(0.001 if world.name == "sim" else 0.0)
                for handler in handlers():
                    handler.cancel()
                yield_()
        for client in clients:
            client.join().close()
        while handlers():
            yield_()
        assert ask(listener.port, b"x") == b"x"
        server.cancel()

    world.run(main)


def test_a_second_serve_is_told_who_has_the_listener_and_disturbs_nothing(world: World) -> None:
    def main() -> None:
        for ready in (True, False):
            listener = listen(0)
            first = spawn(lambda: serve(echo, listener), name="the first")
            if ready:
                parked(first, "a connection to")
            second = spawn(lambda: serve(echo, listener))
            with pytest.raises(RuntimeError) as told:
                second.join()
            assert str(told.value) == (
                f"serve: fiber 'the first' has the connections of <Listener {listener.address}> already: one serve is "
                "enough for any number of them, as limit= allows, and another handler needs a listener of its own"
            )
            assert ask(listener.port, b"x") == b"x"
            first.cancel()

    world.run(main)


def test_a_second_serve_while_the_first_has_no_place_left(world: World) -> None:
    """Then the first does not wait for a connection, but the listener is its own all the same."""

    def main() -> None:
        listener = listen(0)
        first = serving(echo, listener, limit=1)
        with connect("127.0.0.1", listener.port):
            parked(first, "a semaphore")
            with pytest.raises(RuntimeError, match="fiber 'server' has the connections"):
                serve(echo, listener)
        assert ask(listener.port, b"x") == b"x"
        first.cancel()

    world.run(main)


def test_serving_where_somebody_accepts(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            acceptor = spawn(listener.accept, name="an acceptor")
            parked(acceptor, "a connection to")
            with pytest.raises(RuntimeError, match="fiber 'an acceptor' has the connections"):
                serve(echo, listener)
            with connect("127.0.0.1", listener.port), acceptor.join():
                pass

    world.run(main)


def test_serving_a_closed_listener(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        listener.close()
        for _ in range(2):
            with pytest.raises(ClosedError, match="the listener is closed"):
                serve(echo, listener)

    world.run(main)


def test_serving_another_threads_listener() -> None:
    told: list[str] = []

    def elsewhere(listener: Listener) -> None:
        try:
            run(serve, echo, listener)
        except RuntimeError as error:
            told.append(str(error))

    def main() -> None:
        with listen(0) as listener:
            thread = threading.Thread(target=elsewhere, args=(listener,))
            thread.start()
            thread.join(HANG_S)
            assert not listener.closed
            server = serving(echo, listener)
            assert ask(listener.port, b"x") == b"x"
            server.cancel()

    run(main)
    assert told == ["serve: this listener belongs to another thread: serve it there"]
