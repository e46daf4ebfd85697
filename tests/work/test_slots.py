"""Slots: whatever is taken, finished and given back, in whatever order, no slot is anybody's twice, and batches hold as many
as are there.
"""

from pickle import loads

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from computicle.work.leases import NOTHING
from computicle.work.queue import WorkQueue
from tests.process.conftest import give_back_the_flow

CAPACITY = 60
SPARE = 40  # slots beyond that, instead of the 512 that there are: so that they run short
RESERVE = 20  # of them

counts = st.one_of(st.sampled_from([1, 5, 20, CAPACITY]), st.integers(1, CAPACITY))
picks = st.integers(0, 1 << 16)


class Slots(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.queue = WorkQueue(CAPACITY, max_tries=255)
        self.core = self.queue._core
        self.leases = self.core.leases
        self.leases._end = CAPACITY + SPARE
        self.leases._stretches_end = CAPACITY + SPARE - RESERVE
        self.put_in = 0
        self.queued: list[int | None] = []  # None is a nudge
        self.held: dict[int, int] = {}  # items, by slot
        self.stretches: list[tuple[range, list[int]]] = []
        self.back: dict[int, int] = {}

    def teardown(self) -> None:
        give_back_the_flow()

    def items(self) -> list[int]:
        return [item for item in self.queued if item is not None]

    def in_use(self) -> dict[int, int]:
        found = {**self.held, **self.back}
        for stretch, items in self.stretches:
            found.update(zip(stretch, items, strict=True))
        return found

    @rule(count=counts)
    def put(self, count: int) -> None:
        count = min(count, CAPACITY - len(self.items()) - len(self.in_use()))
        items = range(self.put_in, self.put_in + count)
        self.put_in += count
        self.queue.enqueue_many(items, timeout=0)
        self.queued += items

    @precondition(lambda self: self.queued.count(None) < 3)
    @rule()
    def nudge(self) -> None:
        self.core.gate.nudge()
        self.queued.append(None)

    @rule(count=st.integers(1, 30))
    def take(self, count: int) -> None:
        for _ in range(count):
            items = self.items()
            slot = self.leases.take()
            if not items:
                assert slot == NOTHING
                self.queued.clear()
                return
            assert slot not in self.in_use()
            self.held[slot] = items[0]
            del self.queued[: self.queued.index(items[0]) + 1]

    @rule(count=counts)
    def take_many(self, count: int) -> None:
        items, nudged = self.items(), None in self.queued
        slots = self.leases.take_many(count)
        if not items:
            assert slots == NOTHING
            self.queued.clear()
            return
        assert not isinstance(slots, int)
        got = items[: len(slots)]
        assert 1 <= len(slots) == len(got) <= count
        assert nudged or len(slots) == min(count, len(items))
        assert len(set(slots)) == len(slots)
        assert not self.in_use().keys() & {*slots}
        if isinstance(slots, range):
            self.stretches.append((slots, got))
        else:
            self.held.update(zip(slots, got, strict=True))
        del self.queued[: self.queued.index(got[-1]) + 1]
        while len(self.queued) > self.core.pipe.length():  # it has met nudges behind them, too
            assert self.queued.pop(0) is None

    @precondition(lambda self: self.held)
    @rule(pick=picks, count=st.integers(1, 30))
    def finish(self, pick: int, count: int) -> None:
        for slot in self.some_held(pick, count):
            self.leases.empty(slot)
            del self.held[slot]

    @precondition(lambda self: self.held)
    @rule(pick=picks, count=st.integers(1, 30))
    def give_back(self, pick: int, count: int) -> None:
        for slot in self.some_held(pick, count):
            self.leases.give_back(slot)
            self.back[slot] = self.held.pop(slot)

    def some_held(self, pick: int, count: int) -> list[int]:
        slots = [*self.held]
        return slots[pick % len(slots) :][:count]

    @rule()
    def keep(self) -> None:
        """The keeper comes to it."""
        self.core.call_keeper()
        self.queued += [self.back[slot] for slot in sorted(self.back)]
        self.back.clear()

    @precondition(lambda self: self.stretches)
    @rule(pick=picks)
    def finish_stretch(self, pick: int) -> None:
        self.leases.empty_stretch(self.stretches.pop(pick % len(self.stretches))[0])

    @precondition(lambda self: self.stretches)
    @rule(pick=picks)
    def dissolve(self, pick: int) -> None:
        stretch, items = self.stretches.pop(pick % len(self.stretches))
        self.held.update(zip(self.leases.dissolve(stretch), items, strict=True))

    @invariant()
    def what_was_taken_is_there(self) -> None:
        in_use = self.in_use()
        assert {slot: loads(self.leases.bodies[slot]) for slot in in_use} == in_use
        assert self.core.table.held() == len(in_use)
        self.leases.check()


TestSlots = Slots.TestCase
TestSlots.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
