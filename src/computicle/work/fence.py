"""Fence: between what a processor stores and what it loads next.

A processor may load before others can see what it has stored before that. Of two that each store, and then look what
the other has stored, neither may see the other then. A lock that is taken and released in between is the one thing in
Python that makes a processor see to that. It must be free: an attempt at one that is not may be no more than a load.

Not here: who must see whom (gate.py, ledger.py).
"""

import threading

__all__ = ["let_others_see"]


def let_others_see() -> None:
    """What has been stored: before anything is loaded from now on. Any thread."""
    lock = threading.Lock()
    lock.acquire()
    lock.release()
