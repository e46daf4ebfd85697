"""The crew: how many idle carriers are kept, for how long, and that ending them holds nobody up."""

from collections import deque

import pytest

from computicle import current, sleep, spawn
from computicle.engine.op import Op
from computicle.engine.sim import SimEngine
from computicle.scheduler import crew as crew_module
from computicle.scheduler.carrier import Carrier, end_in_turn, fiber_here
from computicle.scheduler.crew import IDLE_MIN, KEEP_S, SLICE, SPARE_MIN, Crew
from computicle.testing import simulate
from tests.contract.helpers import turns

MANY = 3_000


def crew_here() -> Crew:
    return current().kernel.crew


def burst(count: int) -> None:
    """So many fibers that wait at the same time."""
    fibers = [spawn(sleep, 0.1) for _ in range(count)]
    for fiber in fibers:
        fiber.join()


SLICE_S = 0.001


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many carriers were ended each time."""
    counts: list[int] = []

    def count(carriers: list[Carrier]) -> None:
        counts.append(len(carriers))
        end_in_turn(carriers)

    monkeypatch.setattr(crew_module, "end_in_turn", count)
    return counts


@pytest.fixture
def slow_endings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time takes a millisecond of the simulated clock."""
    end = vars(crew_module)["end_in_turn"]  # with the count of `ended`

    def end_slowly(carriers: list[Carrier]) -> None:
        fiber = fiber_here()
        if fiber is not None:  # else the kernel is being closed
            engine = fiber.kernel.engine
            assert isinstance(engine, SimEngine)
            engine.time += SLICE_S
        end(carriers)

    monkeypatch.setattr(crew_module, "end_in_turn", end_slowly)


def test_a_burst_finds_the_carriers_of_the_last_one(ended: list[int]) -> None:
    def main() -> None:
        for _ in range(10):
            burst(MANY)
            sleep(KEEP_S / 2)
        assert crew_here()._made == MANY
        assert not ended

    simulate(main)


def test_after_a_burst_those_that_nobody_needs_are_ended(ended: list[int]) -> None:
    def main() -> None:
        burst(MANY)
        sleep(KEEP_S * 0.9)
        assert not ended
        sleep(KEEP_S * 1.2)
        crew_here().check()
        assert len(crew_here().idle) == IDLE_MIN
        assert sum(ended) == MANY - IDLE_MIN

    simulate(main)


def test_what_a_smaller_burst_needs_is_kept(ended: list[int]) -> None:
    def main() -> None:
        burst(MANY)
        for _ in range(5):
            sleep(KEEP_S / 2)
            burst(MANY // 2)
            sleep(KEEP_S / 2)
        assert sum(ended) == MANY - MANY // 2 - IDLE_MIN
        assert crew_here()._made == MANY

    simulate(main)


def test_what_a_burst_needs_that_does_not_wait_is_kept(ended: list[int]) -> None:
    """It is over when the kernel sleeps, but was seen when it looked outside."""

    def main() -> None:
        burst(MANY)
        for _ in range(5):
            sleep(KEEP_S / 2)
            fibers = [spawn(turns, 10) for _ in range(MANY)]
            for fiber in fibers:
                fiber.join()
            sleep(KEEP_S / 2)
        assert not ended
        assert crew_here()._made == MANY

    simulate(main)


def test_few_are_ended_at_a_time(ended: list[int]) -> None:
    def main() -> None:
        burst(MANY)
        sleep(KEEP_S * 3)
        assert max(ended) == SLICE

    simulate(main)


def test_whoever_becomes_ready_does_not_wait_for_the_ending(ended: list[int], slow_endings: None) -> None:
    def main() -> None:
        late = []
        burst(MANY)
        now = current().kernel.now
        while sum(ended) < MANY - IDLE_MIN:
            due = now() + SLICE_S / 2
            sleep(SLICE_S / 2)
            late.append(now() - due)
        assert max(late) < SLICE_S * 1.1

    simulate(main)


def test_a_burst_meanwhile_takes_those_that_are_left(ended: list[int], slow_endings: None) -> None:
    def main() -> None:
        burst(MANY)
        while sum(ended) < MANY / 4:
            sleep(SLICE_S)
        gone = sum(ended)
        assert gone < MANY / 2
        burst(MANY)
        assert crew_here()._made == MANY + gone

    simulate(main)


def test_a_kernel_that_sleeps_comes_back_only_while_there_is_something_to_end() -> None:
    """It must not look again and again, only because it keeps some."""
    polls: list[float | None] = []

    def main() -> None:
        burst(MANY)
        engine = current().kernel.engine
        poll = engine.poll

        def counted(timeout: float | None) -> deque[Op]:
            polls.append(timeout)
            return poll(timeout)

        engine.poll = counted  # type: ignore[method-assign]
        sleep(KEEP_S * 100)
        assert len(polls) < (MANY - IDLE_MIN) / SLICE + 5
        assert max(timeout for timeout in polls if timeout is not None) > KEEP_S * 90

    simulate(main)


def test_few_idle_ones_are_kept_for_good(ended: list[int]) -> None:
    def main() -> None:
        burst(IDLE_MIN + SPARE_MIN)
        sleep(KEEP_S * 10)
        assert not crew_here().counting
        assert len(crew_here().idle) == IDLE_MIN + SPARE_MIN
        assert not ended

    simulate(main)


def test_all_are_ended_with_the_kernel(ended: list[int], slow_endings: None) -> None:
    """Also those that were dismissed, and not yet ended."""

    def main() -> None:
        burst(MANY)
        while not ended:
            sleep(SLICE_S)

    simulate(main)
    assert sum(ended) == MANY
