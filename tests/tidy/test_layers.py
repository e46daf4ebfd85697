"""Who may import whom: floor by floor, downwards only, and no circles."""

import ast
import operator

import pytest

from tests.tidy.sources import Source, imports, sources

# From the ground up. A room may import from its own floor only what is its own, and everything below.
FLOORS = [
    {"engine"},
    {"scheduler"},
    {"net"},
    {"words"},
    {"worlds", "compat", "testing"},
    {"placement", "work"},
    {"tools"},
]

BY_NOBODY = {"tools", "testing"}  # tools attach through scheduler/hooks

ENTRANCES = {"", "__main__"}  # computicle itself and python -m computicle: they hand on what others are

by_module = operator.attrgetter("module")


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def rooms_imported(source: Source) -> set[str]:
    modules = [module.split(".") for module in imports(source.tree, source.module)]
    rooms = {parts[1] if len(parts) > 1 else "" for parts in modules if parts[0] == "computicle"}
    return rooms - {source.room}


def test_every_room_has_a_floor() -> None:
    rooms = {source.room for source in sources()} - ENTRANCES
    assert rooms <= set().union(*FLOORS)


@pytest.mark.parametrize("source", [source for source in sources() if source.room not in ENTRANCES], ids=by_module)
def test_imports_go_downwards(source: Source) -> None:
    for room in rooms_imported(source):
        assert room not in ENTRANCES, f"{source.module} imports the package that is made of it"
        assert floor(room) < floor(source.room), f"{source.module} must not import {room}"


@pytest.mark.parametrize("source", sources(), ids=by_module)
def test_nothing_imports_tools_or_testing(source: Source) -> None:
    if source.module != "computicle.__main__":
        assert not rooms_imported(source) & BY_NOBODY


def test_the_package_hands_on_the_words_and_nothing_else() -> None:
    (package,) = [source for source in sources() if source.module == "computicle"]
    assert rooms_imported(package) == {"words", "work", "worlds"}
    statements = [node for node in package.tree.body if not isinstance(node, ast.ImportFrom)]
    assert [type(node) for node in statements] == [ast.Expr, ast.Assign]  # its docstring and __all__


def test_only_one_file_knows_greenlet() -> None:
    knowing = [
        source.module
        for source in sources()
        if any(module.split(".")[0] == "greenlet" for module in imports(source.tree, source.module))
    ]
    assert knowing == ["computicle.scheduler.carrier"]


def test_no_circles_while_importing() -> None:
    names = {source.module for source in sources()}
    graph = {
        source.module: {
            module
            for module in imports(source.tree, source.module, at_import_time=True) & names
            if module != source.module and module != "computicle"
        }
        for source in sources()
    }
    while leaves := [module for module, needs in graph.items() if not needs]:
        for leaf in leaves:
            del graph[leaf]
        for needs in graph.values():
            needs.difference_update(leaves)
    assert not graph, f"these import each other: {sorted(graph)}"


def test_what_the_test_of_layers_sees() -> None:
    tree = ast.parse("""
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    from computicle.typed import name
else:
    import computicle.untyped
def fn():
    from computicle.later import name
import computicle.now as now
from . import sibling
""")
    assert imports(tree, "computicle.room.file") >= {
        "computicle.untyped",
        "computicle.later.name",
        "computicle.now",
    }
    assert "computicle.typed" not in imports(tree, "computicle.room.file")
    assert "computicle.later" not in imports(tree, "computicle.room.file", at_import_time=True)
