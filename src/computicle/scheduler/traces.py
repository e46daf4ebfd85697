"""Traces: what the tracebacks of kept errors hold.

A traceback holds the frames it leads through, with all their variables. A
finished fiber keeps its error; a word's frame holds the fiber: together a
circle, which only the collector would find, and until then the streams and
whatever else the program's frames hold would stay open.

Rules:
  1. A finished fiber's error holds no frame of this library with its variables;
     the program's frames keep theirs.

Not here: tracebacks as text (tools/report.py).
"""

import contextlib

__all__ = ["clear_own_frames"]


def clear_own_frames(error: BaseException) -> None:
    """Let this library's frames forget their variables, in `error` and in all that belongs to it.

    The program's frames keep theirs, for whoever debugs it. So do frames that still run.
    """
    errors = [error]
    seen = {id(error)}
    while errors:
        error = errors.pop()
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_globals.get("__name__", "").startswith("computicle."):
                with contextlib.suppress(RuntimeError):
                    trace.tb_frame.clear()
            trace = trace.tb_next
        inner = [error.__cause__, error.__context__]
        if isinstance(error, BaseExceptionGroup):
            inner += error.exceptions
        for other in inner:
            if other is not None and id(other) not in seen:
                seen.add(id(other))
                errors.append(other)
