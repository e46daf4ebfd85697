"""A process may die before any store: nothing is lost, nothing is held twice, and the counters agree with the holders."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, precondition, rule

from computicle.work import survey
from computicle.work.heap_keeper import HeapKeeper, HeapWard
from computicle.work.layout import Layout
from computicle.work.ledger import Ledger
from computicle.work.memory import HeapMemory
from computicle.work.codes import KEEPER
from computicle.work.arena import Arena
from computicle.work.sizes import GRANULE, counted
from computicle.work.space import Space
from computicle.worlds.places import NOWHERE
from computicle.worlds.wards import Ward
from tests.work.memory import Killed, Memory, MortalSpace, small_heap

SIZE = 1 << 20
PLACES = (1, 2, 300)


class World:
    """A process."""

    def __init__(self, memory: Memory, place: int, stores: int | None = None) -> None:
        self.place = place
        self.space = MortalSpace(memory)
        self.clock = self.space.clock
        self.clock.left = stores
        self.arena = Arena(self.space, place, 1000 + place)

    def claim(self, offset: int) -> None:
        tables = self.space.around(offset)
        tables.holders[(offset - tables.first) // GRANULE] = self.arena.ledger.code


def in_use(memory: Memory) -> dict[int, int]:
    space = Space(memory)
    return {found.offset: found.length for place in space.places() for found in survey.held_blocks(space, place)}


# Each thing that a place does, killed before each of its stores.


def allocate_small(world: World) -> None:
    world.arena.alloc(700)


def allocate_from_a_slab(world: World) -> None:
    world.arena.alloc(64)


def allocate_large(world: World) -> None:
    world.arena.alloc(300_000)


def free_small(world: World) -> None:
    world.arena.free(world.arena.alloc(64))


def free_large(world: World) -> None:
    world.arena.free(world.arena.alloc(300_000))


def free_large_and_use_it_again(world: World) -> None:
    free_large(world)
    world.arena.alloc(40_000)


def be_refused(world: World) -> None:
    world.arena.alloc(SIZE)


def give_slabs_back(world: World) -> None:
    free_small(world)
    world.arena._reclaim()
    world.arena.alloc(700)


DEEDS = [
    allocate_small,
    allocate_from_a_slab,
    allocate_large,
    free_small,
    free_large,
    free_large_and_use_it_again,
    be_refused,
    give_slabs_back,
]


@pytest.mark.parametrize("keepers_too", [False, True], ids=["", "its keeper, too"])
@pytest.mark.parametrize("deed", DEEDS)
def test_killed_before_any_store(deed: Callable[[World], None], keepers_too: bool) -> None:
    """The dead one's place is then used by another."""
    stores = 0
    while True:
        memory = small_heap(SIZE)
        other = World(memory, 2)
        kept = other.arena.alloc(64)
        if not dies(lambda: deed(World(memory, 1, stores))):
            break
        recover(memory, 1, keepers_too)
        survey.check(Space(memory))
        assert in_use(memory) == {kept: 64}
        heir = World(memory, 1)
        heir.arena.check()
        offsets = [heir.arena.alloc(1024) for _ in range(SIZE // 1024 - 1)]
        assert all(offsets)
        for offset in offsets:
            heir.arena.free(offset)
        assert heir.arena.alloc(SIZE - 4096)
        survey.check(Space(memory))
        stores += 1
    assert stores > 4


def recover(memory: Memory, place: int, keepers_too: bool) -> None:
    """By a keeper; or by the last of many, of whom each is killed one store later than the one before."""
    stores = 0 if keepers_too else None

    def have_it_done() -> None:
        space = MortalSpace(memory)
        space.clock.left = stores
        keeper = HeapKeeper(space, 1)
        keeper.begin()
        keeper.recover(place, frozenset())

    while dies(have_it_done):
        assert stores is not None
        stores += 1


def dies(life: Callable[[], None]) -> bool:
    try:
        life()
    except Killed:
        return True
    return False


def test_an_owner_may_take_again_what_a_dead_one_has_just_freed() -> None:
    """So that the holder is somebody else's when the keeper looks whether the dead one's intent was carried out."""
    memory = small_heap(SIZE)
    owner, dying = World(memory, 1), World(memory, 2)
    for stores in range(8):
        offset = owner.arena.alloc(40_000)
        dying.claim(offset)
        dying.clock.left = stores
        if dies(lambda: dying.arena.free(offset)):
            again = owner.arena.alloc(40_000)
            HeapKeeper(Space(memory), 1).recover(2, frozenset())
            survey.check(Space(memory))
            assert again in in_use(memory)
            dying = World(memory, 2)
        owner.arena.free(again)


def test_a_place_counts_though_the_first_one_there_has_died_as_it_began() -> None:
    """Others look around only when they are told that there is somebody new."""
    stores = 0
    while True:
        memory = small_heap(SIZE)
        keeper = HeapKeeper(Space(memory), 1)
        other = World(memory, 1)
        assert other.arena.alloc(64)
        if not dies(lambda: [World(memory, 2, stores)].clear()):  # noqa: B023  # called at once
            break
        keeper.recover(2, frozenset())
        heir = World(memory, 2)
        assert heir.arena.alloc(SIZE // 2)
        assert not other.arena.alloc(SIZE // 2)
        stores += 1
    assert stores > 2


def test_blocks_in_queues_are_kept() -> None:
    memory = small_heap(SIZE)
    dead = World(memory, 1)
    queued, held = dead.arena.alloc(100), dead.arena.alloc(100)
    keeper = HeapKeeper(Space(memory), 1)
    keeper.recover(1, {queued})
    assert set(in_use(memory)) == {queued}
    assert held != queued
    keeper.recover(1, frozenset())
    assert not in_use(memory)


def test_arenas_that_nobody_has_allocated_from_are_not_even_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A death would cost as much as there are processes, and that of all of them the square."""
    memory = small_heap(SIZE)
    _others, dead = [World(memory, place) for place in range(2, 50)], World(memory, 1)
    held = dead.arena.alloc(100)
    mapped = []
    maps = Space._map

    def map_noted(space: Space, place: int) -> Any:
        mapped.append(place)
        return maps(space, place)

    monkeypatch.setattr(Space, "_map", map_noted)
    HeapKeeper(Space(memory), 1).recover(1, frozenset())
    assert mapped == [1]
    assert held not in in_use(memory)


def test_what_another_one_holds_is_not_the_dead_ones() -> None:
    memory = small_heap(SIZE)
    dead, other = World(memory, 1), World(memory, 2)
    offset = dead.arena.alloc(100)
    other.claim(offset)
    HeapKeeper(Space(memory), 1).recover(1, frozenset())
    assert set(in_use(memory)) == {offset}


def test_a_keeper_knows_who_has_begun() -> None:
    memory = small_heap(SIZE)
    World(memory, 1)
    World(memory, 300)
    assert HeapKeeper(Space(memory), 5).members() == {1: 1001, 300: 1300}


def test_who_was_struck_in_the_middle_lives_on() -> None:
    """An error from outside: a handler of the program's own may raise anywhere."""
    for deed in DEEDS:
        stores = 0
        while True:
            memory = small_heap(SIZE)
            world = World(memory, 1)
            world.clock.left = stores
            struck = dies(lambda: deed(world))  # noqa: B023  # called at once
            world.clock.left = None
            if not struck:
                break
            before = in_use(memory)
            world.arena._struck(0)
            world.arena.check()
            survey.check(Space(memory))
            assert in_use(memory).items() <= before.items()
            stores += 1


class Deaths(RuleBasedStateMachine):
    """Several places allocate, free, hand over, die and are replaced, in any order."""

    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        self.memory = small_heap(SIZE)
        self.worlds = {place: World(self.memory, place) for place in PLACES}
        self.held: dict[int, tuple[int, int]] = {}  # by offset: who held it last, and how long it is
        self.queued: set[int] = set()

    places = st.sampled_from(PLACES)
    sizes = st.sampled_from([1, 64, 100, 640, 5000, 16_384, 32_768, 40_000, 100_000, 400_000])
    stores = st.integers(0, 25)

    @rule(target=blocks, place=places, n=sizes)
    def alloc(self, place: int, n: int) -> object:
        offset = self.worlds[place].arena.alloc(n)
        used = sum(length for _place, length in self.held.values())
        if not offset:
            assert used + counted(n) > SIZE
            return multiple()
        assert used + counted(n) <= SIZE
        assert offset not in self.held
        self.held[offset] = (place, counted(n))
        return offset

    @rule(block=consumes(blocks))
    def free(self, block: int) -> None:
        if block in self.held and block not in self.queued:
            place, _length = self.held.pop(block)
            self.worlds[place].arena.free(block)

    @rule(block=blocks)
    def enqueue(self, block: int) -> None:
        if block in self.held:
            self.queued.add(block)

    @rule(block=blocks, place=places)
    def dequeue(self, block: int, place: int) -> None:
        if block in self.queued:
            self.worlds[place].claim(block)
            self.queued.remove(block)
            self.held[block] = (place, self.held[block][1])

    @rule(place=places, stores=stores, sizes=st.lists(sizes, max_size=4), free=st.lists(blocks, max_size=3))
    def die(self, place: int, stores: int, sizes: list[int], free: list[int]) -> None:
        world = self.worlds[place]
        world.clock.left = stores
        mine = [block for block in dict.fromkeys(free) if self.held.get(block, (0, 0))[0] == place]
        dies(
            lambda: [
                *(world.arena.free(block) for block in mine if block not in self.queued),  # type: ignore[func-returns-value]
                *(world.arena.alloc(n) for n in sizes),
            ].clear()
        )
        HeapKeeper(Space(self.memory), 1).recover(place, self.queued)
        self.held = {
            block: (holder, length)
            for block, (holder, length) in self.held.items()
            if holder != place or block in self.queued
        }
        self.worlds[place] = World(self.memory, place)

    @precondition(lambda self: self.held)
    @rule()
    def end(self) -> None:
        """All are freed: everything can be had."""
        for block, (place, _length) in self.held.items():
            if block in self.queued:
                self.worlds[place].claim(block)
            self.worlds[place].arena.free(block)
        self.held.clear()
        self.queued.clear()
        for world in self.worlds.values():
            offset = world.arena.alloc(SIZE)
            assert offset
            world.arena.free(offset)

    @invariant()
    def tables_and_counters_agree(self) -> None:
        survey.check(Space(self.memory))
        for world in self.worlds.values():
            world.arena.check()
        assert in_use(self.memory) == {block: length for block, (_place, length) in self.held.items()}

    @invariant()
    def nothing_overlaps(self) -> None:
        end = 0
        for block, (_place, length) in sorted(self.held.items()):
            assert block >= end
            end = block + length


TestDeaths = Deaths.TestCase
TestDeaths.settings = settings(max_examples=30, stateful_step_count=40, deadline=None)


def test_the_keeper_has_a_row_but_allocates_nothing() -> None:
    memory = small_heap(SIZE)
    dead = World(memory, 1)
    dead.arena.alloc(100)
    HeapKeeper(Space(memory), 1).recover(1, frozenset())
    ledger = Ledger(Space(memory), KEEPER, None)
    ledger.check()
    assert Space(memory).claims[KEEPER] == -128


def test_a_ward_sees_to_a_heap_that_it_has_as_descriptors() -> None:
    layout = Layout.of(SIZE, SIZE)
    made = HeapMemory.make(layout)
    reading, writing = os.pipe2(os.O_NONBLOCK)
    space = Space(made)
    arena = Arena(space, 7, 1007)
    kept, lost, large = arena.alloc(64), arena.alloc(64), arena.alloc(1_000_000)

    class Queue(Ward):
        def in_flight(self, uid: bytes) -> set[int]:
            return {kept} if uid == b"heap" else set()

    class Listed(list[Ward]):
        def listen(self, descriptor: int, handler: Any) -> None:
            raise AssertionError

        ignore = listen

    wards: Any = Listed()
    ward = HeapWard(b"heap", None, (os.dup(made.number), os.dup(writing)), wards)
    wards += [ward, Queue(b"queue", None, wards)]
    space.hint[0] = 1
    assert ward.members() == {7: 1007}
    ward.sweep(NOWHERE)
    assert len(in_use_of(space)) == 3
    ward.sweep(7)
    assert in_use_of(space) == {kept}
    assert lost
    assert large
    assert os.read(reading, 10)  # who waits is woken
    ward.free(kept)
    assert not in_use_of(space)
    survey.check(space)
    ward.close()
    os.close(reading)
    os.close(writing)


def in_use_of(space: Space) -> set[int]:
    return {found.offset for place in space.places() for found in survey.held_blocks(space, place)}
