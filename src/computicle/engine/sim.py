"""Sim: an engine with no operating system underneath.

The clock is virtual: it stands still while fibers run, and jumps to the next
event when nothing is ready. Whatever a real system leaves to chance (delays,
sizes, order, faults) is drawn from one seed, so a run can be repeated exactly.
This is the smallest engine: read it first.

Rules:
  1. The same seed and the same program give the same run.
  2. Time moves only inside `poll`, and only as far as the next event or the
     end of the wait.
  3. Nothing here touches a thread or the real clock, nor a descriptor: but for
     pipes, which are a process's own memory as long as it has both ends. What
     goes in at one comes out at the other, and no event tells of it: whoever waits at one
     tries again with each poll.
  4. With no event to come, nothing will ever come: `busy` says so, and the
     kernel can tell a deadlock where a real engine could only wait.

Not here: the network that the events belong to (simnet.py), how a program is
run on this (testing/simulate.py).
"""

import errno
import itertools
import os
import random
import socket
from collections import deque
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any, NoReturn

from computicle.engine.op import Address, ClosedError, Op
from computicle.engine.pipes import PipeEnd, PipeWire
from computicle.engine.shared import SharedWire
from computicle.engine.simnet import Network, SimPort, SimWire
from computicle.engine.threads import as_helper

__all__ = ["SimEngine"]

ANY_AND_OWN = {2: ("0.0.0.0", "127.0.0.1"), 4: ("::", "::1")}  # hosts by the length of the address
OWN_PORTS = range(49_152, 65_536)  # for whoever asks for none in particular (RFC 6335)
CALL_S_MAX = 0.001  # a call on a helper thread takes up to this much virtual time


class SimEngine:
    """Operations on an in-memory network, in virtual time."""

    def __init__(self, seed: int = 0, network: Network | None = None) -> None:
        self.process = os.getpid()
        self.closed = False  # and all wires with it
        self.random = random.Random(seed)
        self.network = Network() if network is None else network
        self.time = 0.0
        self.now: Callable[[], float] = lambda: self.time
        self.waiting = 0
        self.ports: dict[Any, SimPort] = {}
        self._finished: deque[Op] = deque()
        self._pipes: list[PipeWire] = []
        self._events: list[tuple[float, Any, Callable[[], None]]] = []  # a heap
        self._count = itertools.count()
        self._free_ports = itertools.cycle(OWN_PORTS)

    # The port.

    def poll(self, timeout: float | None) -> deque[Op]:
        if self._pipes:
            self._try_pipes()
        events = self._events
        end = None if timeout is None else self.time + timeout
        while events and not self._finished and (end is None or events[0][0] <= end):
            self.time = max(self.time, events[0][0])
            while events and events[0][0] <= self.time:
                heappop(events)[2]()
        if end is not None and not self._finished:
            self.time = max(self.time, end)
        return self._finished

    def busy(self) -> bool:
        return bool(self._events or self._finished)

    def wake_up(self) -> None:
        """It never sleeps."""

    def wake_descriptor(self) -> int | None:
        return None

    def tie(self) -> Any:
        return (self.random.random(), next(self._count))

    def call(self, fn: Callable[[], Any], label: str, waiter: Any) -> Op:
        op = Op(lambda: label)
        op.waiter = waiter
        self.after(self.random.uniform(0.0, CALL_S_MAX), lambda: self._run_call(op, fn))
        return op

    def close(self) -> None:
        self.closed = True
        self.ports.clear()
        self._events.clear()
        for wire in [*self._pipes]:
            wire.close()

    # The network.

    def connect(self, address: Address) -> SimWire:
        wire = SimWire(self, self._own_address(address), address)
        self.after(self.delay(), lambda: self._arrive(wire, address))
        return wire

    def listen(self, address: Address, backlog: int) -> SimPort:
        if not isinstance(address, str) and address[1] == 0:
            taken = {port.local[1] for port in [*self.ports.values()]}
            numbers = itertools.islice(self._free_ports, len(OWN_PORTS))
            number = next((number for number in numbers if number not in taken), None)
            if number is None:
                raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
            address = (address[0], number, 0, 0) if len(address) == 4 else (address[0], number)
        if any(_clash(address, port.local) for port in [*self.ports.values()]):
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        port = self.ports[address] = SimPort(self, address, backlog)
        return port

    def resolve(self, host: str, port: int) -> list[Address]:
        numbers = self.network.names.get(host)
        if not numbers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(number, port, 0, 0) if ":" in number else (number, port) for number in numbers]

    def packets(self, sock: Any, label: str) -> NoReturn:
        raise RuntimeError("computicles are processes, and a simulation has none: leave them out, or run it for real")

    def records(
        self, end: PipeEnd, label: str, *, level: bool = False, pass_on: Callable[[], None] | None = None
    ) -> PipeWire:
        wire = PipeWire(end, label, self._forget_pipe)
        self._pipes.append(wire)
        return wire

    def sleep_on(self, wire: Any) -> deque[Op]:
        return self._finished

    # For the network's parts.

    def after(self, seconds: float, happen: Callable[[], None]) -> float:
        """Have something happen; when."""
        when = self.time + seconds
        heappush(self._events, (when, self.tie(), happen))
        return when

    def delay(self) -> float:
        """How long something takes to cross the network this time."""
        return self.random.uniform(*self.network.latency)

    def chance(self, probability: float) -> bool:
        """True this often."""
        return probability > 0 and self.random.random() < probability

    def attempt(self, op: Op) -> None:
        """Something has changed for `op`: try it, if anybody waits for it."""
        if op.waiter is not None and op not in self._finished and op.run():
            self._finished.append(op)

    def fail(self, op: Op, error: OSError) -> None:
        """Whoever waits for `op` is told."""
        if op.waiter is not None and op not in self._finished:
            op.error = error
            self._finished.append(op)

    def _try_pipes(self) -> None:
        for wire in self.random.sample(self._pipes, len(self._pipes)):
            self.attempt(wire.reading)
            self.attempt(wire.writing)

    def _forget_pipe(self, wire: SharedWire) -> None:
        self._pipes = [other for other in self._pipes if other is not wire]
        for op in (wire.reading, wire.writing):
            self.fail(op, ClosedError(f"closed while waiting for {op}"))

    def _own_address(self, remote: Address) -> Address:
        """Where a connection to `remote` comes from."""
        if isinstance(remote, str):
            return ""
        number = next(self._free_ports)
        return ("127.0.0.1", number) if len(remote) == 2 else ("::1", number, 0, 0)

    def _arrive(self, wire: SimWire, address: Address) -> None:
        port = self._port_at(address)
        if wire.closed:  # given up before it got here
            if port is not None:
                port.let_in()
        elif port is None and isinstance(address, str) and not address.startswith("\0"):
            self.after(self.delay(), partial(wire.refuse, errno.ENOENT))
        elif port is None or self.chance(self.network.refusals):
            self.after(self.delay(), partial(wire.refuse, errno.ECONNREFUSED))
            if port is not None:
                port.let_in()
        elif port.full():
            port.wait_for_room(partial(self._arrive, wire, address))
        else:
            other = SimWire(self, address, wire.local)
            self.after(self.delay(), lambda: wire.open(other))
            other.open(wire)
            port.arrive(other)

    def _port_at(self, address: Address) -> SimPort | None:
        """Who listens there, if anybody does."""
        if isinstance(address, str):
            return self.ports.get(address)
        everywhere, here = ANY_AND_OWN[len(address)]
        host = here if address[0] == everywhere else address[0]
        return self.ports.get((host, *address[1:])) or self.ports.get((everywhere, *address[1:]))

    def _run_call(self, op: Op, fn: Callable[[], Any]) -> None:
        if op.waiter is None:
            return
        with as_helper():
            try:
                op.result = fn()
            except BaseException as error:
                op.error = error
        self._finished.append(op)


def _clash(one: Address, other: Address) -> bool:
    """True if one of them takes connections meant for the other."""
    if isinstance(one, str) or isinstance(other, str):
        return one == other
    everywhere = ANY_AND_OWN[len(one)][0]
    return one[1:] == other[1:] and (one[0] == other[0] or everywhere in (one[0], other[0]))
