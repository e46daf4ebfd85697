"""What every source file must be like."""

import ast
import operator
import re

import pytest

from tests.tidy.sources import ROOT, Source, sources

LINES_MAX = 400  # in a file
FUNCTION_LINES_MAX = 60

UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
OF_A_MACHINE = re.compile(r"""["'\s`(](/(home|root|Users|work|opt|tmp|usr/local)\b|[A-Z]:\\)""")

by_module = operator.attrgetter("module")


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_a_file_opens_with_a_docstring(source: Source) -> None:
    assert ast.get_docstring(source.tree)
    assert isinstance(source.tree.body[0], ast.Expr)


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_a_file_is_short(source: Source) -> None:
    # words.py is one long list with docstrings, so its code is what is counted.
    text = ast.unparse(_without_docstrings(source.tree)) if source.module == "computicle.words" else source.text
    assert len(text.splitlines()) <= LINES_MAX


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_functions_are_short(source: Source) -> None:
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            assert lines <= FUNCTION_LINES_MAX, f"{node.name}: {lines} lines"


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_nothing_is_printed_but_by_tools(source: Source) -> None:
    if source.room != "tools":
        calls = [node for node in ast.walk(source.tree) if isinstance(node, ast.Call)]
        assert not [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_nothing_is_left_undone(source: Source) -> None:
    assert not UNFINISHED.findall(source.text)


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_no_paths_of_one_machine(source: Source) -> None:
    assert not OF_A_MACHINE.findall(source.text)


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_nothing_is_imported_by_star_or_at_the_bottom(source: Source) -> None:
    if source.module == "computicle":
        return
    ended = False
    for node in source.tree.body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            assert not ended, f"line {node.lineno}: an import below the code"
            assert "*" not in [name.name for name in node.names], f"line {node.lineno}: a star"
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            ended = True


def test_types_are_shipped() -> None:
    assert (ROOT / "py.typed").is_file()


def _without_docstrings(tree: ast.Module) -> ast.Module:
    copy = ast.parse(ast.unparse(tree))
    for node in ast.walk(copy):
        if isinstance(node, (ast.Module, ast.FunctionDef, ast.ClassDef)) and ast.get_docstring(node) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return copy
