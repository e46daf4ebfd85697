"""Pollers: both of them, the one this system lacks on a stand-in."""

import select
import socket
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from computicle import connect, fail_after, listen, serve, spawn, wait_for
from computicle.engine import pollers, readiness
from computicle.engine.pollers import END, READ, TIMEOUT_S_MAX, WRITE, EpollPoller, KqueuePoller
from computicle.engine.readiness import ReadinessEngine
from computicle.scheduler.flows import run_apart


class Kevent:
    """select.kevent, as far as it is used."""

    def __init__(self, ident: int, filter: int, flags: int) -> None:
        self.ident, self.filter, self.flags = ident, filter, flags


class KqueueOnEpoll:
    """select.kqueue on this system's epoll: one event for each direction, the end as a flag."""

    made: "list[KqueueOnEpoll]" = []

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self.closed = False
        self.registered: list[tuple[int, int, int]] = []
        self.timeouts: list[float | None] = []
        self.made.append(self)

    def control(self, changes: list[Kevent] | None, most: int, timeout: float | None = None) -> list[Kevent]:
        for change in changes or ():
            self.registered.append((change.ident, change.filter, change.flags))
            if change.filter == FAKE.KQ_FILTER_READ:
                self._epoll.register(
                    change.ident, select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
                )
        if most == 0:
            return []
        self.timeouts.append(timeout)
        events = []
        for descriptor, mask in self._epoll.poll(-1 if timeout is None else timeout, most):
            ended = FAKE.KQ_EV_EOF if mask & (select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR) else 0
            if mask & select.EPOLLIN or ended:
                events.append(Kevent(descriptor, FAKE.KQ_FILTER_READ, ended))
            if mask & select.EPOLLOUT:
                events.append(Kevent(descriptor, FAKE.KQ_FILTER_WRITE, 0))
        return events

    def close(self) -> None:
        self._epoll.close()
        self.closed = True


FAKE = SimpleNamespace(
    kqueue=KqueueOnEpoll,
    kevent=Kevent,
    KQ_EV_ADD=1,
    KQ_EV_CLEAR=0x20,
    KQ_EV_EOF=0x8000,
    KQ_FILTER_READ=-1,
    KQ_FILTER_WRITE=-2,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs epoll")


def makers() -> list[Any]:
    return [
        pytest.param(EpollPoller, id="epoll", marks=linux),
        pytest.param(lambda: KqueuePoller(FAKE), id="kqueue", marks=linux),
    ]


@linux
def test_the_masks_are_epolls_own() -> None:
    assert READ == select.EPOLLIN
    assert WRITE == select.EPOLLOUT
    assert END == select.EPOLLPRI | select.EPOLLERR | select.EPOLLHUP | select.EPOLLRDHUP


@pytest.mark.parametrize("make", makers())
def test_changes_are_told_once(make: Callable[[], pollers.Poller]) -> None:
    poller = make()
    near, far = socket.socketpair()
    with near, far:
        poller.register(near.fileno())

        def mask() -> int:
            changes = 0
            for descriptor, change in poller.poll(0.0):
                assert descriptor == near.fileno()
                changes |= change
            return changes

        assert mask() == WRITE
        assert mask() == 0
        far.send(b"x")
        assert mask() & READ
        assert mask() == 0
        far.send(b"y")
        assert mask() & READ, "unread data, and more comes: that is a change"
        assert near.recv(10) == b"xy"
        assert mask() == 0
        far.shutdown(socket.SHUT_WR)
        assert mask() & END
        assert mask() == 0
    poller.close()


@pytest.mark.parametrize("make", makers())
def test_a_closed_descriptor_is_gone(make: Callable[[], pollers.Poller]) -> None:
    poller = make()
    near, far = socket.socketpair()
    poller.register(near.fileno())
    near.close()
    far.close()
    assert poller.poll(0.0) == []
    poller.close()


class Recorder:
    """Stands for the system's object, and notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def poll(self, timeout: float, most: int) -> list[Any]:
        self.asked.append(timeout)
        return []

    def control(self, changes: Any, most: int, timeout: float | None) -> list[Any]:
        self.asked.append(timeout)
        return []


@pytest.mark.parametrize(
    "timeout", [0.0, 0.001, 1.5, TIMEOUT_S_MAX, TIMEOUT_S_MAX * 2, 1e12, 1e300, float("inf"), None]
)
def test_timeouts_are_clamped_to_what_the_system_takes(timeout: float | None) -> None:
    recorder = Recorder()
    epoll, kqueue = EpollPoller.__new__(EpollPoller), KqueuePoller.__new__(KqueuePoller)
    epoll._epoll = kqueue._kqueue = recorder
    kqueue._system = FAKE
    epoll.poll(timeout)
    kqueue.poll(timeout)
    most = None if timeout is None else min(timeout, TIMEOUT_S_MAX)
    assert recorder.asked == [-1 if most is None else most, most]


@linux
def test_epoll_takes_the_longest_timeout() -> None:
    poller = EpollPoller()
    near, far = socket.socketpair()
    with near, far:
        poller.register(near.fileno())
        assert poller.poll(1e300) == [(near.fileno(), WRITE)]
    poller.close()


@linux
def test_the_whole_engine_on_kqueue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readiness, "make_poller", lambda: KqueuePoller(FAKE))

    def main() -> None:
        listener = listen(0)
        server = spawn(serve, lambda stream: stream.sendall(stream.readline() + stream.read_exactly(5)), listener)
        for _ in range(20):
            with connect("127.0.0.1", listener.port) as stream:
                stream.sendall(b"line\n")
                stream.sendall(b"bytes")
                stream.send_eof()
                assert list(stream) == [b"line\n", b"bytes"]
        with connect("127.0.0.1", listener.port) as stream:
            with pytest.raises(TimeoutError), fail_after(0):
                stream.recv()
        port = listener.port
        server.cancel()
        wait_for(lambda: listener.closed)
        with pytest.raises(ConnectionRefusedError):
            connect("127.0.0.1", port)

    run_apart(ReadinessEngine(), None, main, (), {})
    kqueue = KqueueOnEpoll.made[-1]
    assert kqueue.closed
    per_filter = {filter for _descriptor, filter, _flags in kqueue.registered}
    assert per_filter == {FAKE.KQ_FILTER_READ, FAKE.KQ_FILTER_WRITE}
    assert {flags for _descriptor, _filter, flags in kqueue.registered} == {FAKE.KQ_EV_ADD | FAKE.KQ_EV_CLEAR}


@pytest.mark.parametrize(
    ("platform", "kind"), [("linux", "EpollPoller"), ("darwin", "KqueuePoller"), ("freebsd14", "KqueuePoller")]
)
def test_each_system_gets_its_own(monkeypatch: pytest.MonkeyPatch, platform: str, kind: str) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(pollers, "EpollPoller", lambda: "EpollPoller")
    monkeypatch.setattr(pollers, "KqueuePoller", lambda: "KqueuePoller")
    made: object = pollers.make_poller()
    assert made == kind


def test_windows_is_told_plainly(monkeypatch: pytest.MonkeyPatch) -> None:
    from computicle.engine.choose import choose_engine

    monkeypatch.setattr(sys, "platform", "win32")
    with pytest.raises(RuntimeError, match="Windows has no engine yet"):
        choose_engine()
