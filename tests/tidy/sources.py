"""What the tidiness tests look at: every source file, parsed once."""

import ast
import functools
from pathlib import Path
from typing import NamedTuple

import computicle

ROOT = Path(computicle.__file__).parent


class Source(NamedTuple):
    path: Path
    module: str  # computicle.net.stream
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """net, scheduler, ...; words for words.py; "" for the package itself."""
        parts = self.module.split(".")
        return parts[1] if len(parts) > 1 else ""


@functools.cache
def sources() -> tuple[Source, ...]:
    """Every module of the package."""
    found = []
    for path in sorted(ROOT.rglob("*.py")):
        names = path.relative_to(ROOT.parent).with_suffix("").parts
        module = ".".join(names[:-1] if names[-1] == "__init__" else names)
        text = path.read_text()
        found.append(Source(path, module, text, ast.parse(text)))
    return tuple(found)


def imports(tree: ast.AST, package: str, *, at_import_time: bool = False) -> set[str]:
    """The modules that are imported, as far as they are written down; without those for type checkers only.

    Args:
        at_import_time: leave out what functions import when they are called.
    """
    found: set[str] = set()
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        if at_import_time and isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(filter(None, [*package.split(".")[: 1 - node.level or None], base]))
            found.add(base)
            found.update(f"{base}.{name.name}" for name in node.names)
        pending.extend(ast.iter_child_nodes(node))
    return found
