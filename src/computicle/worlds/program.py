"""Program: what a computicle runs, and the code it is given later.

Rules:
  1. All code of a computicle sees one namespace: that of its `__main__`.
  2. Source runs statement by statement, so that hooks are noticed as soon as
     they are defined; the value of the last one, if it is an expression, is
     its value.
  3. Errors show the lines of the source, wherever they are printed.

Not here: who runs it (life.py), who calls it (requests.py).
"""

import __future__

import ast
import itertools
import linecache
import os
import sys
import textwrap
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Call", "Script", "Source", "program_of", "run_source"]

_numbers = itertools.count(1)  # for texts of the same name, so that each error shows its own lines


class Call(NamedTuple):
    """A function and what it is called with."""

    fn: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def run(self, _namespace: dict[str, Any], _notice: Callable[[], None]) -> Any:
        """Call it; its value. It defines nothing, so nothing has to be noticed."""
        return self.fn(*self.args, **self.kwargs)


class Source(NamedTuple):
    """Source text, and globals that it finds."""

    text: str
    name: str

    def run(self, namespace: dict[str, Any], notice: Callable[[], None]) -> Any:
        """As `run_source`."""
        return run_source(self.text, self.name, namespace, notice)


class Script(NamedTuple):
    """A file, run as `python file` would run it."""

    path: str
    args: tuple[Any, ...]

    def run(self, namespace: dict[str, Any], notice: Callable[[], None]) -> Any:
        """As `run_source`. Raises OSError if it can no longer be read."""
        namespace["__file__"] = self.path
        sys.argv = [self.path, *map(str, self.args)]
        sys.path.insert(0, os.path.dirname(self.path))
        with open(self.path, "rb") as file:
            text = file.read()
        return run_source(text, self.path, namespace, notice)


def program_of(target: Any, args: tuple[Any, ...], kwargs: dict[str, Any], name: str) -> Call | Source | Script | None:
    """What `target` stands for. For text, kwargs are globals, and not in it.

    Raises:
        TypeError: it is nothing that could be run.
        FileNotFoundError: it is a path, and there is no such file.
    """
    if target is None:
        if args:
            raise TypeError("Computicle: arguments would be for a target, and there is none")
        return None
    if callable(target):
        return Call(target, args, kwargs)
    if isinstance(target, os.PathLike) or (isinstance(target, str) and target.endswith(".py") and "\n" not in target):
        path = os.path.abspath(os.fspath(target))
        if not os.path.isfile(path):
            raise FileNotFoundError(2, "Computicle: there is no such script", path)
        return Script(path, args)
    if isinstance(target, str):
        if args:
            raise TypeError("Computicle: source text takes no positional arguments: give it globals by keyword")
        return Source(textwrap.dedent(target), f"<computicle {name}>")
    raise TypeError(f"Computicle: target must be a function, source text or the path of a .py file, not {target!r}")


def run_source(text: str | bytes, name: str, namespace: dict[str, Any], notice: Callable[[], None]) -> Any:
    """Run it in `namespace`; the value of the last statement, if it is an expression, else None.

    Raises what it raises, and SyntaxError, mostly before anything has run.

    Args:
        name: of its file, or <text> that is none: then its lines are kept for tracebacks.
        notice: called after each statement.
    """
    if name.startswith("<"):
        assert isinstance(text, str)
        name = f"{name[:-1]} #{next(_numbers)}>" if name in linecache.cache else name
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    tree = ast.parse(text, name)
    flags = _future_flags(tree)
    if ast.get_docstring(tree) is not None:
        namespace["__doc__"] = ast.get_docstring(tree, clean=False)
    value = None
    for statement in tree.body:
        if statement is tree.body[-1] and isinstance(statement, ast.Expr):
            expression = ast.Expression(statement.value)
            value = eval(compile(expression, name, "eval", flags, dont_inherit=True), namespace)  # noqa: S307
        else:
            module = ast.Module([statement], [])
            exec(compile(module, name, "exec", flags, dont_inherit=True), namespace)  # noqa: S102
        notice()
    return value


def _future_flags(tree: ast.Module) -> int:
    flags = 0
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            for alias in statement.names:
                flags |= getattr(__future__, alias.name).compiler_flag
    return flags
