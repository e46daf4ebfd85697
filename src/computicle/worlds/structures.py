"""Structures: how classes of ctypes are carried by value.

A structure's fields are attributes that ctypes makes out of `_fields_`, and
that nothing can carry. So they are left out, and made again over there. So
are arrays and pointers, which have no name, and the classes of these classes, which
not every Python has a name for.

Rules:
  1. What says how fields are laid out is set before they are.
  2. A class that is there already, because it has come before or from here, keeps its
     fields: they cannot be set twice.

Not here: which classes go by value (codec.py).
"""

import ctypes
import operator
from typing import Any

from cloudpickle import cloudpickle

__all__ = ["Pickler"]

FIELDS = "_fields_"
LAYOUT = ("_pack_", "_align_", "_layout_", "_anonymous_")


class _Probe(ctypes.Structure):
    _fields_ = (("field", ctypes.c_int),)


FIELD: Any = type(vars(_Probe)["field"])
KINDS: Any = (type(ctypes.Structure), type(ctypes.Union))
ARRAY: Any = type(ctypes.Array)
POINTER: Any = type(ctypes.POINTER(_Probe))


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it ships no types
    """cloudpickle's, for such classes, too."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type):
            if obj is type(ctypes.Structure):
                return type, (ctypes.Structure,)
            if obj is type(ctypes.Union):
                return type, (ctypes.Union,)
            made = _made_of(obj)
            if made is not None:
                return made
        reduced: Any = super().reducer_override(obj)
        if not isinstance(obj, KINDS) or not isinstance(reduced, tuple):
            return reduced
        make, arguments, state = reduced[:3]
        attributes, slots = state
        carried = {name: value for name, value in attributes.items() if not isinstance(value, FIELD)}
        return make, arguments, (carried, slots), None, None, _set_state


def _made_of(kind: Any) -> Any:
    """How an array or a pointer is made anew. None: it is neither, or somebody's own class."""
    if isinstance(kind, ARRAY) and "_length_" in vars(kind) and kind._type_ * kind._length_ is kind:
        return operator.mul, (kind._type_, kind._length_)
    if isinstance(kind, POINTER) and "_type_" in vars(kind) and ctypes.POINTER(kind._type_) is kind:
        return ctypes.POINTER, (kind._type_,)
    return None


def _set_state(kind: Any, state: tuple[dict[str, Any], dict[str, Any]]) -> Any:
    attributes, slots = state
    laid_out = [name for name in (*LAYOUT, FIELDS) if name in attributes]
    fresh = {} if FIELDS in vars(kind) else {name: attributes[name] for name in laid_out}
    others = {name: value for name, value in attributes.items() if name not in laid_out}
    return cloudpickle._class_setstate(kind, ({**fresh, **others}, slots))
