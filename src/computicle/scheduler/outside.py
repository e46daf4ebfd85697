"""Outside: a wait that something outside this kernel may end: another process.

While there is one, the kernel sleeps, where it would otherwise say that it is stuck.

Not here: waits for operations, which the kernel counts itself (kernel.py).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from computicle.engine.op import Engine
    from computicle.scheduler.fiber import Fiber

__all__ = ["FromOutside"]


class FromOutside:
    """What `me` waits for inside may come from outside. A context manager."""

    __slots__ = ("_engine",)

    def __init__(self, me: "Fiber") -> None:
        self._engine: Engine = me.kernel.engine

    def __enter__(self) -> None:
        self._engine.waiting += 1

    def __exit__(self, *_: object) -> None:
        self._engine.waiting -= 1
