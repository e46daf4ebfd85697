"""Listener: where streams arrive.

Rules:
  1. A connection is handed to one fiber, and to none that was called off.
  2. A Unix-domain path that we made is removed when the listener is closed,
     dropped or left open until its kernel ends, unless somebody else has put
     something there meanwhile.

Not here: what to do with streams (serve.py).
"""

import os
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self

from computicle.engine.op import Address, ClosedError, Port
from computicle.net.names import addresses_of, checked_path, checked_port, with_address
from computicle.net.stream import Stream, close_dropped
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.single import Single
from computicle.scheduler.word import entering

__all__ = ["Listener", "listen"]

LOOPBACK = "127.0.0.1"
BACKLOG = 1024  # connections the system keeps for us until we accept; it may cap this (net.core.somaxconn)


class Listener(Single):
    """A place where connections arrive. A context manager; iterating accepts until it is closed.

    One that is dropped without having been closed is closed then, with a ResourceWarning.

    Attributes:
        address: (host, port) or the path it listens on.
    """

    def __init__(self, port: Port, me: Fiber, path: str | None) -> None:
        self._port = port
        self._kernel = me.kernel
        self._path = path
        self._server: Fiber | None = None  # who serves it, until it is closed

    @property
    def address(self) -> Any:
        """(host, port), the four-part form of IPv6, or the path."""
        return self._port.local

    @property
    def port(self) -> int:
        """The TCP port: the one it was given, or the one port 0 has picked.

        Raises:
            ValueError: it listens on a path.
        """
        if self._path is not None:
            raise ValueError(f"a listener on the path {self._path!r} has no port")
        return int(self._port.local[1])

    @property
    def closed(self) -> bool:
        """True once it has been closed."""
        return self._port.closed

    def accept(self) -> Stream:
        """Wait for the next connection.

        Raises:
            ClosedError: the listener is closed, or was closed while waiting.
            OSError: the system has no descriptor left (EMFILE, ENFILE); trying again later may help.
            RuntimeError: another fiber is accepting, or it belongs to another thread.
        """
        me = entering()
        me.credit -= 1
        if self._port.closed:
            raise ClosedError("the listener is closed")
        if me.kernel is not self._kernel:
            raise RuntimeError("this listener belongs to another thread: use it there")
        wire = self._port.accept(None)
        if wire is None:
            wire = me.kernel.finish_op(me, self._port.reading, self._port.accept, None)
        return Stream(wire, me)

    def engage(self, me: Fiber) -> None:
        """For `serve`: from now on its connections are for `me`, who closes it in the end.

        Raises:
            ClosedError: it is closed.
            RuntimeError: it has another user, or belongs to another thread.
        """
        if self._port.closed:
            raise ClosedError("serve: the listener is closed")
        if me.kernel is not self._kernel:
            raise RuntimeError("serve: this listener belongs to another thread: serve it there")
        other = self._server or self._port.reading.waiter
        if other is not None:
            raise RuntimeError(
                f"serve: fiber {other.name!r} has the connections of {self} already: one serve is enough for any number "
                "of them, as limit= allows, and another handler needs a listener of its own"
            )
        self._server = me

    def close(self) -> None:
        """Stop listening. Never waits; closing twice does nothing more.

        Raises:
            RuntimeError: it belongs to another thread.
        """
        if not self._port.closed:
            self._kernel.check_thread("this listener belongs to another thread: close it there")
            self._close()

    def _close(self) -> None:
        self._server = None
        self._port.unlink()
        self._port.close()

    def __iter__(self) -> Iterator[Stream]:
        while True:
            try:
                stream = self.accept()
            except ClosedError:
                return
            yield stream

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _ending() and hasattr(self, "_path") and not self._port.closed:
            close_dropped(self, self._kernel, self._close)

    def __repr__(self) -> str:
        return f"<Listener {'closed' if self.closed else self.address}>"


def listen(
    port: int | None = None, host: str | None = LOOPBACK, path: str | os.PathLike[str] | None = None
) -> Listener:
    """Listen for connections. Waits only if `host` is a name to look up.

    Args:
        port: a TCP port; 0 picks a free one (see Listener.port).
        host: the address to listen on; None for all of IPv4, "::" for all of IPv6 (and IPv6 only).
        path: a Unix-domain socket to make, instead of a port. Closing removes it; one that a killed program has left
            behind is in use until somebody removes it.

    Raises:
        OSError: the address is in use, or may not be used.
    """
    me = entering()
    if path is not None:
        if port is not None or host != LOOPBACK:
            raise TypeError("listen: give port and host, or path, not both")
        path = checked_path("listen", path)
        return Listener(_port_at(me, path), me, path)
    if port is None:
        raise TypeError("listen: port is needed (0 picks one), or path=")
    if host is not None and not isinstance(host, str):
        raise TypeError(f"listen: host must be a str, or None for all of IPv4, not {host!r}")
    if host == "":
        raise ValueError("listen: host must not be empty; None is all of IPv4")
    addresses = addresses_of(me, "0.0.0.0" if host is None else host, checked_port("listen", port))
    return Listener(_port_at(me, addresses[0]), me, None)


def _port_at(me: Fiber, address: Address) -> Port:
    me.credit -= 1
    try:
        return me.kernel.engine.listen(address, BACKLOG)
    except OSError as error:
        raise with_address(error, address) from None
