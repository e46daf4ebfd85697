"""Sim: an unkind network that keeps its promises, repeatable from a seed."""

import math
import os
import re
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle import *
from computicle.engine.sim import SimEngine
from computicle.engine.simnet import Network
from computicle.scheduler.flows import run_apart
from computicle.testing import simulate

networks = st.builds(
    Network,
    latency=st.sampled_from([(0.0, 0.0), (0.0, 1.0), (0.001, 0.002)]),
    window=st.integers(1, 200),
    pieces=st.booleans(),
)


def read_all(stream: Stream) -> bytes:
    received = bytearray()
    while data := stream.recv():
        received += data
    return bytes(received)


@settings(max_examples=150, deadline=None)
@given(
    pieces=st.lists(st.binary(max_size=400), max_size=12),
    answers=st.lists(st.binary(max_size=400), max_size=12),
    network=networks,
    seed=st.integers(0, 1 << 32),
    shuffle=st.booleans(),
)
def test_any_bytes_in_any_pieces_arrive_unchanged(
    pieces: list[bytes], answers: list[bytes], network: Network, seed: int, shuffle: bool
) -> None:
    def send(stream: Stream, what: list[bytes]) -> None:
        for piece in what:
            stream.sendall(piece)
        stream.send_eof()

    def main() -> list[Any]:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:
            return gather(
                lambda: read_all(far), lambda: read_all(near), lambda: send(near, pieces), lambda: send(far, answers)
            )

    read = simulate(main, seed=seed, shuffle=shuffle, network=network)
    assert read is not None
    there, back, _, _ = read
    assert there == b"".join(pieces)
    assert back == b"".join(answers)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.binary(max_size=60).map(lambda line: line.replace(b"\n", b"")), max_size=20),
    seed=st.integers(0, 1 << 32),
)
def test_lines_however_they_are_cut(lines: list[bytes], seed: int) -> None:
    def main() -> list[bytes]:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:

            def send() -> None:
                for line in lines:
                    near.sendall(line + b"\n")
                near.send_eof()

            spawn(send)
            return list(far)

    assert simulate(main, seed=seed, network=Network(window=7)) == [line + b"\n" for line in lines]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), count=st.integers(1, 12))
def test_no_connection_is_lost_to_an_acceptor_that_is_cancelled(seed: int, count: int) -> None:
    """Cancelled at random moments of simulated time."""

    def main() -> None:
        accepted: list[Stream] = []
        with listen(0) as listener:

            def accept() -> None:
                while True:
                    accepted.append(listener.accept())

            clients = [spawn(connect, "127.0.0.1", listener.port) for _ in range(count)]
            while len(accepted) < count:
                acceptor = spawn(accept)
                sleep(0.002)
                acceptor.cancel()
            streams = [client.join() for client in clients]
            assert {stream.remote for stream in accepted} == {stream.local for stream in streams}
        for stream in streams + accepted:
            stream.close()

    simulate(main, seed=seed, shuffle=bool(seed % 2))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), patience=st.floats(0.0005, 0.01))
def test_no_byte_is_lost_to_a_reader_that_is_timed_out(seed: int, patience: float) -> None:
    message = bytes(range(256))

    def main() -> bytes:
        received = bytearray()
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:

            def send() -> None:
                near.sendall(message)
                near.send_eof()

            spawn(send)
            reads: list[Callable[[], bytes]] = [lambda: far.recv(3), lambda: far.read_exactly(9), lambda: far.recv(100)]
            turn = 0
            while len(received) < len(message):
                turn += 1
                with move_on_after(patience):
                    try:
                        received += reads[turn % 3]()
                    except IncompleteRead as error:
                        received += error.partial
        return bytes(received)

    assert simulate(main, seed=seed, network=Network(window=20)) == message


# Repeatable.


def a_story(seed: int, **options: Any) -> list[Any]:
    """What happens in a program with much chance in it, and when."""
    told: list[Any] = []

    def handler(stream: Stream) -> None:
        while data := stream.recv(100):
            told.append((now(), "heard", len(data)))
            stream.sendall(data)

    def client(number: int, port: int) -> None:
        try:
            with connect("127.0.0.1", port) as stream:
                stream.sendall(b"x" * 500)
                stream.send_eof()
                told.append((now(), number, len(read_all(stream))))
        except ConnectionError as error:
            told.append((now(), number, str(error)))

    engine = SimEngine(seed, Network(resets=0.05, refusals=0.1))
    now = engine.now

    def main() -> None:
        listener = listen(0)
        server = spawn(serve, handler, listener)
        with scope() as s:
            for number in range(20):
                s.spawn(client, number, listener.port)
        server.cancel()

    import logging

    logging.disable()
    try:
        run_apart(engine, None, main, (), {})
    finally:
        logging.disable(logging.NOTSET)
    return told


def test_the_same_seed_gives_the_same_run() -> None:
    stories = [a_story(seed) for seed in range(8)]
    assert stories == [a_story(seed) for seed in range(8)]
    assert len({str(story) for story in stories}) == 8


# Faults.


def test_resets() -> None:
    """Every connection breaks: both sides are told, and no wrong byte is read."""
    told: list[str] = []

    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:

            def read() -> None:
                try:
                    while data := far.recv():
                        assert data.strip(b"x") == b""
                except ConnectionResetError:
                    told.append("reader")

            spawn(read)
            with pytest.raises(ConnectionResetError, match="reset by peer"):
                while True:
                    near.sendall(b"x" * 1000)
            told.append("writer")
            with pytest.raises(ConnectionError):
                near.recv()
            with pytest.raises(ConnectionError):
                near.send_eof()

    for seed in range(20):
        told.clear()
        simulate(main, seed=seed, network=Network(resets=0.2))
        assert sorted(told) == ["reader", "writer"]


def test_refusals() -> None:
    def main() -> int:
        refused = 0
        with listen(0) as listener:
            for _ in range(200):
                try:
                    connect("127.0.0.1", listener.port).close()
                except ConnectionRefusedError as error:
                    assert str(listener.port) in str(error)
                    refused += 1
                else:
                    listener.accept().close()
        return refused

    assert simulate(main, network=Network(refusals=0.5)) in range(40, 160)
    assert simulate(main, network=Network(refusals=1.0)) == 200
    assert simulate(main) == 0


def test_a_full_backlog_makes_wait() -> None:
    engine = SimEngine()
    port = engine.listen(("127.0.0.1", 0), 2)
    wires = [engine.connect(port.local) for _ in range(5)]

    def outcomes() -> list[bool | None]:
        engine.poll(1.0)
        return sorted([wire.finish_connect(None) for wire in wires if not wire.closed], key=bool)

    assert outcomes() == [None, None, None, True, True]
    next(wire for wire in wires if not wire.finish_connect(None)).close()  # given up: its place is for the next
    for connected in (3, 4):
        assert port.accept(None)
        assert outcomes().count(True) == connected
    port.close()


def test_who_waits_for_a_full_backlog_is_refused_when_it_closes() -> None:
    engine = SimEngine()
    port = engine.listen(("127.0.0.1", 0), 1)
    wires = [engine.connect(port.local) for _ in range(2)]
    engine.poll(1.0)
    port.close()
    engine.poll(1.0)
    errors: list[type[OSError]] = []
    for wire in wires:
        with pytest.raises(ConnectionError) as caught:
            wire.finish_connect(None)
        errors.append(caught.type)
    assert set(errors) == {ConnectionResetError, ConnectionRefusedError}


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1 << 32), room=st.integers(1, 4), count=st.integers(1, 9))
def test_connectors_wait_until_somebody_accepts(seed: int, room: int, count: int) -> None:
    def main() -> None:
        with listen(0) as listener:
            connectors = [spawn(connect, "127.0.0.1", listener.port) for _ in range(count)]
            for accepted in range(count + 1):
                sleep(60)
                assert sum(connector.done for connector in connectors) == min(count, room + accepted)
                if accepted < count:
                    listener.accept().close()
            for connector in connectors:
                connector.join().close()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("computicle.net.listener.BACKLOG", room)
        simulate(main, seed=seed)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency", (-0.1, 1.0)),
        ("latency", (2.0, 1.0)),
        ("latency", (0.0, math.inf)),
        ("latency", (math.inf, math.inf)),
        ("latency", (math.nan, 1.0)),
        ("latency", (0.0, math.nan)),
        ("window", 0),
        ("window", -1),
        *[(name, value) for name in ("resets", "refusals") for value in (-0.1, 1.1, math.nan, math.inf)],
    ],
)
def test_a_network_that_cannot_be(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"Network: {name} must be .*, not {re.escape(repr(value))}"):
        Network(**{name: value})


def test_latency() -> None:
    def main() -> float:
        engine = current().kernel.engine
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:
            start = engine.now()
            near.sendall(b"ping")
            far.recv(1)
            seconds: float = engine.now() - start
            return seconds

    def crossing(least: float, most: float) -> float:
        seconds = simulate(main, network=Network(latency=(least, most)))
        assert seconds is not None
        return seconds

    assert crossing(0.0, 0.0) == 0.0
    assert math.isclose(crossing(2.5, 2.5), 2.5)
    assert 1.0 <= crossing(1.0, 2.0) <= 2.0


def test_a_window_holds_the_sender_back() -> None:
    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:
            writer = spawn(near.sendall, bytes(101))
            sleep(60)
            assert writer.waits_for == f"room to send to 127.0.0.1:{listener.port}"
            assert len(far.recv(100)) == 100
            sleep(60)
            assert writer.done

    simulate(main, network=Network(window=100, pieces=False))


def test_a_connection_given_up_half_way_is_no_riddle_to_the_other_side() -> None:
    """Closed between the two crossings of its making: the acceptor reads an end or a reset, and never waits forever."""

    def main() -> None:
        with listen(0) as listener:
            for wait_ms in range(40):
                client = spawn(connect, "127.0.0.1", listener.port)
                sleep(wait_ms / 1000)
                client.cancel()
                try:
                    client.join().close()
                except FiberCancelled:
                    pass
                with move_on_after(1):
                    with listener.accept() as far:
                        try:
                            assert far.recv() == b""
                        except ConnectionResetError:
                            pass

    for seed in range(10):
        simulate(main, seed=seed)


def test_nothing_to_come_is_told_as_a_deadlock() -> None:
    def main() -> None:
        with listen(0) as listener:
            listener.accept()

    with pytest.raises(Deadlock, match="a connection to 127.0.0.1"):
        simulate(main)


# No operating system underneath.


def test_simulated_paths_touch_no_file(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("notes")

    def main() -> None:
        with listen(path=path) as listener, connect(path=path) as near, listener.accept() as far:
            near.sendall(b"x")
            assert far.recv() == b"x"
            assert far.local == str(path)
            with pytest.raises(OSError, match="in use"):
                listen(path=path)

    simulate(main)
    assert path.read_text() == "notes"


def test_ipv6_and_names() -> None:
    network = Network(names={"six.example": ["::1"], "both.example": ["::1", "127.0.0.1"], "empty.example": []})

    def main() -> None:
        with listen(0, "six.example") as six:
            assert six.address == ("::1", six.port, 0, 0)
            with connect("::1", six.port) as near, six.accept() as far:
                assert near.local[0] == "::1"
                assert far.remote == near.local
        with listen(0) as four, connect("both.example", four.port) as near:
            assert near.remote == four.address
        with listen(0, "::") as everywhere, connect("six.example", everywhere.port):
            everywhere.accept().close()
        with pytest.raises(OSError, match="cannot resolve 'empty.example'"):
            connect("empty.example", 80)

    simulate(main, network=network)


def test_ports_never_run_out() -> None:
    def main() -> None:
        with listen(0) as first:
            for _ in range(17_000):
                with listen(0) as listener:
                    assert listener.port <= 65_535
                    assert listener.port != first.port

    simulate(main)


def test_neither_descriptors_nor_threads_nor_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_args: Any, **_kwargs: Any) -> Any:
        raise AssertionError("a simulation needs no system")

    def main() -> int:
        listener = listen(0)
        server = spawn(serve, lambda stream: stream.sendall(stream.recv()), listener)
        with connect("localhost", listener.port) as stream:
            stream.sendall(b"x")
            assert stream.recv() == b"x"
        sleep(1_000_000)
        server.cancel()
        return offload(threading.get_ident)

    with monkeypatch.context() as patch:
        patch.setattr(socket, "socket", forbidden)
        patch.setattr(threading.Thread, "start", forbidden)
        for clock in ("monotonic", "time", "sleep", "perf_counter"):
            patch.setattr(time, clock, forbidden)
        ident = simulate(main)
    assert ident == threading.get_ident()


def test_what_is_left_open_is_closed_with_the_simulation() -> None:
    kept: list[Any] = []

    def main() -> None:
        listener = listen(0)
        kept.extend([listener, connect("127.0.0.1", listener.port), listener.accept()])

    simulate(main)
    for left in kept:
        assert left.closed
        left.close()
    with pytest.raises(ClosedError):
        kept[1].recv()


def test_a_simulation_has_no_descriptor_of_its_own() -> None:
    before = len(os.listdir("/dev/fd"))
    inside: list[int] = []
    simulate(lambda: inside.append(len(os.listdir("/dev/fd"))))
    assert inside == [before]


def test_all_ports_taken_is_an_error_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("computicle.engine.sim.OWN_PORTS", range(50_000, 50_003))

    def main() -> None:
        listeners = [listen(0) for _ in range(3)]
        with pytest.raises(OSError, match="in use"):
            listen(0)
        listeners.pop().close()
        listeners.append(listen(0))
        for listener in listeners:
            listener.close()

    simulate(main)
