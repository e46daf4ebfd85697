"""Streams and listeners on the sockets of this machine."""

import errno
import gc
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from computicle import *
from computicle.engine.op import Op
from computicle.engine.readiness import ReadinessEngine
from computicle.scheduler.flows import run_apart
from tests.descriptors import open_descriptors, settled_descriptors

HANG_S = 30  # bounds a hang; nothing takes this long


def ipv6_missing() -> str:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError as error:
        return f"this machine has no IPv6: {error}"
    return ""


needs_ipv6 = pytest.mark.skipif(bool(ipv6_missing()), reason=ipv6_missing() or "it has IPv6")


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = settled_descriptors()
    yield
    assert open_descriptors() <= before


def parked(fiber: Fiber, reason: str) -> None:
    wait_for(lambda: reason in (fiber.waits_for or ""))


def both_ways(near: Stream, far: Stream) -> None:
    near.sendall(b"there")
    assert far.read_exactly(5) == b"there"
    far.sendall(b"and back")
    assert near.read_exactly(8) == b"and back"


# Kinds of addresses.


@needs_ipv6
def test_ipv6() -> None:
    def main() -> None:
        with listen(0, "::1") as listener:
            assert listener.address[:2] == ("::1", listener.port)
            with connect("::1", listener.port) as near, listener.accept() as far:
                assert near.remote[:2] == ("::1", listener.port)
                both_ways(near, far)
            port = listener.port
        with pytest.raises(ConnectionRefusedError, match=rf"\[::1\]:{port}"):
            connect("::1", port)

    run(main)


@needs_ipv6
def test_ipv4_and_ipv6_have_ports_of_their_own() -> None:
    def main() -> None:
        with listen(0, "0.0.0.0") as four, listen(four.port, "::") as six:
            with connect("127.0.0.1", four.port) as near, four.accept() as far:
                both_ways(near, far)
            with connect("::1", six.port) as near, six.accept() as far:
                both_ways(near, far)

    run(main)


def test_listening_everywhere() -> None:
    def main() -> None:
        with listen(0, None) as listener:
            assert listener.address[0] == "0.0.0.0"
            with connect("127.0.0.1", listener.port) as near, listener.accept() as far:
                both_ways(near, far)

    run(main)


@pytest.mark.parametrize("kind", [str, Path, os.fsencode])
def test_unix_domain(tmp_path: Path, kind: Callable[[str], Any]) -> None:
    path = str(tmp_path / "socket")

    def main() -> None:
        with listen(path=kind(path)) as listener:
            assert listener.address == path
            assert path in repr(listener)
            with pytest.raises(ValueError, match="has no port"):
                _ = listener.port
            with connect(path=kind(path)) as near, listener.accept() as far:
                both_ways(near, far)
                assert far.local == near.remote == path
                near.send_eof()
                assert far.recv() == b""
        assert not os.path.exists(path)

    with no_descriptor_left():
        run(main)


def test_abstract_unix_names() -> None:
    name = f"\0computicle-{os.getpid()}"

    def main() -> None:
        with listen(path=name) as listener, connect(path=name) as near, listener.accept() as far:
            both_ways(near, far)

    if not os.path.exists("/proc/net/unix"):
        pytest.skip("abstract names are Linux's")
    run(main)


def test_a_path_in_use(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    def main() -> None:
        with listen(path=path) as listener:
            with pytest.raises(OSError, match=f"in use: {path}") as caught:
                listen(path=path)
            assert caught.value.errno == errno.EADDRINUSE
            assert os.path.exists(path)
            with connect(path=path) as near, listener.accept() as far:
                both_ways(near, far)

    run(main)


def test_only_its_own_path_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"

    def main() -> None:
        old = listen(path=path)
        path.unlink()
        with listen(path=path) as new:
            old.close()
            assert path.exists()
            with connect(path=path) as near, new.accept() as far:
                both_ways(near, far)
        assert not path.exists()
        listener = listen(path=path)
        path.unlink()
        path.write_text("somebody's notes")
        listener.close()
        assert path.read_text() == "somebody's notes"

    run(main)


def test_a_path_is_removed_when_the_listener_ends_with_its_kernel(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    kept: list[Listener] = []

    def main() -> None:
        kept.append(listen(path=path))
        assert path.exists()

    run_apart(ReadinessEngine(), None, main, (), {})
    assert kept[0].closed
    assert not path.exists()


def test_a_relative_path_is_removed_from_where_it_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        monkeypatch.chdir(tmp_path)
        listener = listen(path="socket")
        monkeypatch.chdir("/")
        listener.close()
        assert not (tmp_path / "socket").exists()

    run(main)


def test_no_such_path(tmp_path: Path) -> None:
    path = tmp_path / "socket"

    def main() -> None:
        with pytest.raises(FileNotFoundError, match=str(path)):
            connect(path=path)
        with socket.socket(socket.AF_UNIX) as nobody:
            nobody.bind(str(path))
            with pytest.raises(ConnectionRefusedError, match=str(path)):
                connect(path=path)
        with pytest.raises(FileNotFoundError):
            listen(path=tmp_path / "no" / "such")

    with no_descriptor_left():
        run(main)


@pytest.mark.parametrize("word", [connect, listen])
def test_a_path_that_is_too_long(word: Callable[..., object]) -> None:
    """The system is not even asked."""
    path = "x" * 200

    def main() -> None:
        with pytest.raises(OSError, match=f"too long.*{path}") as caught:
            word(path=path)
        assert caught.value.errno == errno.ENAMETOOLONG

    with no_descriptor_left():
        run(main)


def test_a_full_backlog_of_a_unix_listener_is_waited_for(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    def main() -> None:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            listener.listen(0)
            streams = [connect(path=path)]
            late = spawn(connect, path=path)
            parked(late, "time")
            given_up = spawn(connect, path=path)
            parked(given_up, "time")
            given_up.cancel()
            for _ in range(2):
                listener.accept()[0].close()
                if not late.done:
                    streams.append(late.join())
            for stream in streams:
                stream.close()

    with no_descriptor_left():
        run(main)


# Names.


def test_names_are_resolved_off_the_kernels_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = threading.Event()
    where: list[int] = []
    real = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        where.append(threading.get_ident())
        assert looked_up.wait(HANG_S), "other fibers should have run meanwhile"
        return real("127.0.0.1", *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def main() -> None:
        with listen(0) as listener:
            client = spawn(connect, "a.name.example", listener.port)
            parked(client, "the addresses of 'a.name.example'")
            assert fibers()
            looked_up.set()
            with client.join() as near, listener.accept() as far:
                both_ways(near, far)
        listen(0, "another.example").close()

    run(main)
    assert len(where) == 2
    assert threading.get_ident() not in where


def test_a_look_up_given_up_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def getaddrinfo(*_args: Any, **_kwargs: Any) -> Any:
        ended.wait(HANG_S)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def main() -> None:
        with pytest.raises(TimeoutError), fail_after(0):
            connect("slow.example", 80)

    with no_descriptor_left():
        run(main)
    ended.set()


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        with listen(0) as listener:
            dead = listen(0)
            addresses = [("127.0.0.1", dead.port), ("127.0.0.1", listener.port)]
            dead.close()
            found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
            monkeypatch.setattr(socket, "getaddrinfo", lambda *_args, **_kwargs: found)
            with connect("two.example", 80) as near, listener.accept() as far:
                both_ways(near, far)
            del found[1]
            with pytest.raises(ConnectionRefusedError, match=f"127.0.0.1:{addresses[0][1]}"):
                connect("two.example", 80)

    with no_descriptor_left():
        run(main)


# Descriptors.


def test_a_connect_that_is_interrupted_leaves_no_descriptor() -> None:
    def main() -> None:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            port = listener.getsockname()[1]
            # A listener with a full backlog answers nobody: these two fill it, and the rest must wait.
            fill = [connect("127.0.0.1", port)]
            while True:
                client = spawn(connect, "127.0.0.1", port)
                for _ in range(100):
                    yield_()
                if not client.done:
                    break
                fill.append(client.join())
            parked(client, "room to send to 127.0.0.1")
            client.cancel()
            with pytest.raises(FiberCancelled):
                client.join()
            with pytest.raises(TimeoutError), fail_after(0):
                connect("127.0.0.1", port)
            for stream in fill:
                stream.close()

    with no_descriptor_left():
        run(main)


def test_what_is_left_open_ends_with_its_kernel() -> None:
    kept: list[Any] = []

    def main() -> None:
        listener = listen(0)
        kept.extend([listener, connect("127.0.0.1", listener.port), listener.accept()])

    with no_descriptor_left():
        run_apart(ReadinessEngine(), None, main, (), {})
    listener, near, far = kept
    assert listener.closed and near.closed and far.closed
    for left in kept:
        left.close()
    with pytest.raises(ClosedError):
        near.recv()
    with pytest.raises(ClosedError):
        far.sendall(b"x")


def test_errors_of_connecting_leave_no_circles() -> None:
    """A refused connection is forgotten at once, without the collector."""
    import weakref

    class Marker:
        pass

    def main() -> None:
        with listen(0) as listener:
            port = listener.port

        def attempt() -> "weakref.ref[Marker]":
            marker = Marker()
            try:
                connect("127.0.0.1", port)
            except ConnectionRefusedError:
                pass
            return weakref.ref(marker)

        gc.disable()
        try:
            assert attempt()() is None
        finally:
            gc.enable()

    run(main)


def test_closed_connections_are_forgotten_without_the_collector() -> None:
    import weakref

    def main() -> None:
        with listen(0) as listener:
            gc.collect()
            gc.disable()
            try:
                near = connect("127.0.0.1", listener.port)
                far = listener.accept()
                parked(reader := spawn(far.readline), "data from")
                near.sendall(b"line\n")
                reader.join()
                del reader
                ends: list[Any] = [near, far]
                wires = [weakref.ref(end._wire._socket) for end in ends]
                ends.clear()
                near.close()
                far.close()
                del near, far
                assert [wire() for wire in wires] == [None, None]
            finally:
                gc.enable()

    run(main)


# Other threads.


def test_a_stream_belongs_to_its_thread() -> None:
    uses: list[Callable[[Stream], object]] = [
        Stream.recv,
        lambda stream: stream.recv_into(bytearray(1)),
        Stream.readline,
        lambda stream: stream.read_exactly(1),
        lambda stream: stream.sendall(b"x"),
        Stream.send_eof,
        Stream.close,
    ]
    told: list[str] = []

    def elsewhere(near: Stream, listener: Listener) -> None:
        for word in [*[lambda use=use: use(near) for use in uses], listener.accept, listener.close]:
            for inside in (lambda word: word(), run):
                try:
                    inside(word)
                except RuntimeError as error:
                    told.append(str(error))

    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:
            far.sendall(b"line\nmore")
            assert near.readline() == b"line\n"
            thread = threading.Thread(target=elsewhere, args=(near, listener))
            thread.start()
            thread.join(HANG_S)
            assert not near.closed and not listener.closed
            assert near.read_exactly(4) == b"more"
            both_ways(near, far)

    run(main)
    assert len(told) == 2 * (len(uses) + 2)
    assert all("belongs to another thread" in message for message in told)


# What the engine sees.


class Counting(ReadinessEngine):
    """Counts what is asked of the poller, and the attempts that would have had to wait."""

    def __init__(self) -> None:
        super().__init__()
        self.registered: list[int] = []
        self.polls = 0
        register, poll = self._poller.register, self._poller.poll

        def counted_register(descriptor: int) -> None:
            self.registered.append(descriptor)
            register(descriptor)

        def counted_poll(timeout: float | None) -> list[tuple[int, int]]:
            self.polls += 1
            return poll(timeout)

        self._poller.register = counted_register  # type: ignore[method-assign,assignment]
        self._poller.poll = counted_poll  # type: ignore[method-assign]


def test_each_descriptor_is_registered_once() -> None:
    engine = Counting()

    def main() -> None:
        with listen(0) as listener:
            with connect("127.0.0.1", listener.port) as near, listener.accept() as far:
                parts: list[Any] = [listener._port, near._wire, far._wire]
                descriptors = [part.descriptor for part in parts]

                def answer() -> None:
                    for _ in range(100):
                        far.sendall(far.recv())

                talker = spawn(answer)
                for _ in range(100):
                    near.sendall(b"x")
                    assert near.recv() == b"x"
                talker.join()
                assert sorted(engine.registered) == sorted(descriptors)

    run_apart(engine, None, main, (), {})


def test_urgent_data_does_not_strand_what_follows_it() -> None:
    """A read stops short before urgent data, though there is more: no new event would tell."""

    def main() -> None:
        with listen(0) as listener:
            with socket.create_connection(("127.0.0.1", listener.port)) as client, listener.accept() as far:
                for early in (False, True):
                    reader = spawn(far.read_exactly, 6)
                    if early:
                        parked(reader, "data from")
                    client.send(b"abc")
                    client.send(b"!", socket.MSG_OOB)
                    client.send(b"def")
                    with fail_after(HANG_S):
                        assert reader.join() == b"abcdef"

    run(main)


def into(stream: Stream, n: int) -> bytes:
    buffer = bytearray(n)
    return bytes(buffer[: stream.recv_into(buffer)])


@pytest.mark.parametrize("read", [Stream.recv, into])
@pytest.mark.parametrize("waiting", [False, True])
def test_a_passed_descriptor_does_not_strand_what_follows_it(
    tmp_path: Path, read: Callable[[Stream, int], bytes], waiting: bool
) -> None:
    """A read stops short behind each descriptor, though there is more: no new event would tell."""
    path = str(tmp_path / "socket")

    def main() -> None:
        received: list[bytes] = []

        def read_both() -> None:
            while b"".join(received).count(b"\n") < 2:
                received.append(read(far, 100))

        with listen(path=path) as listener, socket.socket(socket.AF_UNIX) as client:
            client.connect(path)
            with listener.accept() as far:
                reader = spawn(read_both)
                if waiting:
                    parked(reader, "data from")
                socket.send_fds(client, [b"one\n"], [client.fileno()])
                client.sendall(b"two\n")
                if not waiting:
                    current().kernel._collect(0.0)  # what comes is told already when the reader begins
                with fail_after(HANG_S):
                    reader.join()
        assert b"".join(received) == b"one\ntwo\n"

    with no_descriptor_left():
        run(main)


def test_an_end_after_which_nothing_can_be_sent_stays_an_end() -> None:
    """The other side has closed in peace: that the writer meets a broken pipe is nothing to the reader."""

    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near:
            with listener.accept() as far:
                far.sendall(b"the rest")
            with pytest.raises(BrokenPipeError):
                while True:
                    near.sendall(b"x")
            assert near.read_exactly(8) == b"the rest"
            assert near.recv() == near.readline() == b""
            assert near.recv_into(bytearray(1)) == 0

    run(main)


def test_an_operation_in_flight_says_what_it_is() -> None:
    op = Op(lambda: "the label")
    assert str(op) == "the label"
    assert not op.run()
