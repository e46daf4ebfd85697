"""Functions: how those carried by value are rebuilt, in the one namespace of a computicle.

Left to cloudpickle, a function gets a namespace of its own each time it is
loaded: two calls would not see each other's globals. Here they see those of
the computicle's `__main__`, which `comp["x"]` sees, too.

Rules:
  1. What a function brings along of its maker's globals is put beside what is
     there. Functions and classes replace earlier ones; data that is there
     stays, for it may have been worked on.
  2. The main program's own globals are not replaced by anything.
  3. A function whose names would clash with what functions of another module
     have brought gets a namespace of its own, behind which lies the common one.

Not here: which functions go by value (codec.py).
"""

import io
import pickle
import sys
from collections.abc import Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

__all__ = ["load_by_value", "own_namespace", "set_by_hand"]

# There is one namespace in a process, so there is one of these. Written as functions are loaded and by `set_by_hand`;
# the second by `own_namespace`, once, as a computicle begins.
_origins: dict[str, str] = {}  # by name: the module that functions have brought it from
_state = {"replacing": False}  # functions replace earlier ones: not in the main program


def own_namespace(*, replacing: bool) -> dict[str, Any]:
    """The globals of this computicle. From now on, what functions bring along replaces earlier ones, or never does."""
    _state["replacing"] = replacing
    return vars(sys.modules["__main__"])


def set_by_hand(name: str) -> None:
    """It has been given a value that no function has brought."""
    _origins.pop(name, None)


def load_by_value(data: Any, buffers: Sequence[Any]) -> Any:
    """Load a pickle that cloudpickle has made."""
    return _Loader(io.BytesIO(data), buffers=buffers).load()


class _Loader(pickle.Unpickler):
    """With our own way of making functions."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "cloudpickle.cloudpickle" and name in _OURS:
            return _OURS[name]
        return super().find_class(module, name)


class _Apart(dict[str, Any]):
    """A namespace with the common one behind it. Functions look up their globals here, as in any dict."""

    def __missing__(self, name: str) -> Any:
        return vars(sys.modules["__main__"])[name]


def _make_function(code: CodeType, base: dict[str, Any], *rest: Any) -> FunctionType:
    common = vars(sys.modules["__main__"])
    origin = base.get("__name__", "")
    clash = any(name in common and _origins.get(name, origin) != origin for name in _names_in(code))
    common.setdefault("__builtins__", __builtins__)
    namespace = _Apart(base, __builtins__=__builtins__) if clash else common
    return FunctionType(code, namespace, *rest)


def _set_state(function: FunctionType, state: tuple[dict[str, Any], dict[str, Any]]) -> None:
    from cloudpickle import cloudpickle  # noqa: PLC0415  # as in codec.py

    brought = state[1]["__globals__"]
    namespace = function.__globals__
    if not isinstance(namespace, _Apart):
        origin = state[1].get("__module__") or ""
        kept = {name: namespace[name] for name in brought if name in namespace and not _replaces(name, brought[name])}
        for name in brought:
            if name not in kept:
                _origins[name] = origin
        state[1]["__globals__"] = {**brought, **kept}
    cloudpickle._function_setstate(function, state)


def _replaces(name: str, value: Any) -> bool:
    return _state["replacing"] and name in _origins and isinstance(value, (FunctionType, type))


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)


_OURS = {"_make_function": _make_function, "_function_setstate": _set_state}
