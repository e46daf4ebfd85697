"""Readiness: what is remembered of edges, and what a poll cut short must not lose."""

import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from computicle import *
from computicle.engine.op import Op
from computicle.engine.pollers import READ, WRITE, EpollPoller, Poller
from computicle.engine.readiness import ReadinessEngine
from computicle.engine.wire import SocketWire
from computicle.scheduler.flows import run_apart

HANG_S = 30  # bounds a hang; nothing takes this long


@pytest.fixture
def engine() -> Iterator[ReadinessEngine]:
    engine = ReadinessEngine()
    yield engine
    engine.close()


@pytest.fixture
def pair(engine: ReadinessEngine) -> Iterator[tuple[SocketWire, socket.socket]]:
    """A wire, and the plain socket at its other end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wire = engine.connect(listener.getsockname())
        far, _address = listener.accept()
    start(wire.writing, wire.finish_connect, None)
    while not collect(engine):
        pass
    with far:
        yield wire, far
    wire.close()


def start(op: Op, attempt: Callable[[Any], Any], argument: Any) -> Op:
    """Hand an operation to the engine, as the kernel does."""
    assert op.waiter is None
    op.attempt, op.argument, op.waiter = attempt, argument, "somebody"
    return op


def collect(engine: ReadinessEngine, timeout: float | None = 0.0) -> list[tuple[Any, BaseException | None]]:
    """Poll, and take what has finished, as the kernel does."""
    finished = engine.poll(timeout)
    outcomes = []
    while finished:
        op = finished.popleft()
        if op.waiter is not None:
            outcomes.append((op.result, op.error))
        op.waiter = op.argument = op.result = op.error = None
    return outcomes


def until(engine: ReadinessEngine) -> list[tuple[Any, BaseException | None]]:
    """Poll until something has finished."""
    for _ in range(100):
        if outcomes := collect(engine, HANG_S):
            return outcomes
    raise AssertionError("nothing finishes")


# Edges.


def test_a_read_waits_for_its_event(engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]) -> None:
    wire, far = pair
    assert wire.recv(100) is None
    start(wire.reading, wire.recv, 100)
    assert collect(engine) == []
    far.send(b"data")
    assert until(engine) == [(b"data", None)]


def test_after_a_short_read_the_system_is_not_asked_until_something_comes(
    engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]
) -> None:
    wire, far = pair
    asked: list[int] = []
    recv = wire._recv

    def counted(count: int) -> bytes:
        asked.append(count)
        return recv(count)

    wire._recv = counted
    far.send(b"data")
    engine.poll(HANG_S)
    assert wire.recv(100) == b"data"
    assert wire.recv(100) is None
    assert wire.recv(100) is None
    assert asked == [100]
    far.send(b"more")
    start(wire.reading, wire.recv, 100)
    assert until(engine) == [(b"more", None)]
    assert asked == [100, 100]


def test_a_full_read_leaves_a_doubt(engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]) -> None:
    wire, far = pair
    far.send(b"12345678")
    engine.poll(HANG_S)
    assert wire.recv(4) == b"1234"
    assert wire.recv(4) == b"5678"
    assert wire.recv(4) is None


@pytest.mark.parametrize("into", [False, True])
def test_data_and_end_arriving_together(
    engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket], into: bool
) -> None:
    """One event tells both; the short read before the end must not wait for another."""
    wire, far = pair

    def read() -> bytes | None:
        if not into:
            return wire.recv(100)
        buffer = bytearray(100)
        count = wire.recv_into(memoryview(buffer))
        return None if count is None else bytes(buffer[:count])

    far.send(b"last words")
    far.shutdown(socket.SHUT_WR)
    engine.poll(HANG_S)
    assert read() == b"last words"
    assert read() == b""
    assert read() == b""


@pytest.mark.parametrize("polls", [0, 1, 2])
def test_the_end_arriving_right_after_a_short_read(
    engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket], polls: int
) -> None:
    wire, far = pair
    far.send(b"data")
    engine.poll(HANG_S)
    assert wire.recv(100) == b"data"
    far.shutdown(socket.SHUT_WR)
    for _ in range(polls):
        engine.poll(0.0)
    data = wire.recv(100)
    if data is None:
        start(wire.reading, wire.recv, 100)
        assert until(engine) == [(b"", None)]
    else:
        assert data == b""


@pytest.mark.parametrize("polls", [0, 1, 2])
def test_data_arriving_right_after_a_short_read(
    engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket], polls: int
) -> None:
    wire, far = pair
    far.send(b"data")
    engine.poll(HANG_S)
    assert wire.recv(100) == b"data"
    far.send(b"more")
    for _ in range(polls):
        engine.poll(0.0)
    data = wire.recv(100)
    if data is None:
        start(wire.reading, wire.recv, 100)
        assert until(engine) == [(b"more", None)]
    else:
        assert data == b"more"


def test_an_event_for_what_has_been_read_already_finishes_nothing(
    engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]
) -> None:
    wire, far = pair
    far.send(b"data")
    wire.readable = True
    while not (data := wire.recv(100)):
        wire.readable = True
    assert data == b"data"
    start(wire.reading, wire.recv, 100)
    assert collect(engine) == []
    assert not wire.readable
    far.send(b"more")
    assert until(engine) == [(b"more", None)]


def test_a_write_waits_for_room(engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]) -> None:
    wire, far = pair
    chunk = b"x" * 1_000_000
    sent = 0
    while count := wire.send(chunk):
        sent += count
    assert count is None
    start(wire.writing, wire.send, chunk)
    assert collect(engine) == []
    received = 0
    while received < sent:
        received += len(far.recv(1 << 20))
    ((count, error),) = until(engine)
    assert count > 0
    assert error is None


def test_a_reset_reaches_the_reader(engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]) -> None:
    wire, far = pair
    start(wire.reading, wire.recv, 100)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    far.close()
    ((result, error),) = until(engine)
    assert result is None
    assert isinstance(error, ConnectionResetError)
    with pytest.raises(BrokenPipeError):
        wire.end_writing()


def test_a_withdrawn_read_leaves_its_data(engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]) -> None:
    wire, far = pair
    op = start(wire.reading, wire.recv, 100)
    far.send(b"data")
    op.call_off("somebody")
    engine.poll(HANG_S)
    assert wire.recv(100) == b"data"


def test_closing_tells_both_directions(engine: ReadinessEngine, pair: tuple[SocketWire, socket.socket]) -> None:
    wire, _far = pair
    wire.writable = False
    start(wire.reading, wire.recv, 100)
    start(wire.writing, wire.send, b"x")
    wire.close()
    wire.close()
    outcomes = collect(engine, None)
    assert [type(error) for _result, error in outcomes] == [ClosedError, ClosedError]
    for attempt in (lambda: wire.recv(1), lambda: wire.send(b"x"), lambda: wire.recv_into(bytearray(1))):
        with pytest.raises(ClosedError, match="the stream is closed"):
            attempt()


def test_a_connection_lost_in_line_is_passed_over(engine: ReadinessEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    port = engine.listen(("127.0.0.1", 0), 10)
    lost = [errno.ECONNABORTED, errno.EPROTO, errno.ENETDOWN] * 1000

    class Lossy:
        def accept(self) -> Any:
            if lost:
                raise OSError(lost.pop(), "lost")
            return real.accept()

        def close(self) -> None:
            real.close()

    real, port._socket = port._socket, Lossy()  # type: ignore[assignment]
    with socket.create_connection(port.local):  # type: ignore[arg-type]
        wire = port.accept(None)
        assert wire is not None
        wire.close()
    assert not lost
    port.close()


# Waking.


def test_wake_up_from_another_thread(engine: ReadinessEngine) -> None:
    polled: list[Any] = []
    thread = threading.Thread(target=lambda: polled.append(collect(engine, None)))
    thread.start()
    engine.wake_up()
    thread.join(HANG_S)
    assert polled == [[]]


def test_bells_never_fill_up(engine: ReadinessEngine) -> None:
    for _ in range(100_000):
        engine.wake_up()
    engine.poll(None)
    engine.wake_up()
    engine.poll(None)


def test_waking_a_closed_engine_does_nothing() -> None:
    engine = ReadinessEngine()
    engine.close()
    engine.wake_up()


def test_a_helper_wakes_a_sleeping_poll(engine: ReadinessEngine) -> None:
    go = threading.Event()
    engine.call(lambda: go.wait(HANG_S), "a call", "somebody")
    threading.Timer(0, go.set).start()
    assert until(engine) == [(True, None)]


def test_a_call_finished_before_the_poll_is_not_slept_over(engine: ReadinessEngine) -> None:
    done = threading.Event()
    engine.call(lambda: 1, "a call", "somebody")
    finish = engine._threads._finished

    def finish_and_tell(op: Op) -> None:
        finish(op)
        done.set()

    engine._threads._finished = finish_and_tell
    engine.call(lambda: 2, "a call", "somebody")
    assert done.wait(HANG_S)
    assert len(until(engine)) >= 1


# Polls cut short.


class Interrupted(Exception):
    """What a signal handler of the program raises."""


class Cut(list[tuple[int, int]]):
    """Events, in the middle of which a signal handler raises."""

    def __init__(self, events: list[tuple[int, int]], after: int) -> None:
        super().__init__(events)
        self._after = after

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for count, event in enumerate(super().__iter__()):
            if count == self._after:
                raise Interrupted
            yield event
        if self._after >= len(self):
            raise Interrupted


class CuttingPoller:
    """A poller that cuts the next poll short: at its return, or after so many events."""

    def __init__(self, poller: Poller) -> None:
        self._poller = poller
        self.register, self.unregister, self.close = poller.register, poller.unregister, poller.close
        self.cut: int | None = None

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        events = self._poller.poll(timeout)
        cut, self.cut = self.cut, None
        if cut is None:
            return events
        if cut < 0:
            raise Interrupted  # right behind the system call: all these edges are lost
        return Cut(events, cut)


@pytest.mark.parametrize("cut", [-1, 0, 1])
def test_a_poll_cut_short_loses_no_end(engine: ReadinessEngine, cut: int) -> None:
    poller = CuttingPoller(engine._poller)
    engine._poller = poller
    near, far = socket.socketpair()
    wire = engine._adopt(near, "")
    engine.poll(0.0)
    far.send(b"last words")
    far.close()
    poller.cut = cut
    with pytest.raises(Interrupted):
        engine.poll(0.0)
    assert collect(engine) == []
    assert wire.recv(100) == b"last words"
    assert wire.recv(100) == b""
    wire.close()


@pytest.mark.parametrize("cut", [-1, 0, 1, 2, 3])
def test_a_poll_cut_short_loses_nothing(engine: ReadinessEngine, cut: int) -> None:
    poller = CuttingPoller(engine._poller)
    engine._poller = poller
    wires: list[SocketWire] = []
    ends: list[socket.socket] = []
    for _ in range(3):
        near, far = socket.socketpair()
        wires.append(engine._adopt(near, ""))
        ends.append(far)
    engine.poll(0.0)
    for number, wire in enumerate(wires):
        assert wire.recv(10) is None
        start(wire.reading, wire.recv, 10)
        ends[number].send(b"%d" % number)
    poller.cut = cut
    with pytest.raises(Interrupted):
        engine.poll(0.0)
    assert sorted(collect(engine), key=str) == [(b"0", None), (b"1", None), (b"2", None)]
    assert collect(engine) == []
    for number, wire in enumerate(wires):
        ends[number].send(b"again")
        start(wire.reading, wire.recv, 10)
    assert [result for result, _error in until(engine)] == [b"again"] * 3
    for wire, end in zip(wires, ends, strict=True):
        wire.close()
        end.close()


def test_an_operation_that_finished_but_was_not_noted_is_not_done_twice(engine: ReadinessEngine) -> None:
    """The handler raises between an attempt and its noting: the bytes have left the socket."""
    near, far = socket.socketpair()
    wire = engine._adopt(near, "")
    engine.poll(0.0)
    assert wire.recv(10) is None
    op = start(wire.reading, wire.recv, 10)
    far.send(b"once")

    real = Op.run
    with pytest.MonkeyPatch.context() as patch:

        def run_and_raise(self: Op) -> bool:
            real(self)
            raise Interrupted

        patch.setattr(Op, "run", run_and_raise)
        with pytest.raises(Interrupted):
            engine.poll(HANG_S)
    far.send(b"twice")
    assert op.result == b"once"
    assert collect(engine) == [(b"once", None)]
    assert wire.recv(10) == b"twice"
    wire.close()
    far.close()


def test_the_main_fiber_gets_its_data_before_the_interruption() -> None:
    """The handler's error is for the main fiber, whose own read has just finished."""
    engine = ReadinessEngine()
    poller = CuttingPoller(engine._poller)
    engine._poller = poller
    got: list[bytes] = []

    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:

            def send() -> None:
                near.sendall(b"data")
                poller.cut = 99

            spawn(send)
            with pytest.raises(Interrupted):
                got.append(far.recv())
                got.append(far.recv())

    run_apart(engine, None, main, (), {})
    assert got == [b"data"]


@pytest.mark.skipif(not hasattr(signal, "SIGALRM"), reason="needs POSIX signals")
def test_a_real_signal_handler_that_raises() -> None:
    """Handlers that raise at random moments, while data streams: every byte arrives once, in order."""
    total = 400
    raised = 0
    received = bytearray()
    armed = False

    def handler(_number: int, frame: Any) -> None:
        # Only while the kernel looks outside: elsewhere the program has itself to thank.
        nonlocal raised, armed
        inside = frame
        while inside is not None and inside.f_code.co_name != "poll":
            inside = inside.f_back
        if inside is not None and armed:
            armed = False
            raised += 1
            raise Interrupted

    class Signalling(EpollPoller):
        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            events = super().poll(timeout)
            if armed and any(mask & (READ | WRITE) for _descriptor, mask in events):
                signal.raise_signal(signal.SIGALRM)
            return events

    def main() -> None:
        nonlocal armed
        with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:

            def send() -> None:
                nonlocal armed
                for number in range(total):
                    armed = number % 3 == 0
                    near.sendall(b"%d," % number)
                    yield_()
                near.send_eof()

            def receive() -> None:
                while data := far.recv():
                    received.extend(data)

            sender, receiver = spawn(send), spawn(receive)
            while not (sender.done and receiver.done):
                try:
                    wait_for(lambda: sender.done and receiver.done)
                except Interrupted:
                    pass

    before = signal.signal(signal.SIGALRM, handler)
    try:
        engine = ReadinessEngine()
        engine._poller.close()
        engine._poller = Signalling()
        engine._poller.register(engine._ear.fileno())
        run_apart(engine, None, main, (), {})
    finally:
        signal.signal(signal.SIGALRM, before)
    assert raised > 0
    assert bytes(received) == b"".join(b"%d," % number for number in range(total))


def test_a_wire_may_be_closed_while_the_wires_are_gone_through(engine: ReadinessEngine) -> None:
    """The collector drops streams when it likes: here, as soon as the first wire is looked at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        wires = [engine.connect(listener.getsockname()) for _ in range(3)]

    class Dropping(Op):
        def __getattribute__(self, name: str) -> Any:
            if name == "waiter":
                for wire in wires:
                    wire.close()
            return super().__getattribute__(name)

    wires[0].reading = Dropping(str)
    engine._unsure = True
    collect(engine)
    assert engine._wires == {}
