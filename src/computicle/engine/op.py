"""Op: one operation handed to an engine, and what every engine can do.

An engine is a completion port: operations go in, completions come out. The
kernel hands an operation over by giving it a waiter, and gets it back from
`poll` once it has finished. An engine never looks at the waiter: it is an
opaque token that says whom the kernel must wake.

Rules:
  1. An operation has a waiter from when it is handed over until the kernel has
     taken it back, or withdraws it.
  2. An attempt that would have to wait answers None and has changed nothing.
  3. An operation is finished once: with a result, or with an error.
  4. Withdrawing is immediate, and an attempt withdrawn has done nothing; only
     a blocking call that has begun goes on, and what comes of it is dropped.

Not here: how descriptors become ready (readiness.py), what an operation does
(wire.py, sim.py), who waits for it (scheduler/).
"""

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from computicle.engine.packets import PacketWire
    from computicle.engine.pipes import PipeWire
    from computicle.engine.shared import SharedWire

__all__ = ["Address", "ClosedError", "Engine", "Op", "Port", "Wire"]

Address: TypeAlias = tuple[str, int] | tuple[str, int, int, int] | str
"""(host, port), the four-part form of IPv6, or the path of a Unix socket."""


class ClosedError(OSError):
    """The stream, listener or channel is closed on this side, so nothing more can be done with it."""


class Op:
    """An operation, reused by its owner for one attempt after the other."""

    __slots__ = ("argument", "attempt", "error", "label", "result", "waiter")

    def __init__(self, label: Callable[[], str]) -> None:
        self.attempt: Callable[[Any], Any] = _nothing
        self.argument: Any = None
        self.result: Any = None
        self.error: BaseException | None = None
        self.waiter: Any = None
        self.label = label

    def run(self) -> bool:
        """Attempt it. False: it would have to wait, so it stays in flight."""
        try:
            self.result = self.attempt(self.argument)
        except Exception as error:
            self.error = error
            return True
        return self.result is not None

    def call_off(self, waiter: Any) -> None:
        """Withdraw it: the kernel will not be told of it."""
        if self.waiter is waiter:
            self.waiter = None
            self.argument = None

    def retire(self) -> None:
        """Its owner is closed: let go of the attempt, which holds the owner, which holds this."""
        self.attempt = _nothing

    def __str__(self) -> str:
        return self.label()


def _nothing(_argument: Any) -> None:
    return None


class Wire(Protocol):
    """A full-duplex byte stream. `recv`, `recv_into`, `send` and `finish_connect` are attempts.

    `close` is for any thread, and may come in the middle of anything, if nobody waits on the wire: it may have been
    dropped, and then the collector chooses the moment.
    """

    reading: Op
    writing: Op
    local: Any
    remote: Any
    broken: int  # errno of what has broken the connection, as far as an attempt has told; 0: nothing

    @property
    def closed(self) -> bool: ...
    def recv(self, count: int) -> bytes | None: ...
    def recv_into(self, buffer: Any) -> int | None: ...
    def send(self, data: Any) -> int | None: ...
    def finish_connect(self, argument: Any, /) -> bool | None: ...
    def end_writing(self) -> None: ...
    def close(self) -> None: ...


class Port(Protocol):
    """A place where wires arrive. `accept` is an attempt; `unlink` removes the path that was made for it, if any.

    `unlink` and `close` may come at any moment, as a wire's `close` may.
    """

    reading: Op
    local: Any

    @property
    def closed(self) -> bool: ...
    def accept(self, argument: Any, /) -> Wire | None: ...
    def unlink(self) -> None: ...
    def close(self) -> None: ...


class Engine(Protocol):
    """What the kernel needs. Owner thread only, but for `wake_up`."""

    now: Callable[[], float]
    waiting: int  # how many wait for operations; the kernel counts, so that `busy` need not look for them
    process: int  # which has made it: in a forked child nothing of it is to be used

    def poll(self, timeout: float | None) -> deque[Op]:
        """Wait up to `timeout` seconds (None: until woken) for completions.

        The finished operations, oldest first. The kernel takes them out one
        by one, so that what it has not taken is still there next time; one
        without a waiter was withdrawn after it had finished.
        """
        ...

    def busy(self) -> bool:
        """True while an operation in flight or another thread can end a poll."""
        ...

    def wake_up(self) -> None:
        """Make a sleeping `poll` return. Any thread, and signal handlers."""
        ...

    def wake_descriptor(self) -> int | None:
        """A descriptor that signal.set_wakeup_fd may write to, if there is one."""
        ...

    def call(self, fn: Callable[[], Any], label: str, waiter: Any) -> Op:
        """An operation that runs a blocking `fn`; it is under way at once, for `waiter`."""
        ...

    def connect(self, address: Address) -> Wire:
        """A wire on its way; its `finish_connect` attempt tells how it went."""
        ...

    def listen(self, address: Address, backlog: int) -> Port: ...

    def resolve(self, host: str, port: int) -> list[Address]:
        """Names to addresses. May block: call it through `call`."""
        ...

    def packets(self, sock: Any, label: str) -> "PacketWire":
        """Have somebody wait at one end of a pair of sockets that leads to another process."""
        ...

    def records(
        self, end: Any, label: str, *, level: bool = False, pass_on: Callable[[], None] | None = None
    ) -> "PipeWire":
        """The same at one end of a pipe.

        With `level`, each time they wait without having looked whether there is something: they are told if there is.
        With `pass_on` as well, of all processes that wait one is told, and calls that if nobody waits there any more.
        """
        ...

    def sleep_on(self, wire: "SharedWire") -> deque[Op]:
        """Wait until there is something to read at `wire`, which is one with `level`, or something else has finished.

        What has finished, as `poll` does. Nothing: there is something to read, most likely.
        """
        ...

    def tie(self) -> Any:
        """A sort key that orders equal deadlines."""
        ...

    def close(self) -> None: ...
