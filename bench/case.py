"""Case: one thing to measure, on every library that can do it.

Rules:
  1. A variant is a plain function: it gets the case's argument and its library, measures, and returns numbers by name.
     Less is better, always.
  2. The first word of a variant's label is the module it needs. `C` needs no module.
  3. A variant imports no library itself: it is handed one, so that a process holds one library, and importing it is
     never part of the measurement.

Not here: running variants (harness.py), judging numbers (report.py).
"""

import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

__all__ = ["NAMES", "OURS", "Case", "Target", "Variant", "cases_of", "library_of"]

OURS = "computicle"

# One file each: the word or promise that it measures, in the order they are run and shown.
NAMES = (
    "yielding",
    "spawning",
    "parked",
    "predicates",
    "signals",
    "sleepers",
    "bursts",
    "echo",
    "idle",
    "starting",
    "footprint",
    "messages",
    "oneway",
    "arrays",
    "heap",
    "queueing",
    "handing",
    "waking",
    "cores",
    "crowd",
    "idle_world",
)

# Parts that importing the library alone does not promise to load.
PARTS = {"gevent": ("gevent.event", "gevent.server")}

Variant = Callable[[int, Any], dict[str, float]]


class Target(NamedTuple):
    """What ours has promised: at most `at_most` times the number of the variant `of`, or, without one, at most that."""

    measure: str
    at_most: float
    of: str | None = None


class Case(NamedTuple):
    """A thing to measure. `units` names the numbers that its variants return, and their units."""

    title: str
    argument: int
    variants: Mapping[str, Variant]
    units: Mapping[str, str]
    targets: tuple[Target, ...] = ()
    rounds: int = 7
    rounds_quick: int = 3
    timeout_s: float = 60.0  # of one process


def cases_of(name: str) -> list[Case]:
    """The cases of one file of NAMES."""
    return list(importlib.import_module(f"bench.{name}").CASES)


def library_of(label: str) -> Any:
    """Import what a variant needs.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    name = label.split(maxsplit=1)[0]
    if name == "C":
        return None
    for part in PARTS.get(name, ()):
        importlib.import_module(part)
    return importlib.import_module(name)
