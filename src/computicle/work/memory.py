"""Memory: a heap's file, which has no name and belongs to whoever has its descriptor.

Rules:
  1. It never becomes shorter: nobody is killed for touching what is mapped.
  2. What is mapped keeps no descriptor.

Not here: what lies in it (space.py).

Sources: memfd_create(2), fcntl(2) on seals, mmap(2), madvise(2).
"""

import ctypes
import fcntl
import mmap
import os
import sys
from typing import Any

from computicle.work.layout import BASE, Layout
from computicle.work.space import Part

__all__ = ["HeapMemory"]

MAP_FIXED = 0x10
MAP_NORESERVE = 0x4000
HOLLOW = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE  # what keeps nothing but addresses, to be mapped over
MAP_FAILED = ctypes.c_void_p(-1).value

_mmap = ctypes.CDLL(None, use_errno=True).mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64)

_UNTRACKED: Any = {"trackfd": False}  # from 3.13 on


class HeapMemory:
    """The file, as one process has it. It is closed when this is dropped; what is mapped stays."""

    def __init__(self, number: int) -> None:
        self.number = number

    @classmethod
    def make(cls, layout: Layout) -> "HeapMemory":
        """A new one. Raises OSError."""
        memory = cls(os.memfd_create("computicle-heap", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        os.ftruncate(memory.number, layout.length)
        fcntl.fcntl(memory.number, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        layout.write(memoryview(memory.part(0, BASE)))
        return memory

    def part(self, offset: int, length: int) -> mmap.mmap:
        if sys.version_info >= (3, 13):
            return mmap.mmap(self.number, length, offset=offset, **_UNTRACKED)
        else:  # noqa: RET505  # by version, so that each is only checked where it is run
            part = mmap.mmap(-1, length, flags=HOLLOW)
            _map_over(part, length, self.number, offset)
            return part

    def discard(self, part: Part, start: int, length: int) -> None:
        assert isinstance(part, mmap.mmap)
        part.madvise(mmap.MADV_REMOVE, start, length)

    def close(self) -> None:
        """Twice is once."""
        number, self.number = self.number, -1
        if number >= 0:
            os.close(number)

    def __del__(self) -> None:
        self.close()


def _map_over(target: mmap.mmap, length: int, number: int, offset: int) -> None:
    """Have `target` show the file from `offset` on, which is where a page begins. Raises OSError."""
    address = ctypes.addressof(ctypes.c_char.from_buffer(target))
    flags = mmap.MAP_SHARED | MAP_FIXED
    if _mmap(address, length, mmap.PROT_READ | mmap.PROT_WRITE, flags, number, offset) == MAP_FAILED:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
