"""Streams and listeners, on every engine."""

import array
import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from weakref import WeakSet

import pytest

from computicle import *
from tests.conftest import World

MEGABYTE = 1 << 20


@contextmanager
def pair() -> Iterator[tuple[Stream, Stream]]:
    """Both ends of a connection."""
    with listen(0) as listener:
        near = connect("127.0.0.1", listener.port)
        far = listener.accept()
    with near, far:
        yield near, far


def much(world: World) -> int:
    """More bytes than fit between a sender and one who does not read."""
    return MEGABYTE // 4 if world.name == "sim" else 16 * MEGABYTE


def parked(fiber: Fiber, reason: str) -> None:
    """Wait until `fiber` waits for something of this kind."""
    wait_for(lambda: reason in (fiber.waits_for or ""))


def read_all(stream: Stream) -> bytes:
    received = bytearray()
    while data := stream.recv():
        received += data
    return bytes(received)


# Reading and writing.


def test_bytes_arrive_in_order_and_the_end_after_them(world: World) -> None:
    def main() -> bytes:
        with pair() as (near, far):
            for number in range(300):
                near.sendall(b"%d," % number)
            near.close()
            return read_all(far)

    assert world.run(main) == b"".join(b"%d," % number for number in range(300))


def test_both_directions_at_once(world: World) -> None:
    def main() -> list[bytes]:
        with pair() as (near, far):

            def talk(stream: Stream, what: bytes) -> bytes:
                with scope() as s:
                    reader = s.spawn(read_all, stream)
                    stream.sendall(what)
                    stream.send_eof()
                return bytes(reader.join())

            return gather(lambda: talk(near, b"n" * much(world)), lambda: talk(far, b"f" * much(world)))

    from_far, from_near = world.run(main)
    assert from_far == b"f" * much(world)
    assert from_near == b"n" * much(world)


def test_a_big_send_waits_for_a_slow_reader(world: World) -> None:
    message = bytes(range(256)) * (much(world) // 256)

    def main() -> bool:
        with pair() as (near, far):
            writer = spawn(near.sendall, message)
            parked(writer, "room to send")
            received = bytearray(len(message))
            view = memoryview(received)
            done = 0
            while done < len(message):
                done += far.recv_into(view[done : done + 1_000_003])
            writer.join()
            return received == message

    assert world.run(main)


@pytest.mark.parametrize(
    "data",
    [
        bytearray(b"abcdefgh"),
        memoryview(b"abcdefgh"),
        array.array("I", [1, 2]),
        memoryview(b"a-b-c-d-e-f-g-h-")[::1][:8],
    ],
    ids=["bytearray", "memoryview", "array", "slice"],
)
def test_anything_bytes_like_can_be_sent(world: World, data: Any) -> None:
    def main() -> bytes:
        with pair() as (near, far):
            near.sendall(data)
            return far.read_exactly(8)

    assert world.run(main) == bytes(data)


def test_a_big_array_is_counted_in_bytes(world: World) -> None:
    numbers = array.array("q", range(much(world) // 8))

    def main() -> bool:
        with pair() as (near, far):
            writer = spawn(near.sendall, numbers)
            received = far.read_exactly(len(numbers) * 8)
            writer.join()
            return received == numbers.tobytes()

    assert world.run(main)


@pytest.mark.parametrize("data", [b"", bytearray(), memoryview(b""), array.array("I")], ids=repr)
def test_sending_nothing_sends_nothing(world: World, data: Any) -> None:
    def main() -> bytes:
        with pair() as (near, far):
            near.sendall(data)
            near.send_eof()
            return far.recv()

    assert world.run(main) == b""


def test_only_bytes_can_be_sent(world: World) -> None:
    def main() -> bytes:
        with pair() as (near, far):
            with pytest.raises(TypeError, match="sendall: data must be bytes-like, not str: encode it"):
                near.sendall("text")
            with pytest.raises(TypeError):
                near.sendall(None)
            near.sendall(b"and it works on")
            near.send_eof()
            return read_all(far)

    assert world.run(main) == b"and it works on"


def test_half_close(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            near.sendall(b"question")
            near.send_eof()
            near.send_eof()
            assert read_all(far) == b"question"
            far.sendall(b"answer")
            assert near.recv(100)[:1] == b"a"
            with pytest.raises(ClosedError, match="ended with send_eof"):
                near.sendall(b"more")

    world.run(main)


# Buffered reading.


def test_lines_across_pieces(world: World) -> None:
    def main() -> list[bytes]:
        with pair() as (near, far):

            def write() -> None:
                for piece in (b"al", b"pha\nbe", b"ta\n\n", b"gam", b"ma"):
                    near.sendall(piece)
                    yield_()
                near.send_eof()

            spawn(write)
            return [far.readline(), far.readline(), far.readline(), far.readline(), far.readline(), far.readline()]

    assert world.run(main) == [b"alpha\n", b"beta\n", b"\n", b"gamma", b"", b""]


def test_iterating_gives_lines(world: World) -> None:
    def main() -> list[bytes]:
        with pair() as (near, far):
            near.sendall(b"one\ntwo\nthree")
            near.close()
            return list(far)

    assert world.run(main) == [b"one\n", b"two\n", b"three"]


def test_what_readline_has_read_ahead_is_there_for_the_others(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            near.sendall(b"head\nbody-and-more")
            near.send_eof()
            assert far.readline() == b"head\n"
            assert far.recv(2) == b"bo"
            buffer = bytearray(3)
            while not (count := far.recv_into(buffer)):
                pass
            assert b"dy-".startswith(buffer[:count])
            assert far.read_exactly(3 - count) == b"dy-"[count:]
            assert far.read_exactly(8) == b"and-more"
            assert far.recv() == b""
            assert far.recv_into(buffer) == 0
            assert far.read_exactly(0) == b""

    world.run(main)


def test_read_exactly_tells_what_had_come(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            near.sendall(b"1234567")
            near.send_eof()
            assert far.read_exactly(4) == b"1234"
            with pytest.raises(IncompleteRead, match="ended after 3 of 4 bytes") as caught:
                far.read_exactly(4)
            assert caught.value.partial == b"567"
            assert isinstance(caught.value, EOFError)
            assert far.recv() == b""

    world.run(main)


def test_a_line_that_is_too_long_stays_readable(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            near.sendall(b"x" * 20 + b"\nshort\n")
            with pytest.raises(LineTooLong, match="within 10 bytes"):
                far.readline(limit=10)
            with pytest.raises(LineTooLong):
                far.readline(limit=20)
            assert far.readline(limit=21) == b"x" * 20 + b"\n"
            assert far.readline(limit=6) == b"short\n"

    world.run(main)


def test_a_line_without_end_does_not_fill_the_memory(world: World) -> None:
    def main() -> int:
        with pair() as (near, far):
            writer = spawn(near.sendall, b"x" * much(world))
            with pytest.raises(LineTooLong):
                far.readline()
            writer.cancel()
            return len(far.recv(much(world)))

    assert 65_536 <= world.run(main) <= 2 * 65_536


def test_empty_reads(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            near.sendall(b"x")
            assert far.recv(0) == b""
            assert far.recv_into(bytearray()) == 0
            assert far.read_exactly(0) == b""
            assert far.recv() == b"x"

    world.run(main)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda stream: stream.recv(-1), ValueError, "n must be 0 or more, not -1"),
        (lambda stream: stream.read_exactly(-1), ValueError, "n must be 0 or more, not -1"),
        (lambda stream: stream.readline(0), ValueError, "limit must be 1 or more, not 0"),
        (lambda stream: stream.readline(-1), ValueError, "limit must be 1 or more, not -1"),
        (lambda stream: stream.recv_into(b"constant"), TypeError, "must be writable, and bytes is not"),
        (lambda stream: stream.recv_into(7), TypeError, "bytes-like"),
        (lambda stream: stream.recv("7"), TypeError, "recv: n must be an int, not '7'"),
        (lambda stream: stream.recv(1.5), TypeError, "recv: n must be an int, not 1.5"),
        (lambda stream: stream.recv(True), TypeError, "recv: n must be an int, not True"),
        (lambda stream: stream.readline("7"), TypeError, "readline: limit must be an int, not '7'"),
        (lambda stream: stream.read_exactly(None), TypeError, "read_exactly: n must be an int, not None"),
    ],
)
def test_bad_arguments_of_reading(
    world: World, use: Callable[[Stream], object], error: type[Exception], message: str
) -> None:
    def main() -> bytes:
        with pair() as (near, far):
            near.sendall(b"untouched")
            with pytest.raises(error, match=message):
                use(far)
            return far.read_exactly(9)

    assert world.run(main) == b"untouched"


# One fiber at a time.


def test_two_fibers_cannot_read_one_stream(world: World) -> None:
    reads: list[Callable[[Stream], object]] = [
        lambda stream: stream.recv(1),
        lambda stream: stream.recv_into(bytearray(1)),
        lambda stream: stream.readline(),
        lambda stream: stream.read_exactly(1),
    ]

    def main() -> None:
        for first in reads:
            with pair() as (near, far):
                reader = spawn(first, far, name="the early one")
                parked(reader, "data from")
                for second in reads:
                    with pytest.raises(RuntimeError, match="'the early one' is already"):
                        second(far)
                near.sendall(b"\n")
                reader.join()

    world.run(main)


def test_nobody_reads_in_the_middle_of_a_line(world: World) -> None:
    """Between two waits of a readline its fiber is ready, not waiting: the stream is its own all the same."""

    def main() -> bytes:
        with pair() as (near, far):
            reader = spawn(far.readline, name="the early one")
            parked(reader, "data from")
            near.sendall(b"first half, ")
            wait_for(lambda: far._buffer)
            for read in (far.recv, far.readline, lambda: far.recv_into(bytearray(9)), lambda: far.read_exactly(2)):
                with pytest.raises(RuntimeError, match="'the early one' is already"):
                    read()
            near.sendall(b"second half\n")
            line: bytes = reader.join()
            near.sendall(b"next")
            assert far.read_exactly(4) == b"next"
            return line

    assert world.run(main) == b"first half, second half\n"


@pytest.mark.parametrize("read", [Stream.readline, lambda stream: stream.read_exactly(5)], ids=["line", "exactly"])
def test_nobody_reads_before_a_line_that_has_not_begun(
    world: World, monkeypatch: pytest.MonkeyPatch, read: Callable[[Stream], bytes]
) -> None:
    """A signal handler may spend the reader's last credit, so that it gives way before it has read anything."""
    begin = Stream._begin_reading

    def begin_without_credit(stream: Stream, me: Fiber) -> None:
        begin(stream, me)
        me.credit = 0

    def main() -> bytes:
        with pair() as (near, far):
            near.sendall(b"line\n")
            sleep(1)  # until it has arrived, all of it
            with monkeypatch.context() as patch:
                patch.setattr(Stream, "_begin_reading", begin_without_credit)
                reader = spawn(read, far, name="the early one")
                yield_()
            assert not reader.done and not far._buffer
            for other in (far.recv, lambda: far.recv_into(bytearray(9))):
                with pytest.raises(RuntimeError, match="'the early one' is already reading"):
                    other()
            line: bytes = reader.join()
            return line

    assert world.run(main) == b"line\n"


def test_two_fibers_cannot_send_on_one_stream(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            writer = spawn(near.sendall, b"a" * much(world), name="the early one")
            parked(writer, "room to send")
            with pytest.raises(RuntimeError, match="'the early one' is already sending"):
                near.sendall(b"b")
            with pytest.raises(RuntimeError, match="'the early one' is still sending"):
                near.send_eof()
            received = 0
            interrupted = 0
            while received < much(world):  # not: while the writer goes on. It may end while this waits for more
                data = far.recv()
                assert data.strip(b"a") == b""
                received += len(data)
                try:
                    near.sendall(b"b")
                except RuntimeError:
                    interrupted += 1
                else:
                    break
            assert interrupted
            writer.join()
            near.send_eof()
            rest = read_all(far)
            assert received + len(rest.rstrip(b"b")) == much(world)

    world.run(main)


def test_two_fibers_cannot_accept_at_once(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            acceptor = spawn(listener.accept, name="the early one")
            parked(acceptor, "a connection to")
            with pytest.raises(RuntimeError, match="'the early one' is already"):
                listener.accept()
            with connect("127.0.0.1", listener.port):
                acceptor.join().close()

    world.run(main)


# Closing.


def test_a_reader_is_told_when_its_stream_is_closed(world: World) -> None:
    def main() -> None:
        for read in (Stream.recv, Stream.readline, lambda stream: stream.read_exactly(5)):
            with pair() as (near, far):
                reader = spawn(read, far)
                parked(reader, "data from")
                far.close()
                with pytest.raises(ClosedError, match="closed while waiting for data from"):
                    reader.join()
                assert near.recv() == b""

    world.run(main)


def test_a_sender_is_told_when_its_stream_is_closed(world: World) -> None:
    def main() -> None:
        with pair() as (near, _far):
            writer = spawn(near.sendall, b"x" * much(world))
            parked(writer, "room to send")
            near.close()
            with pytest.raises(ClosedError, match="closed while waiting for room to send"):
                writer.join()

    world.run(main)


def test_nothing_works_after_close(world: World) -> None:
    uses: list[Callable[[Stream], object]] = [
        Stream.recv,
        Stream.readline,
        Stream.send_eof,
        lambda stream: stream.recv_into(bytearray(4)),
        lambda stream: stream.read_exactly(4),
        lambda stream: stream.sendall(b"data"),
        lambda stream: list(stream),
    ]

    def main() -> None:
        for prepare in (lambda stream: None, lambda stream: stream.readline()):
            for use in uses:
                with pair() as (near, far):
                    near.sendall(b"line\nand more")
                    prepare(far)
                    far.close()
                    far.close()
                    assert far.closed
                    assert "closed" in repr(far)
                    with pytest.raises(ClosedError, match="the stream is closed"):
                        use(far)

    world.run(main)


def test_reading_from_a_stream_that_had_run_dry_before_it_was_closed(world: World) -> None:
    """The engine knows there is nothing to read, and must not have it waited for."""

    def main() -> None:
        with pair() as (near, far):
            near.sendall(b"all there is")
            assert far.recv(1000)
            with move_on_after(0):
                far.recv()
            far.close()
            with pytest.raises(ClosedError, match="the stream is closed"):
                far.recv()

    world.run(main)


def test_a_listener_after_close(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        acceptor = spawn(listener.accept)
        parked(acceptor, "a connection to")
        listener.close()
        listener.close()
        assert listener.closed
        assert repr(listener) == "<Listener closed>"
        with pytest.raises(ClosedError, match="closed while waiting for a connection"):
            acceptor.join()
        with pytest.raises(ClosedError, match="the listener is closed"):
            listener.accept()
        assert list(listener) == []

    world.run(main)


def test_connections_that_nobody_accepted_are_reset(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            stream = connect("127.0.0.1", listener.port)
        with stream, pytest.raises(ConnectionResetError):
            stream.recv()

    world.run(main)


# Errors of the network.


def test_refused(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            port = listener.port
        with pytest.raises(ConnectionRefusedError, match=f"refused: 127.0.0.1:{port}"):
            connect("127.0.0.1", port)

    world.run(main)


def reset_met_by_a_reader(near: Stream, far: Stream, read: Callable[[], object]) -> None:
    """Closing with unread bytes resets; a fiber that reads from `near` is told so."""
    near.sendall(b"you will not read this")
    assert far.recv(1)
    reader = spawn(read)
    parked(reader, "data from")
    far.close()
    with pytest.raises(ConnectionResetError):
        reader.join()


def test_reset(world: World) -> None:
    """Closing with unread bytes resets: the reader is told, not given an end."""

    def main() -> None:
        with pair() as (near, far):
            reset_met_by_a_reader(near, far, near.recv)

    world.run(main)


def reset_met_by_the_writer(near: Stream, far: Stream) -> None:
    """Closing with unread bytes resets; `near` sends until it is told so."""
    near.sendall(b"never read")
    assert far.recv(1)
    far.close()
    with pytest.raises(ConnectionResetError):
        while True:
            near.sendall(b"x")
            sleep(0.01)


@pytest.mark.parametrize(
    "read",
    [
        Stream.recv,
        lambda stream: stream.recv_into(bytearray(9)),
        Stream.readline,
        lambda stream: stream.read_exactly(1),
    ],
    ids=["recv", "into", "line", "exactly"],
)
def test_a_reset_that_the_writer_has_met_is_no_end_to_the_reader(
    world: World, read: Callable[[Stream], object]
) -> None:
    """The system tells it once, and calls it an end from then on."""

    def main() -> None:
        with pair() as (near, far):
            reset_met_by_the_writer(near, far)
            for _ in range(3):
                with pytest.raises(ConnectionResetError, match="reset by peer"):
                    read(near)

    world.run(main)


def test_a_reset_that_one_reader_has_met_is_no_end_to_the_next(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            reset_met_by_a_reader(near, far, near.readline)
            for read in (near.recv, near.readline, lambda: near.recv_into(bytearray(9))):
                with pytest.raises(ConnectionResetError, match="reset by peer"):
                    read()

    world.run(main)


def test_sending_after_a_reset_has_been_told(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            reset_met_by_the_writer(near, far)
            for _ in range(3):
                with pytest.raises(BrokenPipeError):
                    near.sendall(b"x")
            with pytest.raises(BrokenPipeError):
                near.send_eof()

    world.run(main)


def test_sending_to_one_who_has_gone(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            far.close()
            with pytest.raises(ConnectionError):
                while True:
                    near.sendall(b"x" * 1000)
                    yield_()
                    near.recv(0)
                    if not near.recv():
                        near.sendall(b"y")

    world.run(main)


def test_a_path_where_nobody_listens(world: World, tmp_path: Path) -> None:
    path = tmp_path / "socket"

    def main() -> None:
        with pytest.raises(FileNotFoundError, match=str(path)):
            connect(path=path)
        listen(path=path).close()
        with pytest.raises(FileNotFoundError, match=str(path)):
            connect(path=path)

    world.run(main)


def test_unresolvable(world: World) -> None:
    def main() -> None:
        for word in (connect, lambda host, port: listen(port, host)):
            with pytest.raises(OSError, match="cannot resolve 'no-such-host.invalid'") as caught:
                word("no-such-host.invalid", 80)
            assert type(caught.value).__name__ == "gaierror"

    world.run(main)


def test_names_resolve(world: World) -> None:
    def main() -> None:
        with listen(0) as listener, connect("localhost", listener.port) as near, listener.accept() as far:
            near.sendall(b"x")
            assert far.recv() == b"x"

    world.run(main)


def test_listening_on_an_address_in_use(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            with pytest.raises(OSError, match=f"in use: 127.0.0.1:{listener.port}"):
                listen(listener.port)
            port = listener.port
        listen(port).close()

    world.run(main)


@pytest.mark.parametrize(("first", "second"), [("127.0.0.1", None), (None, "127.0.0.1")])
def test_everywhere_is_here_too(world: World, first: str | None, second: str | None) -> None:
    """A port on all addresses and one on a single address are in each other's way."""

    def main() -> None:
        with listen(0, first) as listener:
            with pytest.raises(OSError, match="in use") as caught:
                listen(listener.port, second)
            assert caught.value.errno == errno.EADDRINUSE

    world.run(main)


def test_a_connection_to_no_address_is_one_to_this_machine(world: World) -> None:
    def main() -> None:
        with listen(0) as listener, connect("0.0.0.0", listener.port) as near, listener.accept() as far:
            near.sendall(b"x")
            assert far.recv() == b"x"

    world.run(main)


def test_port_0_picks_one(world: World) -> None:
    def main() -> None:
        with listen(0) as one, listen(0) as two:
            assert 0 < one.port != two.port > 0
            assert one.address == ("127.0.0.1", one.port)
            assert str(one.port) in repr(one)

    world.run(main)


def test_the_addresses_of_both_ends(world: World) -> None:
    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:
            assert near.remote == far.local == listener.address
            assert far.remote == near.local
            assert str(far.remote[1]) in repr(far)

    world.run(main)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: connect("127.0.0.1", 70_000), ValueError, "connect: port must be between 0 and 65535, not 70000"),
        (lambda: connect("127.0.0.1", -1), ValueError, "connect: port must be between 0 and 65535, not -1"),
        (lambda: connect("127.0.0.1", "80"), TypeError, "connect: port must be an int, not '80'"),  # type: ignore[arg-type]
        (lambda: connect("127.0.0.1", True), TypeError, "connect: port must be an int, not True"),
        (lambda: connect("127.0.0.1"), TypeError, "connect: host .* and port are needed"),
        (lambda: connect(port=80), TypeError, "connect: host .* and port are needed"),
        (lambda: connect(b"127.0.0.1", 80), TypeError, "connect: host .* are needed.*got b'127.0.0.1'"),  # type: ignore[arg-type]
        (lambda: connect("", 80), ValueError, "connect: host must not be empty"),
        (lambda: connect("127.0.0.1", 80, path="/p"), TypeError, "connect: give host and port, or path, not both"),
        (lambda: connect(path=""), ValueError, "connect: path must not be empty"),
        (lambda: connect(path=7), TypeError, "connect: path must be a str or a path, not 7"),  # type: ignore[arg-type]
        (lambda: connect("a" * 70 + ".example", 80), OSError, "cannot resolve 'aaa"),
        (lambda: connect("nul\0l", 80), OSError, "cannot resolve 'nul"),
        (lambda: listen(), TypeError, "listen: port is needed"),
        (lambda: listen(65_536), ValueError, "listen: port must be between 0 and 65535"),
        (lambda: listen("80"), TypeError, "listen: port must be an int, not '80'"),  # type: ignore[arg-type]
        (lambda: listen(0, 127), TypeError, "listen: host must be a str, or None for all of IPv4, not 127"),  # type: ignore[arg-type]
        (lambda: listen(0, path="/p"), TypeError, "listen: give port and host, or path, not both"),
        (lambda: listen(path="/p", host="::1"), TypeError, "listen: give port and host, or path, not both"),
        (lambda: listen(0, ""), ValueError, "listen: host must not be empty; None is all of IPv4"),
        (lambda: listen(path=""), ValueError, "listen: path must not be empty"),
        (lambda: serve("handler", 0), TypeError, "serve: handler must be callable"),  # type: ignore[arg-type]
        (lambda: serve(print, "80"), TypeError, "serve: port_or_listener must be a port"),  # type: ignore[arg-type]
        (lambda: serve(print, 0, limit=0), ValueError, "serve: limit must be 1 or more, not 0"),
        (lambda: serve(print, 0, limit=True), TypeError, "serve: limit must be an int, not True"),
        (lambda: listen(path="/tmp/a\0b"), ValueError, "listen: path must not contain null characters"),
        (lambda: serve(print, 0, grace=-1), ValueError, "serve: grace must be zero or more"),
    ],
)
def test_bad_arguments(world: World, call: Callable[[], object], error: type[Exception], message: str) -> None:
    def main() -> None:
        with pytest.raises(error, match=message):
            call()

    world.run(main)


# Interruptions lose nothing.


def test_a_cancelled_recv_loses_no_data(world: World) -> None:
    def main() -> bytes:
        received = bytearray()
        with pair() as (near, far):

            def read() -> None:
                while data := far.recv():
                    received.extend(data)

            for number in range(200):
                reader = spawn(read)
                if number % 3:
                    yield_()
                near.sendall(b"%d," % number)
                for _ in range(number % 7):
                    yield_()
                reader.cancel()
                with pytest.raises(FiberCancelled):
                    reader.join()
            near.send_eof()
            read()
        return bytes(received)

    assert world.run(main) == b"".join(b"%d," % number for number in range(200))


@pytest.mark.parametrize("read", [Stream.readline, lambda stream: stream.read_exactly(10)], ids=["line", "exactly"])
def test_a_read_that_is_timed_out_loses_nothing(world: World, read: Callable[[Stream], bytes]) -> None:
    short = 0.002 if world.name == "sim" else 0  # simulated time stands still while anybody is ready

    def main() -> list[bytes]:
        got: list[bytes] = []
        with pair() as (near, far):

            def write() -> None:
                for byte in b"123456789\n" * 20:
                    near.sendall(bytes([byte]))
                    yield_()

            with scope() as s:
                s.spawn(write)
                while len(got) < 20:
                    with move_on_after(short):
                        got.append(read(far))
                    sleep(short)
        return got

    assert world.run(main) == [b"123456789\n"] * 20


def test_a_wake_given_stands(world: World) -> None:
    """Data for two comes at once; the first cancels the second, whose data must not get lost."""

    def main() -> None:
        with pair() as (one_near, one_far), pair() as (two_near, two_far):
            received: list[bytes] = []

            def second() -> None:
                received.append(two_far.recv(1))
                sleep(10)

            def first() -> None:
                one_far.recv()
                victim.cancel()

            canceller = spawn(first)
            victim = spawn(second)
            parked(victim, "data from")
            one_near.sendall(b"1")
            two_near.sendall(b"2")
            canceller.join()
            with pytest.raises(FiberCancelled):
                victim.join()
            assert b"".join(received) or two_far.recv() == b"2"

    world.run(main)


def test_a_send_cut_short_ends_the_writing_side_only(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            with move_on_after(0) as deadline:
                near.sendall(b"x" * much(world))
            assert deadline.expired
            with pytest.raises(ClosedError, match=r"a send was cut short after \d+ of \d+ bytes by Cancelled"):
                near.sendall(b"y")
            far.sendall(b"still here")
            assert near.read_exactly(10) == b"still here"
            with pytest.raises(ClosedError, match="cut short"):
                near.send_eof()
            near.close()
            rest = read_all(far)
            assert 0 < len(rest) < much(world)
            assert rest.strip(b"x") == b""

    world.run(main)


def test_a_send_that_has_not_begun_leaves_the_stream_whole(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            with move_on_after(0) as deadline:
                wait_signal("never")
                near.sendall(b"not sent")
            with scope() as s:
                s.cancel()
                near.sendall(b"not sent")
            assert deadline.expired
            near.sendall(b"sent")
            near.send_eof()
            assert read_all(far) == b"sent"

    world.run(main)


def test_a_cancelled_accept_loses_no_connection(world: World) -> None:
    """Cancelled at every moment between a connection's start and its acceptance."""

    def main() -> None:
        count = 60
        accepted: list[Stream] = []
        with listen(0) as listener:

            def accept() -> None:
                while True:
                    accepted.append(listener.accept())

            clients: list[Fiber] = []
            for number in range(count):
                acceptor = spawn(accept)
                for _ in range(number % 4):
                    yield_()
                clients.append(spawn(connect, "127.0.0.1", listener.port))
                for _ in range(number % 9):
                    yield_()
                acceptor.cancel()
            while len(accepted) < count:
                accepted.append(listener.accept())
            streams = [client.join() for client in clients]
            assert {stream.remote for stream in accepted} == {stream.local for stream in streams}
        for stream in streams + accepted:
            stream.close()

    world.run(main)


def test_a_cancelled_connect_leaves_nothing(world: World) -> None:
    def main() -> None:
        with listen(0) as listener:
            for number in range(20):
                client = spawn(connect, "127.0.0.1", listener.port)
                for _ in range(number % 3):
                    yield_()
                client.cancel()
                try:
                    client.join().close()
                except FiberCancelled:
                    pass
            with connect("127.0.0.1", listener.port) as last:
                last.sendall(b"last")
                last.send_eof()
                for stream in listener:
                    with stream:
                        try:
                            if read_all(stream) == b"last":
                                break
                        except ConnectionError:
                            pass  # one that was given up

    world.run(main)


# Buffers are the program's again when the word has ended, however it has.


def free(buffer: bytearray) -> None:
    """It can be resized: nobody holds it."""
    buffer.append(0)


@pytest.mark.parametrize("limited", [move_on_after, fail_after])
def test_a_buffer_is_free_after_a_read_cut_short(world: World, limited: Callable[[float], Any]) -> None:
    """Also while the error is kept, whose traceback keeps the word's variables."""

    def main() -> None:
        kept: list[BaseException] = []
        buffer = bytearray(4)
        with pair() as (near, far):
            with suppress(TimeoutError), limited(0):
                try:
                    far.recv_into(buffer)
                except Cancelled as error:
                    kept.append(error)
                    raise
            free(buffer)
            assert kept[0].__traceback__ is not None
            near.sendall(b"data")
            assert far.recv_into(buffer)
            free(buffer)

    world.run(main)


def test_a_buffer_is_free_after_a_read_that_cannot_be(world: World) -> None:
    def main() -> None:
        buffer = bytearray(4)
        with pair() as (near, far):
            reader = spawn(near.recv)
            parked(reader, "data from")
            far.close()
            for stream in (near, far):
                with pytest.raises((RuntimeError, ClosedError)) as caught:
                    stream.recv_into(buffer)
                free(buffer)
                assert caught.value.__traceback__ is not None
            reader.join()

    world.run(main)


def cut_short(near: Stream, _far: Stream, data: bytearray) -> None:
    with fail_after(0):
        near.sendall(data)


def closed_meanwhile(near: Stream, _far: Stream, data: bytearray) -> None:
    spawn(near.close)
    near.sendall(data)


def broken_meanwhile(near: Stream, far: Stream, data: bytearray) -> None:
    spawn(far.close)
    near.sendall(data)


def broken_before(near: Stream, far: Stream, data: bytearray) -> None:
    reset_met_by_the_writer(near, far)
    near.sendall(data)


@pytest.mark.parametrize("send", [cut_short, closed_meanwhile, broken_meanwhile, broken_before])
@pytest.mark.parametrize("apart", [False, True])
def test_a_buffer_is_free_after_a_send_that_failed(
    world: World, send: Callable[[Stream, Stream, bytearray], None], apart: bool
) -> None:
    """Also while the error is kept, by the program or by the fiber that met it."""

    def main() -> None:
        data = bytearray(much(world))
        with pair() as (near, far):
            fiber = spawn(send, near, far, data) if apart else None
            with pytest.raises((OSError, ClosedError)) as caught:
                fiber.join() if fiber else send(near, far, data)
            free(data)
            assert caught.value.__traceback__ is not None

    world.run(main)


# Fairness.


def test_an_endless_supply_does_not_keep_the_thread(world: World) -> None:
    def main() -> None:
        turns: list[int] = []
        with pair() as (near, far):
            near.sendall(b"\n" * 1000)
            far.readline()
            other = spawn(lambda: turns.append(lines))
            for lines in range(1, 500):
                far.readline()
                if turns:
                    break
            other.join()
        assert turns[0] <= 64

    world.run(main)


def test_streams_belong_to_their_scope_not_their_maker(world: World) -> None:
    """A stream may be handed to any fiber of the thread."""

    def main() -> bytes:
        with pair() as (near, far):
            spawn(near.sendall, b"handed on").join()
            return bytes(spawn(far.read_exactly, 9).join())

    assert world.run(main) == b"handed on"


def test_nothing_can_be_ended_where_the_other_side_has_left(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            near.send_eof()
            assert far.recv(10) == b""
            near.close()
            with pytest.raises(OSError):
                while True:  # the first ones may still be on their way
                    far.sendall(b"anybody there?")
                    sleep(0.01)
            for _ in range(2):
                with pytest.raises(BrokenPipeError):
                    far.send_eof()
                with pytest.raises(BrokenPipeError):
                    far.sendall(b"nobody")

    world.run(main)


def test_streams_can_be_held_weakly(world: World) -> None:
    def main() -> None:
        with pair() as (near, far):
            assert list(WeakSet([near])) == [near]
            assert far.remote == near.local

    world.run(main)
