"""Several processes at once: between any two loads and stores another one may run."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import greenlet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle.work import survey
from computicle.work.arena import Arena
from computicle.work.sizes import counted
from computicle.work.space import Space, Tables
from tests.work.memory import Memory, small_heap

LIMIT = 1 << 16
STEPS_MAX = 60_000  # of all together: more is a circle


class Interleaving:
    """Runs processes a step each, in an order that a seed chooses."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._hub = greenlet.getcurrent()
        self._processes: list[greenlet.greenlet] = []

    def step(self) -> None:
        """Others may run here."""
        if greenlet.getcurrent() is not self._hub:
            self._hub.switch()

    def add(self, process: Callable[[], None]) -> None:
        self._processes.append(greenlet.greenlet(process))

    def run(self, check: Callable[[], None]) -> None:
        for _ in range(STEPS_MAX):
            if not self._processes:
                return
            process = self._random.choice(self._processes)
            process.switch()
            if process.dead:
                self._processes.remove(process)
                check()
        raise AssertionError("they go in circles, or all of them wait")


class Slow:
    """A view, each item of which is loaded or stored in a step of its own."""

    def __init__(self, view: memoryview, step: Callable[[], None]) -> None:
        self._view = view
        self._step = step

    def __getitem__(self, index: Any) -> Any:
        self._step()
        return Slow(self._view[index], self._step) if isinstance(index, slice) else self._view[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        self._step()
        self._view[index] = value

    def __iter__(self) -> Iterator[int]:
        for index in range(len(self._view)):
            self._step()
            yield self._view[index]


class SlowSpace(Space):
    def __init__(self, memory: Memory, step: Callable[[], None]) -> None:
        super().__init__(memory)
        self._step = step
        for name in ("stamp", "active", "claims", "rows"):
            setattr(self, name, Slow(getattr(self, name), step))

    def _map(self, place: int) -> Tables:
        tables = super()._map(place)
        holders: Any = tables.holders
        if not isinstance(holders, Slow):
            tables.holders = Slow(holders, self._step)  # type: ignore[assignment]
        return tables


class Bell:
    """Who waits for memory is woken whenever somebody announces some."""

    def __init__(self) -> None:
        self.rung = 0

    def ring(self) -> None:
        self.rung += 1


def alloc_waiting(arena: Arena, n: int, bell: Bell, step: Callable[[], None]) -> int:
    """As a heap does it."""
    while True:
        heard = bell.rung
        offset = arena.alloc(n)
        if arena.ledger.withdrawn:
            arena.ledger.withdrawn = False
            bell.ring()
        if offset:
            return offset
        while bell.rung == heard:
            step()


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 1 << 32),
    st.lists(st.sampled_from([64, 20_000, 32_768, 36_000, 40_000, 50_000, 65_536]), min_size=2, max_size=4),
)
def test_the_limit_is_kept_and_all_get_their_turn(seed: int, sizes: list[int]) -> None:
    memory = small_heap(LIMIT)
    order = Interleaving(seed)
    bell = Bell()
    held: dict[int, int] = {}

    def use(place: int, n: int) -> None:
        arena = Arena(SlowSpace(memory, order.step), place, 1)
        for _ in range(3):
            offset = alloc_waiting(arena, n, bell, order.step)
            assert offset not in held
            held[offset] = counted(n)
            assert sum(held.values()) <= LIMIT
            order.step()
            del held[offset]
            arena.free(offset)
            bell.ring()

    for place, n in enumerate(sizes, 1):
        order.add(lambda place=place, n=n: use(place, n))  # type: ignore[misc]
    order.run(lambda: None)
    survey.check(Space(memory))
    assert not held


@pytest.mark.parametrize("seed", range(50))
def test_of_those_that_cannot_all_have_it_some_do(seed: int) -> None:
    """Nobody frees anything: who was refused is refused rightly, or is told to try again."""
    memory = small_heap(LIMIT)
    order = Interleaving(seed)
    got: list[int] = []

    def use(place: int) -> None:
        arena = Arena(SlowSpace(memory, order.step), place, 1)
        while True:
            if arena.alloc(30_000):
                got.append(place)
                return
            if not arena.ledger.withdrawn:
                return
            arena.ledger.withdrawn = False

    for place in (1, 2, 3):
        order.add(lambda place=place: use(place))  # type: ignore[misc]
    order.run(lambda: None)
    survey.check(Space(memory))
    assert len(got) <= 2
    if len(got) < 2:
        assert Arena(Space(memory), 4, 1).alloc(30_000)


@pytest.mark.parametrize("seed", range(30))
def test_blocks_are_freed_by_others_meanwhile(seed: int) -> None:
    memory = small_heap(LIMIT)
    order = Interleaving(seed)
    sent: list[int] = []
    chance = random.Random(seed)

    def produce() -> None:
        arena = Arena(SlowSpace(memory, order.step), 1, 1)
        for _ in range(60):
            offset = arena.alloc(chance.choice([64, 3000, 16_384, 36_000]))
            if offset:
                assert offset not in sent
                sent.append(offset)

    def consume(place: int) -> None:
        space = SlowSpace(memory, order.step)
        arena = Arena(space, place, 1)
        for _ in range(200):
            order.step()
            if sent:
                offset = sent.pop(0)
                tables = space.around(offset)
                tables.holders[(offset - tables.first) // 64] = arena.ledger.code
                arena.free(offset)

    order.add(produce)
    for place in (2, 3):
        order.add(lambda place=place: consume(place))  # type: ignore[misc]
    order.run(lambda: None)
    survey.check(Space(memory))
