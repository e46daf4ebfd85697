"""Block: a piece of shared memory with exactly one owner, as this Python can have it.

Not here: what it can do (owned.py).
"""

import sys

from computicle.work.owned import Moved

if sys.version_info >= (3, 12):
    from computicle.work.counted import CountedBlock as Block
else:
    from computicle.work.mmap_block import MmapBlock as Block

__all__ = ["Block", "Moved"]
