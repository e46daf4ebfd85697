"""Errors: what becomes of an error on its way from one computicle to another.

Rules:
  1. It arrives as what it was, if it can be carried and rebuilt; else as a
     RemoteError that names it. Which of both is found out where it was raised.
  2. Its traceback arrives as text, and is its cause, so that it is shown
     wherever the error is.
  3. What would end a program (SystemExit, KeyboardInterrupt) ends only the
     computicle it was raised in: to others it is a death.

Not here: how a process that said nothing has ended (obituary.py).
"""

import os
import traceback
from typing import Any, NamedTuple

from computicle.engine.packets import copies_of
from computicle.scheduler.errors import Cancelled, FiberCancelled
from computicle.scheduler.traces import set_cause
from computicle.worlds.codec import pack, unpack
from computicle.worlds.parcel import Parcel

__all__ = ["ComputicleDied", "RemoteError", "RemoteTraceback", "bring_error", "carried_error", "carry_error"]

_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
TEXT_MAX = 100_000  # characters of a traceback


class ComputicleDied(Exception):
    """The computicle has ended, or ended before it could do what was asked of it.

    Attributes:
        name: whose end it was.
        how: what ended it, in words.
    """

    def __init__(self, name: str, how: str) -> None:
        super().__init__(name, how)
        self.name = name
        self.how = how

    def __str__(self) -> str:
        return f"computicle {self.name!r} {self.how}"


class RemoteError(Exception):
    """An error from another computicle that could not be carried as it was.

    Attributes:
        kind: the name of its class.
        text: what it said.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(kind, text)
        self.kind = kind
        self.text = text

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}" if self.text else self.kind


class RemoteTraceback(Exception):
    """Where in the other computicle an error was raised: the cause of the error that has arrived."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def carry_error(error: BaseException, name: str) -> Parcel:
    """Pack an error that was raised in the computicle `name`."""
    return pack(carried_error(error, name))


def carried_error(error: BaseException, name: str) -> Any:
    """What stands for it on its way; for `bring_error`."""
    text = _text_of(error)
    if isinstance(error, Cancelled):
        error = FiberCancelled("it was cancelled")
    elif isinstance(error, SystemExit):
        error = ComputicleDied(name, f"ended itself: SystemExit({error.code!r})")
    elif isinstance(error, KeyboardInterrupt):
        error = ComputicleDied(name, "was interrupted: KeyboardInterrupt")
    return _carried(error), text


def bring_error(content: Any) -> BaseException:
    """The error, once unpacked, with where it comes from as its cause."""
    carried, text = content
    error = _brought(carried)
    set_cause(error, RemoteTraceback(text))
    return error


class _Carried(NamedTuple):
    """An error on its way: itself, if it can be rebuilt here and there, and in any case what it was."""

    kind: str
    text: str
    pickled: bytes | None
    whole: BaseException | None  # in place of that, if it is too large for a packet or has handles in it
    parts: "tuple[str, list[_Carried]] | None"  # a group's message and errors, each on its own way


def _carried(error: BaseException) -> _Carried:
    kind, text = _name_of(type(error)), _said_by(error)
    if type(error) in (ExceptionGroup, BaseExceptionGroup):
        assert isinstance(error, BaseExceptionGroup)
        return _Carried(kind, text, None, None, (error.message, [_carried(part) for part in error.exceptions]))
    try:
        parcel = pack(error)
        try:
            rebuilt = unpack(parcel.data, 0, copies_of(parcel.descriptors))  # as the receiver would get them
        finally:
            parcel.close()
        if type(rebuilt).__qualname__ == type(error).__qualname__:
            if parcel.descriptors:
                return _Carried(kind, text, None, error, None)
            return _Carried(kind, text, parcel.data, None, None)
    except Exception:  # noqa: S110  # it cannot be carried, for whatever reason
        pass
    return _Carried(kind, text, None, None, None)


def _brought(carried: _Carried) -> BaseException:
    if carried.parts is not None:
        message, parts = carried.parts
        return BaseExceptionGroup(message, [_brought(part) for part in parts])
    if carried.whole is not None:
        return carried.whole
    if carried.pickled is not None:
        try:
            error = unpack(carried.pickled, 0, ())
        except Exception:  # noqa: S110  # its class is not to be had here
            pass
        else:
            if isinstance(error, BaseException):
                return error
    return RemoteError(carried.kind, carried.text)


def _text_of(error: BaseException) -> str:
    try:
        trace = traceback.TracebackException.from_exception(error)
        traces = [trace]
        while traces:
            one = traces.pop()
            kept = [line for line in one.stack if not os.path.abspath(line.filename).startswith(_OURS)]
            if kept or one.exceptions is not None:
                one.stack[:] = kept
            traces.extend(other for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other)
        text = "".join(trace.format())
    except Exception as failure:
        text = f"{_name_of(type(error))} (its traceback cannot be shown: {failure!r})"
    return text if len(text) <= TEXT_MAX else f"{text[: TEXT_MAX // 2]}\n[...]\n{text[-TEXT_MAX // 2 :]}"


def _name_of(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _said_by(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""
