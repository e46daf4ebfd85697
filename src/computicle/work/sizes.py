"""Sizes: how long a block is, for a number of bytes that was asked for.

Small blocks come in 32 classes, four to each doubling, and share a unit of memory
with others of their class: a slab. Large ones have units of their own, and are
counted by pages.

Rules:
  1. Every length is a multiple of GRANULE, so no two blocks begin in the same granule.
  2. Less is added to what was asked for than GRANULE or a quarter of it, whichever is more.
  3. Every multiple of PAGE is a length, and blocks of such a length begin at a page.

Not here: where blocks lie (layout.py, arena.py).
"""

__all__ = [
    "FREE",
    "FURTHER",
    "GRANULE",
    "KINDS",
    "LARGE",
    "LENGTHS",
    "PAGE",
    "SMALL_MAX",
    "UNIT",
    "counted",
    "rounded_up",
    "units_for",
]

GRANULE = 64  # bytes: a line of most caches
PAGE = 4096  # bytes: what large blocks are counted by
UNIT = 65_536  # bytes: what arenas are divided into
SMALL_MAX = 32_768  # bytes: half a unit
STEPS = 4  # classes to a doubling: with fewer more is wasted, with more there are more slabs that are half empty

# What is said of a unit in its arena's table. A slab has the number of its class, from 1.
FREE = 0
LARGE = 254  # the first of a large block
FURTHER = 255  # one of the others


def _lengths() -> tuple[int, ...]:
    lengths = [0]  # of no class
    step = GRANULE
    while lengths[-1] < SMALL_MAX:
        if lengths[-1] == 2 * STEPS * step:
            step *= 2
        lengths.append(lengths[-1] + step)
    return tuple(lengths)


LENGTHS = _lengths()  # bytes, by class

# The class, by the granules asked for.
KINDS = bytes(
    next(kind for kind, length in enumerate(LENGTHS) if length >= granules * GRANULE)
    for granules in range(SMALL_MAX // GRANULE + 1)
)


def counted(n: int) -> int:
    """How long a block for `n` bytes is, and what it counts."""
    return LENGTHS[KINDS[(n + GRANULE - 1) // GRANULE]] if n <= SMALL_MAX else rounded_up(n, PAGE)


def units_for(length: int) -> int:
    """How many units a large block takes."""
    return rounded_up(length, UNIT) // UNIT


def rounded_up(n: int, step: int) -> int:
    """The first multiple of `step` from `n` on."""
    return -(-n // step) * step
