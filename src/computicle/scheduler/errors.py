"""Errors: what the scheduler raises.

Not here: errors of single words (ValueError and the like are raised on the
spot).
"""

__all__ = ["Cancelled", "Deadlock", "FiberCancelled"]


class Cancelled(BaseException):
    """This fiber has been asked to end.

    Raised at the fiber's current or next wait, and again at each later one:
    let it pass, cleaning up in `finally`. It derives from BaseException so
    that `except Exception` does not stop it.
    """


class FiberCancelled(Exception):
    """The fiber that was waited for ended because it was cancelled."""


class Deadlock(RuntimeError):
    """Nothing can ever happen again, and fibers are still waiting.

    The message lists them, the first 100: name, file and line, what each waits for.
    """
