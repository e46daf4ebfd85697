"""Arguments: how what people pass is checked, and what they are told.

Not here: what the arguments mean (words.py).
"""

import math
from collections.abc import Callable
from typing import Any

__all__ = ["checked_callable", "checked_count", "checked_seconds", "checked_timeout", "name_of", "shown"]


def checked_seconds(word: str, name: str, seconds: Any) -> float:
    """`seconds`, zero or more, as a float. Raises TypeError or ValueError, naming the argument."""
    if isinstance(seconds, bool) or not hasattr(seconds, "__float__"):
        raise TypeError(f"{word}: {name} must be a number of seconds, not {seconds!r}")
    try:
        seconds = float(seconds)
    except OverflowError:  # an int beyond all floats
        seconds = math.inf if seconds > 0 else -math.inf
    if not seconds >= 0:
        raise ValueError(f"{word}: {name} must be zero or more seconds, not {seconds!r}")
    return seconds  # type: ignore[no-any-return]


def checked_timeout(word: str, timeout: Any) -> float | None:
    """`timeout` in seconds, or None (math.inf, too) for as long as it takes."""
    if timeout is None:
        return None
    seconds = checked_seconds(word, "timeout", timeout)
    return seconds if seconds < math.inf else None


def checked_count(word: str, name: str, count: Any, least: int) -> int:
    """`count`, an int of `least` or more. Raises TypeError or ValueError."""
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{word}: {name} must be an int, not {count!r}")
    if count < least:
        raise ValueError(f"{word}: {name} must be {least} or more, not {count}")
    return count


def checked_callable(word: str, name: str, fn: Any) -> Callable[..., Any]:
    """`fn`, if it can be called. Raises TypeError."""
    if not callable(fn):
        raise TypeError(f"{word}: {name} must be callable, not {fn!r}: pass the function itself, without calling it")
    return fn  # type: ignore[no-any-return]


def shown(value: object) -> str:
    """repr(value), or something in its place if that fails."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__} whose repr fails>"


def name_of(fn: Callable[..., Any]) -> str:
    """What to call a function in listings."""
    try:
        return getattr(fn, "__qualname__", None) or shown(fn)
    except Exception:  # a proxy may raise anything
        return shown(fn)
