"""Traces: what is changed in an error on its way: its traceback, its notes, its cause.

A traceback holds the frames it leads through, with all their variables. A
finished fiber keeps its error; a word's frame holds the fiber: together a
circle, which only the collector would find, and until then the streams and
whatever else the program's frames hold would stay open.

Rules:
  1. A finished fiber's error holds no frame of this library with its variables;
     the program's frames keep theirs.
  2. An error of any class can be changed: one that refuses to have its
     attributes set (a frozen dataclass) is not asked.

Not here: tracebacks as text (tools/report.py).
"""

import contextlib
from types import TracebackType

__all__ = ["add_note", "clear_own_frames", "set_cause", "with_trace"]


def with_trace(error: BaseException, trace: TracebackType | None) -> BaseException:
    """The error itself, with this traceback."""
    return BaseException.with_traceback(error, trace)


def set_cause(error: BaseException, cause: BaseException | None) -> None:
    """As `raise error from cause` does; unless it has a cause already, or is itself what that one comes from."""
    if error.__cause__ is not None:
        return
    seen = {id(error)}
    following = cause
    while following is not None:
        if id(following) in seen:
            return
        seen.add(id(following))
        following = following.__cause__
    BaseException.__setattr__(error, "__cause__", cause)


def add_note(error: BaseException, text: str) -> None:
    """As `error.add_note(text)` does."""
    notes = BaseException.__getattribute__(error, "__dict__").get("__notes__", ())
    BaseException.__setattr__(error, "__notes__", [*notes, text])


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
