"""Ten thousand connections, dropped at random moments: nothing of them may be left over.

Both sides live in one kernel. What each does is drawn from a seed, which the
failure names; the order of events is the system's.
"""

import gc
import logging
import os
import random
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from computicle import *
from computicle.engine.readiness import ReadinessEngine
from computicle.scheduler.flows import run_apart

CONNECTIONS = 10_000  # in two halves, of which the second must not need more than the first
AT_ONCE = 100
BIG = 300_000  # more than a socket takes at once
BLOCKS_GROWTH_MAX = 500  # of the interpreter's memory blocks, over 5,000 connections: a leak takes one for each
RSS_GROWTH_MAX = 16 << 20  # bytes; the system's own ways with memory are coarse


class Mishap(Exception):
    """A handler's own error."""


# The server's side: the client's first byte says how it is treated.


def echo_lines(stream: Stream) -> None:
    for line in stream:
        stream.sendall(line)


def hang_up(stream: Stream) -> None:
    stream.close()


def fail(_stream: Stream) -> None:
    raise Mishap


def send_much(stream: Stream) -> None:
    stream.sendall(bytes(BIG))


def give_up_sending(stream: Stream) -> None:
    with move_on_after(0):
        stream.sendall(bytes(BIG * 10))


def give_up_reading(stream: Stream) -> None:
    with move_on_after(0):
        stream.readline()
    with move_on_after(0):
        stream.read_exactly(BIG)


def end_first(stream: Stream) -> None:
    stream.send_eof()
    while stream.recv():
        pass


def share(stream: Stream) -> None:
    with scope() as s:
        s.spawn(stream.sendall, b"half\n")
        s.spawn(stream.recv)


def overrun(stream: Stream) -> None:
    try:
        stream.readline(limit=3)
    except LineTooLong:
        stream.recv()


def close_from_beside(stream: Stream) -> None:
    spawn(stream.close)
    try:
        stream.recv()
    except ClosedError:
        pass


def wait_for_a_signal(stream: Stream) -> None:
    """Under a name of its own."""
    with move_on_after(0.001):
        wait_signal(stream)


MANNERS: dict[bytes, Callable[[Stream], None]] = {
    b"e": echo_lines,
    b"h": hang_up,
    b"f": fail,
    b"m": send_much,
    b"s": give_up_sending,
    b"r": give_up_reading,
    b"1": end_first,
    b"2": share,
    b"o": overrun,
    b"b": close_from_beside,
    b"w": wait_for_a_signal,
}


def handler(stream: Stream) -> None:
    manner = stream.recv(1)
    if manner:
        MANNERS[manner](stream)


# The client's side.


def drop_at_once(stream: Stream) -> None:
    """Before any data."""


def ask_and_drop(stream: Stream) -> None:
    """After sending, without reading: what comes is lost, and the connection reset."""
    stream.sendall(b"line\n" * 10)


def ask_and_read(stream: Stream) -> None:
    stream.sendall(b"line\nand another, which is longer\n")
    stream.send_eof()
    while stream.recv():
        pass


def read_a_little(stream: Stream) -> None:
    """While data is coming."""
    stream.sendall(b"line\n")
    stream.recv(3)


def send_much_and_read_nothing(stream: Stream) -> None:
    with move_on_after(0.001):
        stream.sendall(b"line\n" * BIG)


def read_lines_until_tired(stream: Stream) -> None:
    with move_on_after(0.001):
        stream.sendall(b"line\n")
        for _line in stream:
            pass


def be_cut_off(stream: Stream) -> None:
    """Cancelled in the middle of a read."""
    reader = spawn(stream.recv)
    yield_()
    reader.cancel()
    try:
        reader.join()
    except (FiberCancelled, ConnectionError):
        pass


WAYS = [
    drop_at_once,
    ask_and_drop,
    ask_and_read,
    read_a_little,
    send_much_and_read_nothing,
    read_lines_until_tired,
    be_cut_off,
]


class Crowd:
    """The clients of one run, and how they fared."""

    def __init__(self, seed: int, port: int, path: str) -> None:
        self._random = random.Random(seed)
        self._port = port
        self._path = path
        self.fared: Counter[str] = Counter()

    def half(self) -> None:
        """CONNECTIONS / 2 of them, AT_ONCE at a time."""
        turns = iter(range(CONNECTIONS // 2))
        gather(*[lambda: self._one_after_the_other(turns)] * AT_ONCE)

    def _one_after_the_other(self, turns: Iterator[int]) -> None:
        for _turn in turns:
            try:
                self._one()
            except (ConnectionError, ClosedError, LineTooLong) as error:
                self.fared[type(error).__name__] += 1
            else:
                self.fared["well"] += 1

    def _one(self) -> None:
        chance = self._random
        where = {"path": self._path} if chance.random() < 0.5 else {"host": "127.0.0.1", "port": self._port}
        if chance.random() < 0.05:
            given_up = spawn(connect, **where)
            if chance.random() < 0.5:
                yield_()
            given_up.cancel()
            try:
                given_up.join().close()
            except FiberCancelled:
                self.fared["given up"] += 1
            return
        manner, way = chance.choice([*MANNERS]), chance.choice(WAYS)
        with connect(**where) as stream:
            if way is not drop_at_once:
                stream.sendall(manner)
            for _ in range(chance.choice([0, 0, 1, 5])):
                yield_()
            way(stream)


def memory() -> tuple[int, int]:
    """Blocks of the interpreter, and bytes of the process."""
    gc.collect()
    statm = Path("/proc/self/statm")
    resident = int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if statm.exists() else 0
    return sys.getallocatedblocks(), resident


def fibers_at_rest(kernel: Any) -> tuple[int, int, int]:
    """How many there are, and what belongs to them: of connections that are gone nothing may count here."""
    return len(fibers()), len(kernel.free_scopes), len(kernel.signals._names)


def descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def test_nothing_is_left_of_ten_thousand_connections(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)
    path = str(tmp_path / "socket")
    gc.collect()  # what other tests have left behind may not end in the middle of this one
    open_before, threads_before = descriptors(), set(threading.enumerate())
    engine = ReadinessEngine()
    logging.disable()  # of handlers' errors, thousands

    def main() -> Counter[str]:
        by_port, by_path = listen(0), listen(path=path)
        open_at_rest = descriptors()
        with scope() as s:
            servers = [s.spawn(serve, handler, listener, grace=0) for listener in (by_port, by_path)]
            wait_for(lambda: all("a connection to" in (server.waits_for or "") for server in servers))
            crowd = Crowd(seed, by_port.port, path)
            kernel = current().kernel
            alone = fibers_at_rest(kernel)
            after: list[tuple[int, int]] = []
            for _half in range(2):
                crowd.half()
                wait_for(lambda: fibers_at_rest(kernel) == alone)
                assert descriptors() <= open_at_rest
                assert {*engine._wires.values()} == {by_port._port, by_path._port}
                assert not engine._finished
                kernel.timers.check()
                assert kernel.timers.next_deadline() is None
                after.append(memory())
            s.cancel()
        assert not os.path.exists(path)
        (blocks, resident), (blocks_then, resident_then) = after
        assert blocks_then - blocks < BLOCKS_GROWTH_MAX
        assert resident_then - resident < RSS_GROWTH_MAX
        return crowd.fared

    try:
        fared = run_apart(engine, None, main, (), {})
    except BaseException as error:
        error.add_note(f"seed={seed}")
        raise
    finally:
        logging.disable(logging.NOTSET)
    assert descriptors() <= open_before
    assert not set(threading.enumerate()) - threads_before
    assert sum(fared.values()) - fared["given up"] == CONNECTIONS
    assert fared["well"] > CONNECTIONS // 3
    assert fared["ConnectionResetError"] > 100
    assert fared["given up"] > 100
