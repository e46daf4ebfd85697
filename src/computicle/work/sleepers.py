"""Sleepers: how many threads of this process are about to sleep until an item comes.

Others look at that to know whether there is somebody to wake.

Not here: the sleeping (taker.py).
"""

import threading

from computicle.work.table import SLEEPERS, Table

__all__ = ["Sleepers"]

SLEEPERS_MAX = 255


class Sleepers:
    """A byte in the table, and how often it was counted up. Any thread."""

    def __init__(self, table: Table, place: int) -> None:
        self._bytes = table.bytes
        self._at = SLEEPERS + place
        self._lock = threading.Lock()
        self._count = 0

    def add(self, count: int) -> None:
        """One more, or one less."""
        with self._lock:
            self._count += count
            self._bytes[self._at] = min(self._count, SLEEPERS_MAX)
