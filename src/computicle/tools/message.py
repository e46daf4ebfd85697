"""Message: what an item of the demo's work queue is: a structure that lies in a block.

It is the essay's, which had it from a system of windows. Whoever fills one and whoever
reads it agree on this layout, and on nothing else.

Not here: who does that (demo_work.py). Nor anything that takes long to import: each worker does that.
"""

import ctypes

__all__ = ["Message"]


class Point(ctypes.Structure):
    """Where on the screen."""

    _fields_ = (("x", ctypes.c_int32), ("y", ctypes.c_int32))


class Message(ctypes.Structure):
    """One of them. `lparam` says where in the heap it was filled in."""

    _fields_ = (
        ("hwnd", ctypes.c_uint64),
        ("message", ctypes.c_uint32),
        ("wparam", ctypes.c_uint64),
        ("lparam", ctypes.c_uint64),
        ("time", ctypes.c_uint32),
        ("point", Point),
    )

    message: int
    lparam: int
