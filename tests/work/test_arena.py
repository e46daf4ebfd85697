"""Arenas: one place's blocks, and those that it frees for others."""

import pytest

from computicle.work import survey
from computicle.work.arena import DISCARD_MIN, LARGE_LOOKED_AT, Arena
from computicle.work.sizes import LENGTHS, PAGE, SMALL_MAX, UNIT, counted, units_for
from computicle.work.space import Space
from tests.work.memory import Memory, small_heap


def arena_at(place: int, memory: Memory) -> Arena:
    return Arena(Space(memory), place, 1000 + place)


def allocated(arena: Arena, n: int) -> int:
    offset = arena.alloc(n)
    assert offset
    return offset


def test_blocks_are_apart_and_aligned() -> None:
    arena = arena_at(1, small_heap(1 << 24))
    taken: list[tuple[int, int]] = []
    for n in [1, 64, 65, 100, 300, 1000, 4096, 5000, 20_000, 32_768, 32_769, 65_536, 70_000, 200_000] * 5:
        offset = allocated(arena, n)
        assert offset % (PAGE if counted(n) % PAGE == 0 else 64) == 0
        taken.append((offset, offset + counted(n)))
    taken.sort()
    assert all(one[1] <= other[0] for one, other in zip(taken, taken[1:], strict=False))
    arena.check()


@pytest.mark.parametrize("n", [*LENGTHS[1:], SMALL_MAX + 1, 100_000])
def test_what_was_freed_is_used_again(n: int) -> None:
    memory = small_heap(1 << 20)
    arena = arena_at(1, memory)
    first = allocated(arena, n)
    arena.free(first)
    assert allocated(arena, n) == first
    arena.check()


def test_all_of_the_limit_can_be_had_and_no_more() -> None:
    memory = small_heap(1 << 20)
    arena = arena_at(1, memory)
    offsets = [allocated(arena, 1024) for _ in range(1024)]
    assert not arena.alloc(1)
    assert not arena.alloc(1)
    arena.free(offsets.pop())
    allocated(arena, 1024)
    assert not arena.alloc(1)
    survey.check(Space(memory))


def test_the_limit_is_that_of_all_places_together() -> None:
    memory = small_heap(1 << 20)
    one, other = arena_at(1, memory), arena_at(700, memory)
    offset = allocated(one, 600_000)
    assert not other.alloc(600_000)
    allocated(other, 300_000)
    one.free(offset)
    allocated(other, 600_000)
    survey.check(Space(memory))


def test_places_that_come_later_are_counted() -> None:
    memory = small_heap(1 << 20)
    one = arena_at(1, memory)
    allocated(one, 100)
    other = arena_at(2, memory)
    allocated(other, 900_000)
    assert not one.alloc(900_000)


def test_what_others_have_freed_is_found() -> None:
    memory = small_heap(1 << 20)
    one, other = arena_at(1, memory), arena_at(2, memory)
    for n in (64, 1024, 40_000):
        offsets = [allocated(one, n) for _ in range((1 << 20) // counted(n))]
        assert not one.alloc(n)
        for offset in offsets:
            hand_over(memory, offset, other)
            other.free(offset)
        again = [allocated(one, n) for _ in offsets]
        assert not one.alloc(n)
        survey.check(Space(memory))
        for offset in again:
            one.free(offset)
        one.check()


def hand_over(memory: Memory, offset: int, to: Arena) -> None:
    tables = Space(memory).around(offset)
    tables.holders[(offset - tables.first) // 64] = to.ledger.code


def test_blocks_of_one_length_make_room_for_those_of_another() -> None:
    memory = small_heap(1 << 20)
    arena = arena_at(1, memory)
    for n in [*LENGTHS[1:], 36_864, 65_536, 1 << 20] * 2:
        offsets = [allocated(arena, n) for _ in range((1 << 20) // n)]
        assert not arena.alloc(n)
        for offset in offsets:
            arena.free(offset)
        arena.check()


def test_an_arena_does_not_grow_while_there_is_room_below() -> None:
    memory = small_heap(1 << 22)
    arena = arena_at(1, memory)
    tops = []
    for n in [*LENGTHS[1:], 36_864, 65_536, 1 << 20] * 3:
        offsets = [allocated(arena, n) for _ in range((1 << 22) // n)]
        for offset in offsets:
            arena.free(offset)
        tops.append(arena._top)
    # Blocks of 36 KiB take a unit each, so 1.8 times what they count; and the arena grows by a quarter unasked.
    assert max(tops) <= (1 << 22) // 36_864 * 5 // 4 + 64


def test_when_units_are_used_up_there_is_no_room() -> None:
    memory = small_heap(1 << 20, units=4)
    arena = arena_at(1, memory)
    kept = [allocated(arena, 64), allocated(arena, 128), allocated(arena, 40_000)]
    assert not arena.alloc(100_000)
    kept.append(allocated(arena, 256))
    assert not arena.alloc(512)
    assert not arena.alloc(33_000)
    assert not arena.ledger.withdrawn, "who is told would look in vain, and tell again"
    survey.check(Space(memory))
    arena.free(kept.pop())
    allocated(arena, 512)
    arena.check()


def test_all_slabs_are_looked_at_when_there_are_no_units_left() -> None:
    memory = small_heap(1 << 20, units=12)
    arena = arena_at(1, memory)
    other = arena_at(2, memory)
    offsets = [allocated(arena, 16_384) for _ in range(12 * 4)]
    assert not arena.alloc(16_384)
    hand_over(memory, offsets[-1], other)
    other.free(offsets[-1])
    assert allocated(arena, 16_384) == offsets[-1]


def test_large_blocks_are_found_free_a_few_at_a_time() -> None:
    memory = small_heap(1 << 24)
    arena = arena_at(1, memory)
    offsets = [allocated(arena, 40_000) for _ in range(200)]
    for offset in offsets:
        arena.free(offset)
    for _ in range(3):
        allocated(arena, 40_000)
    assert len(arena._large) <= 203 - 3 * LARGE_LOOKED_AT + 3
    arena.check()


def test_who_gets_the_place_of_a_dead_one_goes_on() -> None:
    memory = small_heap(1 << 20)
    one = arena_at(1, memory)
    offsets = {n: [allocated(one, n) for _ in range(5)] for n in (64, 640, 20_000, 50_000)}
    for some in offsets.values():
        one.free(some.pop(0))
    heir = arena_at(1, memory)
    heir.check()
    for n, some in offsets.items():
        assert allocated(heir, n) not in some
        for offset in some:
            heir.free(offset)
    heir.check()
    survey.check(Space(memory))


def test_large_blocks_are_returned_to_the_system() -> None:
    memory = small_heap(1 << 22)
    arena = arena_at(1, memory)
    space = Space(memory)
    for n, cleared in ((DISCARD_MIN, True), (DISCARD_MIN - PAGE, False)):
        offset = allocated(arena, n)
        tables = space.around(offset)
        tables.memory[offset - tables.first] = 7
        arena.free(offset)
        assert (tables.memory[offset - tables.first] == 0) is cleared


def test_a_dump_says_what_there_is() -> None:
    memory = small_heap(1 << 20)
    arena = arena_at(1, memory)
    kept = [allocated(arena, n) for n in (64, 64, 5000, 50_000, 50_000)]
    arena.free(kept.pop())
    text = survey.dump(Space(memory))
    assert "heap of 1,048,576 bytes, 58,496 of" in text
    assert "place 1: 5 blocks allocated, 1 freed; 4 units in its arena" in text
    assert "  64 bytes: 1 slabs, 2 blocks, 1,022 free" in text
    assert "held by place 1" in text
    assert ": free" in text


def test_units_for_blocks_are_what_the_table_says() -> None:
    memory = small_heap(1 << 20)
    arena = arena_at(1, memory)
    offset = allocated(arena, 3 * UNIT + 1)
    tables = Space(memory).around(offset)
    assert tables.length(offset) == 3 * UNIT + PAGE
    assert units_for(tables.length(offset)) == 4
    arena.free(offset)
    allocated(arena, 40_000)
    assert tables.used(4) == bytes([254, 0, 0, 0])
