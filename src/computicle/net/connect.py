"""Connect: from an address to a stream.

Not here: TLS, and trying several addresses at once: they come between the
addresses and the stream, in `_first_that_answers`.
"""

import contextlib
import os

from computicle.engine.op import Address, Wire
from computicle.net.names import addresses_of, checked_path, checked_port, with_address
from computicle.net.stream import Stream
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.park import look_around
from computicle.scheduler.timeouts import sleep_for
from computicle.scheduler.word import entering

__all__ = ["connect"]

FULL_BACKLOG_S = (0.001, 0.05)  # first and longest pause before asking a full Unix listener again


def connect(host: str | None = None, port: int | None = None, *, path: str | os.PathLike[str] | None = None) -> Stream:
    """Connect to a listener; waits until it has answered.

    Args:
        host: a name or a number, IPv4 or IPv6. Its addresses are tried in turn.
        port: a TCP port.
        path: a Unix-domain socket, instead of host and port.

    Returns:
        The open Stream.

    Raises:
        OSError: refused, unreachable, or (socket.gaierror) not resolvable.
    """
    me = entering()
    if path is not None:
        if host is not None or port is not None:
            raise TypeError("connect: give host and port, or path, not both")
        return Stream(_reach(me, checked_path("connect", path)), me)
    if not isinstance(host, str) or port is None:
        raise TypeError(f"connect: host (a str) and port are needed, or path=; got {host!r} and {port!r}")
    if not host:
        raise ValueError("connect: host must not be empty; 'localhost' is this machine")
    addresses = addresses_of(me, host, checked_port("connect", port))
    return Stream(_first_that_answers(me, addresses), me)


def _first_that_answers(me: Fiber, addresses: list[Address]) -> Wire:
    first: OSError | None = None
    try:
        for address in addresses:
            try:
                return _reach(me, address)
            except OSError as error:
                first = first or error
        assert first is not None
        raise first
    finally:
        del first  # its traceback holds this frame: without this they would hold each other


def _reach(me: Fiber, address: Address) -> Wire:
    try:
        wire = _start(me, address)
        try:
            if wire.finish_connect(None):
                me.credit -= 1
            else:
                me.kernel.finish_op(me, wire.writing, wire.finish_connect, None)
        except BaseException:
            wire.close()
            raise
    except OSError as error:
        me.credit -= 1
        raise with_address(error, address) from None
    return wire


def _start(me: Fiber, address: Address) -> Wire:
    pause, longest = FULL_BACKLOG_S
    while True:
        if me.credit <= 0:
            look_around(me)  # it has waited already, for the addresses, for another one or for time
        with contextlib.suppress(BlockingIOError):
            return me.kernel.engine.connect(address)
        sleep_for(me, pause)
        pause = min(longest, pause * 2)
