"""Word: what every word that may wait does first, and how arguments are checked.

Not here: the words (words.py).
"""

import math
from collections.abc import Callable
from typing import Any

from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import running
from computicle.scheduler.park import look_around

__all__ = ["checked_callable", "checked_seconds", "checked_timeout", "entering"]


def entering() -> Fiber:
    """The running fiber, about to do a word that may wait.

    Raises:
        Cancelled: it is cancelled.
        RuntimeError: it may not wait here (a predicate, a helper thread).
    """
    me = running()
    if me.credit <= 0:
        look_around(me)
    return me


def checked_seconds(word: str, name: str, seconds: Any) -> float:
    """`seconds`, zero or more, as an int or a float. Raises TypeError or ValueError, naming the argument."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        if isinstance(seconds, bool) or not hasattr(seconds, "__float__"):
            raise TypeError(f"{word}: {name} must be a number of seconds, not {seconds!r}")
        seconds = float(seconds)
    if not seconds >= 0:
        raise ValueError(f"{word}: {name} must be zero or more seconds, not {seconds!r}")
    return seconds  # type: ignore[no-any-return]


def checked_timeout(word: str, timeout: Any) -> float | None:
    """`timeout` in seconds, or None (math.inf, too) for as long as it takes."""
    if timeout is None:
        return None
    seconds = checked_seconds(word, "timeout", timeout)
    return seconds if seconds < math.inf else None


def checked_callable(word: str, name: str, fn: Any) -> Callable[..., Any]:
    """`fn`, if it can be called. Raises TypeError."""
    if not callable(fn):
        raise TypeError(f"{word}: {name} must be callable, not {fn!r}: pass the function itself, without calling it")
    return fn  # type: ignore[no-any-return]
