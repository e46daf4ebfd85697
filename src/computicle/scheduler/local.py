"""FiberLocal: attributes that each fiber has for itself.

threading.local is shared by all fibers of a thread; context variables are
inherited. What is kept here belongs to one fiber, and ends with it.

Not here: context variables (contextvars, inherited by spawn).
"""

from typing import Any
from weakref import WeakKeyDictionary

from computicle.scheduler.flows import running
from computicle.scheduler.single import Single

__all__ = ["FiberLocal"]


class FiberLocal(Single):
    """Like threading.local, for fibers: every fiber sees its own attributes, none at first."""

    def _attributes(self) -> dict[str, Any]:
        me = running()
        attributes: dict[str, Any] = me.kernel.locals.setdefault(me, WeakKeyDictionary()).setdefault(self, {})
        return attributes

    def __getattr__(self, name: str) -> Any:
        try:
            return self._attributes()[name]
        except KeyError:
            raise AttributeError(f"fiber {running().name!r} has not set {name!r} here") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self._attributes()[name] = value

    def __delattr__(self, name: str) -> None:
        try:
            del self._attributes()[name]
        except KeyError:
            raise AttributeError(f"fiber {running().name!r} has not set {name!r} here") from None
