"""Culprit: which part of an object cannot be carried.

Rules:
  1. It is looked for by trying the parts, so it is found as whoever reads the
     program would name it: "['jobs'][3].file". What refuses to be carried has no parts: it
     says itself why.
  2. The search is bounded, and never fails: what it cannot tell it leaves out.

Not here: how things are carried (codec.py).
"""

from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

from computicle.scheduler.arguments import shown

__all__ = ["culprit_of"]

TRIES_MAX = 1000  # parts that are tried
DEPTH_MAX = 20
SHOWN_MAX = 80  # characters of the part itself


def culprit_of(value: Any, carry: Callable[[Any], object]) -> str:
    """The innermost part of `value` for which `carry` raises, in words."""
    path = ""
    tries = TRIES_MAX
    for _depth in range(DEPTH_MAX):
        for name, part in _parts_of(value):
            tries -= 1
            if tries < 0 or not _fails(carry, part):
                continue
            path += name
            value = part
            break
        else:
            break
    text = shown(value)
    if len(text) > SHOWN_MAX:
        text = f"{text[:SHOWN_MAX]}..."
    return f"{text} (at {path})" if path else text


def _fails(carry: Callable[[Any], object], part: Any) -> bool:
    try:
        carry(part)
    except Exception:
        return True
    return False


def _refuses(value: Any) -> bool:
    kind: Any = type(value)
    if kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__:
        return False  # it is the pickler that does, or not
    try:
        value.__reduce_ex__(5)
    except Exception:
        return True
    return False


def _parts_of(value: Any) -> Iterator[tuple[str, Any]]:
    """What it is made of, as far as that has names."""
    if isinstance(value, dict):
        for key, part in [*value.items()]:
            yield f"[{shown(key)}]", part
            yield f" key {shown(key)}", key
    elif isinstance(value, tuple) and (fields := getattr(value, "_fields", None)):
        for name, part in zip(fields, value, strict=True):
            yield f".{name}", part
    elif isinstance(value, (list, tuple, set, frozenset)):
        for index, part in enumerate([*value]):
            yield f"[{index}]", part
    elif isinstance(value, FunctionType):
        for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield f"'s variable {name!r}", cell.cell_contents
            except ValueError:  # not set yet
                continue
    elif isinstance(getattr(value, "__dict__", None), dict) and not isinstance(value, type) and not _refuses(value):
        for name, part in [*vars(value).items()]:
            yield f".{name}", part
    if isinstance(value, FunctionType):
        for name in value.__code__.co_names:
            if name in value.__globals__:
                yield f"'s global {name!r}", value.__globals__[name]
