"""First line: the function that is started, where it is measured how soon it begins.

It is alone in its file, since each new process imports that.
"""

import time
from typing import Any

__all__ = ["now", "send_now"]


def now() -> int:
    """When it was called, on a clock that all processes share."""
    return time.monotonic_ns()


def send_now(connection: Any) -> None:
    """The same, for those that return nothing."""
    connection.send(time.monotonic_ns())
