"""Survey: which blocks there are in a heap, and whether its tables agree, as anybody may see it who looks at all of it.

Not here: who changes them (arena.py, heap_keeper.py).
"""

from collections.abc import Iterator
from typing import NamedTuple

from computicle.work.codes import is_in_transit, place_of
from computicle.work.layout import ROW_WORDS
from computicle.work.ledger import TOP, share_of
from computicle.work.sizes import FREE, FURTHER, LARGE, LENGTHS, UNIT, units_for
from computicle.work.space import Space

__all__ = ["Found", "check", "dump", "held_blocks"]


class Found(NamedTuple):
    """A block that somebody holds."""

    offset: int
    length: int  # bytes that it counts
    holder: int  # the whole word


def held_blocks(space: Space, place: int, code: int | None = None) -> Iterator[Found]:
    """Those in the arena of `place`, or those of them that are held by `code`, without looking at each block."""
    top = space.rows[place * ROW_WORDS + TOP]
    if top == 0:
        return  # nothing was ever allocated there: it need not be mapped
    tables = space.tables(place)
    for unit, kind in enumerate(tables.used(top)):
        first = tables.first + unit * UNIT
        if kind == LARGE:
            candidates = [first]
        elif kind in (FREE, FURTHER):
            continue
        else:
            held = tables.held(unit, kind)
            if code is not None and code & 255 not in held:
                continue
            candidates = [first + index * LENGTHS[kind] for index, byte in enumerate(held) if byte]
        for offset in candidates:
            holder = tables.holder(offset)
            if holder and (code is None or holder & 0xFFFF == code):
                yield Found(offset, tables.length(offset), holder)


def check(space: Space) -> None:
    """Assert that the tables agree with each other, and the counters with the holders. Nobody may be using the heap."""
    blocks = held = 0
    for place in space.places():
        _check_units(space, place)
        for found in held_blocks(space, place):
            blocks += 1
            held += found.length
    shares = [share_of(space, place) for place in space.places()]
    assert sum(share.allocated - share.freed for share in shares) == held
    assert sum(share.allocated_blocks - share.freed_blocks for share in shares) == blocks
    assert held <= space.layout.limit, "more is held than the limit"


def _check_units(space: Space, place: int) -> None:
    """Each further unit belongs to the large block before it, and what is free is held by nobody.

    Of a large block that is free some further units may not be marked: its owner has died while it was at it.
    """
    tables = space.tables(place)
    top = space.rows[place * ROW_WORDS + TOP]
    assert top <= space.layout.units
    end = 0  # of the last large block
    whole = True
    for unit, kind in enumerate(tables.used(top)):
        if kind == LARGE:
            assert unit >= end, "two blocks lie in one place"
            first = tables.first + unit * UNIT
            end = unit + units_for(tables.length(first))
            whole = tables.holder(first) != 0
            assert end <= top
        elif kind == FURTHER:
            assert unit < end, "a unit belongs to no block"
        else:
            assert unit >= end or not whole, "a unit is missing from a large block"
            if kind == FREE:
                assert not any(tables.held(unit, 1)), "a free unit is held"


def dump(space: Space) -> str:
    """What there is, for people."""
    lines = [f"heap of {space.layout.size:,} bytes, {_claimed(space):,} of {space.layout.limit:,} in use"]
    for place in space.places():
        share = share_of(space, place)
        lines.append(
            f"place {place}: {share.allocated_blocks:,} blocks allocated, {share.freed_blocks:,} freed; "
            f"{space.rows[place * ROW_WORDS + TOP]:,} units in its arena"
        )
        lines += _dump_arena(space, place)
    return "\n".join(lines)


def _dump_arena(space: Space, place: int) -> Iterator[str]:
    tables = space.tables(place)
    used = tables.used(space.rows[place * ROW_WORDS + TOP])
    for kind in range(1, len(LENGTHS)):
        slabs = [unit for unit, use in enumerate(used) if use == kind]
        if slabs:
            blocks = len(slabs) * (UNIT // LENGTHS[kind])
            free = sum(tables.held(unit, kind).count(0) for unit in slabs)
            yield f"  {LENGTHS[kind]:,} bytes: {len(slabs):,} slabs, {blocks - free:,} blocks, {free:,} free"
    for unit, use in enumerate(used):
        if use == LARGE:
            offset = tables.first + unit * UNIT
            yield f"  {tables.length(offset):,} bytes at {offset:#x}: {_holder_text(tables.holder(offset))}"


def _holder_text(holder: int) -> str:
    if not holder:
        return "free"
    return "on its way" if is_in_transit(holder) else f"held by place {place_of(holder & 0xFFFF)}"


def _claimed(space: Space) -> int:
    return sum(space.claims[place] for place in space.places())
