"""Known: what this process has of what travels between processes, by uid.

Rules:
  1. However often something arrives, and in whichever threads, one object is made of it.
  2. In a forked child nothing is known.

Not here: how it travels (parcel.py), the heaps and queues themselves (work/).
"""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

__all__ = ["Known"]

T = TypeVar("T")


class Known(Generic[T]):
    """The objects of one kind. Any thread.

    Args:
        leave: called in a forked child with each that was known in the parent.
    """

    def __init__(self, leave: Callable[[T], None] | None = None) -> None:
        self._leave = leave
        self._objects: WeakValueDictionary[bytes, T] = WeakValueDictionary()
        self._lock = threading.RLock()  # a finaliser may strike in the middle of it, and unpack something, too
        os.register_at_fork(after_in_child=self._leave_all)

    def note(self, uid: bytes, made: T) -> None:
        """It was made here."""
        self._objects[uid] = made

    def arrived(self, uid: bytes, make: Callable[[], T]) -> T:
        """The one of that uid, made now if there is none. To make it may not give way."""
        with self._lock:
            known = self._objects.get(uid)
            if known is None:
                known = self._objects[uid] = make()
            return known

    def _leave_all(self) -> None:
        self._lock = threading.RLock()
        if self._leave is not None:
            for left in [*self._objects.values()]:
                self._leave(left)
        self._objects.clear()
