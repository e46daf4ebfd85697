"""Compact: the code that each computicle runs, moved together in the zygote's memory.

To run a function is to write to its code: CPython counts references in it,
and notes in its instructions what they have met. So each computicle gets a copy
of its own of every page on which some code lies that it runs. Where the code lies
as it was imported, among much that is not run, these are 120 pages more than where
it lies together: of 860 that a computicle had for itself, and each is a
microsecond of its start (bench/footprint.py).

Rules:
  1. A copy equals its original, so whoever knows a function by its code still
     finds it.
  2. The originals are kept. Else each computicle would put what it makes into
     the holes, all over the memory.

Not here: what is run (birth.py).
"""

import gc
import sys
from collections.abc import Callable
from types import CodeType, FrameType, FunctionType
from typing import Any

__all__ = ["move_together"]

_originals: list[CodeType] = []  # by rule 2; written by `move_together`


def move_together(work: Callable[[], object]) -> None:
    """Have all functions that `work` calls run copies of their code. For a process that has one thread."""
    ran: dict[CodeType, None] = {}

    def note(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            ran[frame.f_code] = None

    sys.setprofile(note)
    try:
        work()
    finally:
        sys.setprofile(None)
    functions = [it for it in gc.get_objects() if type(it) is FunctionType and it.__code__ in ran]
    copies = {code: code.replace() for code in {function.__code__: None for function in functions}}
    for function in functions:
        function.__code__ = copies[function.__code__]
    _originals.extend(copies)
