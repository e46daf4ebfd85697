"""Readiness: the engine for real systems, over epoll or kqueue.

Each descriptor is registered once, edge-triggered. When an event comes, the
operation waiting in that direction is attempted right here, so that what
comes out of `poll` is finished work, not news of possible work.

Rules:
  1. An edge is spent on one attempt; what it leaves behind is remembered in
     the wire (wire.py).
  2. Nothing finished is lost: it lies in `_finished` until the kernel takes
     it, even if a signal handler raises in the middle of a poll. Then edges
     may have been dropped, so every waiting operation is attempted again.
  3. Only `wake_up`, the helper threads' `_finish`, and closing what nobody
     waits on are for any thread.
  4. Closing may come in the middle of anything here, for the collector drops
     streams when it likes. So what is gone through is a copy of `_wires`.

Not here: sockets (wire.py), event systems (pollers.py), threads (threads.py).
"""

import itertools
import os
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import ref

from computicle.engine.op import Address, ClosedError, Op
from computicle.engine.packets import PacketWire
from computicle.engine.pipes import PipeEnd, PipeWire
from computicle.engine.pollers import END, READ, WRITE, make_poller
from computicle.engine.shared import SharedWire
from computicle.engine.threads import Threads
from computicle.engine.wire import SocketPort, SocketWire

__all__ = ["ReadinessEngine", "abandon_all"]

# Of all threads, by id, until they are closed: whichever thread forks, the child has the descriptors of all of them.
# No WeakSet: a Ctrl-C that strikes in its callbacks is lost.
_engines: "dict[int, ref[ReadinessEngine]]" = {}


def abandon_all() -> None:
    """In a forked child: close its copies of every thread's descriptors."""
    for reference in [*_engines.values()]:
        engine = reference()
        if engine is not None:
            engine.abandon()
    _engines.clear()


class ReadinessEngine:
    """Operations of one thread on real descriptors."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = time.monotonic
        self.process = os.getpid()
        self.tie: Callable[[], int] = itertools.count().__next__
        self._poller = make_poller()
        self._wires: dict[int, SocketWire | SocketPort | SharedWire] = {}
        self._finished: deque[Op] = deque()  # any thread appends
        self._asleep = False
        self._over = False  # the poller is closed
        self._unsure = False  # a poll was cut short, so edges may have been dropped
        self.waiting = 0
        self._bell, self._ear = socket.socketpair()
        self._bell.setblocking(False)
        self._ear.setblocking(False)
        self._poller.register(self._ear.fileno())
        self._threads = Threads(self._finish)
        _engines[id(self)] = ref(self)

    # The port.

    def poll(self, timeout: float | None) -> deque[Op]:
        finished = self._finished
        if timeout == 0.0 and not self._wires and not self._unsure:
            return finished  # no descriptor but the bell's, and a bell is for sleepers
        self._asleep = timeout is None or timeout > 0.0
        if finished or self._unsure:  # looked at only after _asleep was set: a helper rings if it comes later
            timeout = 0.0
        self._unsure, unsure = True, self._unsure
        events = self._poller.poll(timeout)
        self._asleep = False
        if unsure:
            self._recover()
            self._unsure = False
        else:
            self._take_in(events)
        return finished

    def sleep_on(self, wire: SharedWire) -> deque[Op]:
        self._asleep = True
        if self._finished or self._unsure:  # as in poll
            self._asleep = False
            return self._finished
        self._unsure = True
        events = self._poller.poll(None)
        self._asleep = False
        if len(events) == 1 and events[0][0] == wire.descriptor:
            self._unsure = False
        else:
            self._take_in(events)
        return self._finished

    def _take_in(self, events: list[tuple[int, int]]) -> None:
        """Attempt what the events are for."""
        finished = self._finished
        wires = self._wires
        for descriptor, mask in events:
            wire = wires.get(descriptor)
            if wire is None:
                self._drain_bell()
                continue
            if mask & END:
                wire.doubtful = True
                mask |= READ | WRITE
            if mask & READ:
                wire.readable = True
                op = wire.reading
                if op.waiter is None:
                    wire.unheeded()
                elif op.run():
                    finished.append(op)
            if mask & WRITE and not wire.writable:
                wire.writable = True
                op = wire.writing
                if op.waiter is not None and op.run():
                    finished.append(op)
        self._unsure = False

    def busy(self) -> bool:
        return self.waiting > 0 or bool(self._finished)

    def wake_up(self) -> None:
        try:
            self._bell.send(b"\0")
        except BlockingIOError:
            pass  # it is full of bells already
        except OSError:
            pass  # closed: a helper thread has finished after its engine's end

    def wake_descriptor(self) -> int | None:
        return self._bell.fileno()

    def call(self, fn: Callable[[], Any], label: str, waiter: Any) -> Op:
        return self._threads.call(fn, label, waiter)

    def close(self) -> None:
        self._threads.close()
        for wire in [*self._wires.values()]:
            if isinstance(wire, SocketPort):
                wire.unlink()
        self.abandon()
        _engines.pop(id(self), None)

    def abandon(self) -> None:
        """Close every descriptor, and wake nobody."""
        # Nothing of the threads: in a forked child there are none, and their lock may be held for ever.
        self._over = True
        self._poller.close()
        for wire in [*self._wires.values()]:
            wire.close()
        self._bell.close()
        self._ear.close()

    # Sockets.

    def connect(self, address: Address) -> SocketWire:
        sock = socket.socket(_family_of(address), socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            wire = SocketWire(sock, address, self._forget)
            wire.start_connect(address)
            self._register(wire)
        except BaseException:
            sock.close()
            raise
        return wire

    def listen(self, address: Address, backlog: int) -> SocketPort:
        family = _family_of(address)
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if family != socket.AF_UNIX and os.name == "posix":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(backlog)
            port = SocketPort(sock, self._adopt, self._forget)
            port.remember_path()
            self._register(port)
        except BaseException:
            sock.close()
            raise
        return port

    def resolve(self, host: str, port: int) -> list[Address]:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [address for _family, _kind, _protocol, _name, address in found]  # type: ignore[misc]

    def packets(self, sock: socket.socket, label: str) -> PacketWire:
        wire = PacketWire(sock, label, self._forget_shared)
        self._register(wire)
        return wire

    def records(
        self, end: PipeEnd, label: str, *, level: bool = False, pass_on: Callable[[], None] | None = None
    ) -> PipeWire:
        wire = PipeWire(end, label, self._forget_shared, self._poller if level else None, pass_on)
        if level:
            self._wires[wire.descriptor] = wire
        else:
            self._register(wire)
        return wire

    def _adopt(self, sock: socket.socket, remote: Any) -> SocketWire:
        try:
            sock.setblocking(False)
            wire = SocketWire(sock, remote, self._forget)
            self._register(wire)
        except BaseException:
            sock.close()
            raise
        return wire

    def _register(self, wire: SocketWire | SocketPort | SharedWire) -> None:
        self._poller.register(wire.descriptor)
        self._wires[wire.descriptor] = wire

    def _forget(self, wire: SocketWire | SocketPort | SharedWire) -> None:
        """It is being closed: closing unregisters it, and whoever waits on it is told."""
        self._wires.pop(wire.descriptor, None)
        for op in (wire.reading, wire.writing):
            if op.waiter is not None:
                op.error = ClosedError(f"closed while waiting for {op}")
                self._finished.append(op)

    def _forget_shared(self, wire: SharedWire) -> None:
        """As _forget, for one that other processes have, too: closing would not unregister it."""
        if wire.registered and not self._over:  # else all are: and a forked child must not touch those of its parent
            self._poller.unregister(wire.descriptor)
        self._forget(wire)

    # Wake-ups and recovery.

    def _finish(self, op: Op) -> None:
        """Any thread: hand a finished call back."""
        self._finished.append(op)
        if self._asleep:
            self.wake_up()

    def _drain_bell(self) -> None:
        try:
            while len(self._ear.recv(4096)) == 4096:
                pass
        except BlockingIOError:
            pass

    def _recover(self) -> None:
        """A poll was cut short: whatever may have happened is taken to have happened."""
        finished = set(self._finished.copy())
        self._drain_bell()
        for wire in [*self._wires.values()]:
            wire.readable = wire.doubtful = True
            if not isinstance(wire, SocketPort):
                wire.writable = True
            for op in (wire.reading, wire.writing):
                if op.waiter is None or op in finished:
                    continue
                # One that has finished without getting into the line must not be attempted twice.
                if op.result is not None or op.error is not None or op.run():
                    self._finished.append(op)


def _family_of(address: Address) -> socket.AddressFamily:
    if isinstance(address, str):
        return socket.AF_UNIX
    return socket.AF_INET if len(address) == 2 else socket.AF_INET6
