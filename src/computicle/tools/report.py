"""Report: an uncaught error as text for the one who wrote the script.

A traceback through a scheduler is mostly scheduler. What helps is where the
script stood in each error, so this library's own lines are left out, in every
error of a group and in every cause.

Rules:
  1. An error that has no line outside this library keeps all of its lines. A
     group or a SyntaxError keeps none: they would say nothing.
  2. Ctrl-C is one line, SystemExit none.
  3. A script that has set sys.excepthook reports its errors itself.

Not here: when to report (command.py), lists of fibers (scheduler/report.py).
"""

import contextlib
import os
import sys
from traceback import TracebackException
from typing import Any

import click

from computicle.scheduler.interrupts import EXIT_BY_SIGINT

__all__ = ["report"]

_excepthook = sys.excepthook  # as it was before any script ran
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def report(error: BaseException, *, full: bool) -> Any:
    """Show `error`, unless it merely asks to end; what to give to sys.exit."""
    if isinstance(error, SystemExit):
        return error.code
    status = EXIT_BY_SIGINT if isinstance(error, KeyboardInterrupt) else 1
    if sys.excepthook is not _excepthook:
        try:
            sys.excepthook(type(error), error, error.__traceback__)
            return status
        except Exception as failure:
            click.echo(f"Error in sys.excepthook:\n{_text(failure, full=full)}\nOriginal exception was:", err=True)
    if isinstance(error, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        return status
    with contextlib.suppress(OSError, ValueError):  # a closed pipe or file: that is for the interpreter to tell
        sys.stdout.flush()
    click.echo(_text(error, full=full), err=True, nl=False)
    return status


def _text(error: BaseException, *, full: bool) -> str:
    trace = TracebackException.from_exception(error)
    if not full:
        _cut(trace)
    return "".join(trace.format())


def _cut(trace: TracebackException) -> None:
    """Leave out our own lines, here and in all that belongs to it. Without recursion: chains may be long."""
    traces = [trace]
    while traces:
        trace = traces.pop()
        kept = [line for line in trace.stack if not os.path.abspath(line.filename).startswith(_OURS)]
        if kept:
            trace.stack[:] = kept
        elif trace.exceptions is not None or issubclass(trace.exc_type or Exception, SyntaxError):
            trace.stack.clear()  # a group is made by the library, and a SyntaxError tells its own place: ours says nothing
        inner = (trace.__cause__, trace.__context__, *(trace.exceptions or ()))
        traces.extend(other for other in inner if other is not None)
