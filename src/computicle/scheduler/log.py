"""Log: where errors go that nobody can be raised at, to the logger "computicle".

A handler of the program's own may fail, and logging lets its error through.
That must not take the kernel along, nor what was to be logged: then both go
to sys.excepthook.

Not here: what is worth logging.
"""

import logging
import sys

__all__ = ["log_error"]

_log = logging.getLogger("computicle")


def log_error(error: BaseException, message: str, *args: object) -> None:
    """Log a message about `error`, with its traceback."""
    try:
        _log.error(message, *args, exc_info=error)
    except Exception as failure:
        BaseException.__setattr__(failure, "__context__", error)  # its class may refuse
        sys.excepthook(type(failure), failure, failure.__traceback__)
