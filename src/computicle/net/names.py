"""Names: from what a person writes to addresses.

Numbers are answered at once. Names are looked up by the system, which may
block, so that happens on a helper thread.

Not here: whom to try first (connect.py).
"""

import errno
import os
import socket
from typing import Any

from computicle.engine.op import Address
from computicle.engine.text import address_text
from computicle.scheduler.fiber import Fiber

__all__ = ["addresses_of", "checked_path", "checked_port", "with_address"]


def checked_port(word: str, port: object) -> int:
    """`port`, if it can be one. Raises TypeError or ValueError."""
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"{word}: port must be an int, not {port!r}")
    if not 0 <= port <= 65_535:
        raise ValueError(f"{word}: port must be between 0 and 65535, not {port}")
    return port


def checked_path(word: str, path: Any) -> str:
    """`path` as a str, if it can be one. Raises TypeError or ValueError."""
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"{word}: path must be a str or a path, not {path!r}")
    if not path:
        raise ValueError(f"{word}: path must not be empty")
    text: str = os.fsdecode(path)
    if "\0" in text[1:]:  # in front it makes the path an abstract one, on Linux
        raise ValueError(f"{word}: path must not contain null characters: {text!r}")
    return text


def addresses_of(me: Fiber, host: str, port: int) -> list[Address]:
    """The addresses of `host`; waits for the look-up.

    Raises:
        OSError: the name cannot be resolved (socket.gaierror), with the name in it.
    """
    number = _numeric(host, port)
    if number is not None:
        return [number]
    engine = me.kernel.engine
    op = engine.call(lambda: engine.resolve(host, port), f"the addresses of {host!r}", me)
    try:
        addresses: list[Address] = me.kernel.wait_for_op(me, op)
    except socket.gaierror as error:
        raise socket.gaierror(error.errno, f"cannot resolve {host!r}: {error.strerror}") from None
    except ValueError as error:  # the codec for names refuses it, or there is a null character in it
        raise socket.gaierror(socket.EAI_NONAME, f"cannot resolve {host!r}: {error}") from None
    return addresses


def with_address(error: OSError, address: Address) -> OSError:
    """`error`, saying what it is about. A path that is too long for the system gets the errno it lacks."""
    if error.errno is None:
        if isinstance(address, str):  # the system was not asked at all: the path does not fit into its argument
            return OSError(errno.ENAMETOOLONG, f"{error}: {address_text(address)}")
        return error
    return type(error)(error.errno, f"{error.strerror}: {address_text(address)}")


def _numeric(host: str, port: int) -> Address | None:
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except (OSError, ValueError):
            continue
        return (host, port) if family == socket.AF_INET else (host, port, 0, 0)
    return None
