"""Names: from what a person writes to addresses.

Numbers are answered at once. Names are looked up by the system, which may
block, so that happens on a helper thread.

Not here: whom to try first (connect.py).
"""

import socket

from computicle.engine.op import Address
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.park import park

__all__ = ["addresses_of", "checked_port"]


def checked_port(word: str, port: object) -> int:
    """`port`, if it can be one. Raises TypeError or ValueError."""
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"{word}: port must be an int, not {port!r}")
    if not 0 <= port <= 65_535:
        raise ValueError(f"{word}: port must be between 0 and 65535, not {port}")
    return port


def addresses_of(me: Fiber, host: str | None, port: int, *, passive: bool) -> list[Address]:
    """The addresses of `host`; waits for the look-up.

    Raises:
        OSError: the name cannot be resolved (socket.gaierror), with the name in it.
    """
    number = _numeric(host, port)
    if number is not None:
        return [number]
    engine = me.kernel.engine
    op = engine.call(lambda: engine.resolve(host, port, passive=passive), f"the addresses of {host!r}", me)
    try:
        addresses: list[Address] = park(me, op)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"cannot resolve {host!r}: {error.strerror}") from error
    return addresses


def _numeric(host: str | None, port: int) -> Address | None:
    if host is None:
        return None
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return (host, port) if family == socket.AF_INET else (host, port, 0, 0)
    return None
