"""Command: `computicle run script.py`, `computicle demo`.

Rules:
  1. What stands after the script's name is the script's, options included.
  2. The exit status is the script's: what it gave to sys.exit; 1 after an
     uncaught error; 130 after Ctrl-C, as a shell has it. 2 means that the
     command itself was misused.

Not here: running fibers (words.py), how tracebacks are cut (report.py), what
the demo shows (demo.py).
"""

import builtins
import io
import os
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import click

from computicle.tools import demo
from computicle.tools.report import report
from computicle.tools.version import __version__
from computicle.words import run

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="computicle")
def main() -> None:
    """Plain sequential code, thousands of conversations at once."""


@main.command("run", context_settings={"allow_interspersed_args": False})
@click.option("--full", is_flag=True, help="Show this library's own lines in tracebacks, too.")
@click.argument("script", type=click.Path(exists=True, dir_okay=False))
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def run_command(script: str, args: tuple[str, ...], full: bool) -> None:
    """Run a script's top level as the main fiber of a run, with ARGS for the script."""
    run_guarded(full, run, script_main(script, args))


@main.command("demo")
def demo_command() -> None:
    """Show fibers in conversation, hundreds of clients at once, and computicles at work."""
    run_guarded(False, demo.show)


def run_guarded(full: bool, fn: Callable[..., Any], *args: Any) -> None:
    """Call `fn(*args)`; whatever it raises becomes a report and an exit status."""
    try:
        fn(*args)
    except BaseException as error:
        # Caught here, all of it: click would make other statuses of Ctrl-C and of a broken pipe.
        sys.exit(report(error, full=full))


def script_main(script: str, args: tuple[str, ...]) -> Callable[[], None]:
    """A function that runs the script's top level as the program `__main__`."""
    path = os.path.abspath(script)  # as Python itself does: it stays true when the script changes directory

    def top_level() -> None:
        # Not runpy.run_path: that takes __main__ and sys.argv back when the top level ends, and its fibers go on.
        with io.open_code(script) as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        module = ModuleType("__main__")
        vars(module).update(__file__=path, __builtins__=builtins)
        sys.modules["__main__"] = module
        sys.argv = [script, *args]
        if not sys.flags.safe_path:
            sys.path[0] = os.path.dirname(os.path.realpath(script))
        exec(code, vars(module))  # noqa: S102

    top_level.__qualname__ = os.path.basename(script)  # what listings of fibers call the main fiber
    return top_level
