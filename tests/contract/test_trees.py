# mypy: disable-error-code="func-returns-value"
"""Trees of scopes, with errors, deadlines, shields and cancels at random: what must hold whatever happens.

Every fiber ends, every finally block that was entered is left, no error is lost, nothing is left behind.
"""

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from computicle import *
from computicle.testing import simulate


class Planned(Exception):
    """An error that the tree raises on purpose."""


class Tree:
    """Fibers that do something at random, and what they left behind."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.entered = 0
        self.left = 0
        self.begun: list[Fiber] = []
        self.raised: list[Planned] = []
        self.claimed: list[BaseException] = []
        self.scopes: list[Any] = []
        self.channel = Channel[int](1)
        self.lock = Lock()
        self.inside = 0

    def node(self, depth: int) -> Any:
        self.begun.append(current())
        self.entered += 1
        try:
            for _ in range(self.random.randint(2, 7)):
                self.step(depth)
            return depth
        finally:
            try:
                if self.random.random() < 0.2:
                    with shield(), move_on_after(3):
                        sleep(self.random.choice([0, 1, 2]))
                if self.random.random() < 0.05:
                    self.fail()
            finally:
                self.left += 1

    def fail(self) -> None:
        error = Planned(len(self.raised))
        self.raised.append(error)
        raise error

    def step(self, depth: int) -> None:
        step = self.random.choice(self.STEPS)
        getattr(self, f"do_{step}")(depth)

    STEPS = (
        "yield sleep sleep spawn spawn scope scope deadline race gather join signal wait wait_for channel lock "
        "cancel cancel fail on_signal when"
    ).split()

    def child(self, depth: int) -> Any:
        return self.node(depth - 1) if depth > 0 else sleep(self.random.random())

    def do_yield(self, _depth: int) -> None:
        yield_()

    def do_sleep(self, _depth: int) -> None:
        sleep(self.random.choice([0, 0.5, 1, 2]))

    def do_spawn(self, depth: int) -> None:
        spawn(self.child, depth)

    def do_scope(self, depth: int) -> None:
        try:
            with scope() as s:
                self.scopes.append(s)
                for _ in range(self.random.randint(0, 3)):
                    s.spawn(self.child, depth)
                self.step(depth - 1) if depth > 0 else None
        except* Planned as group:
            self.claim(group)

    def do_deadline(self, depth: int) -> None:
        with move_on_after(self.random.choice([0, 0.5, 1])):
            self.child(depth)

    def do_race(self, depth: int) -> None:
        self.together(race, depth)

    def do_gather(self, depth: int) -> None:
        self.together(gather, depth)

    def together(self, word: Any, depth: int) -> None:
        try:
            word(lambda: self.child(depth), lambda: self.child(depth))
        except Planned as error:
            self.claim(error)
        except FiberCancelled:
            pass

    def do_join(self, _depth: int) -> None:
        fiber = self.random.choice(self.begun)
        if fiber is current():
            return
        try:
            fiber.join(timeout=self.random.choice([0, 1]))
        except (Planned, ExceptionGroup) as error:
            self.claim(error)
        except (FiberCancelled, TimeoutError):
            pass

    def do_signal(self, _depth: int) -> None:
        signal_all(self.random.randint(0, 2))

    def do_wait(self, _depth: int) -> None:
        try:
            wait_signal(self.random.randint(0, 2), timeout=2)
        except TimeoutError:
            pass

    def do_wait_for(self, _depth: int) -> None:
        bound = len(self.begun) + self.random.randint(0, 2)
        try:
            wait_for(lambda: len(self.begun) >= bound, timeout=self.random.choice([0, 2]))
            assert len(self.begun) >= bound
        except TimeoutError:
            pass

    def do_channel(self, _depth: int) -> None:
        try:
            if self.random.random() < 0.5:
                self.channel.send(1, timeout=1)
            else:
                select(self.channel, self.random.choice(self.begun), timeout=1)
        except (Planned, ExceptionGroup) as error:
            self.claim(error)
        except (FiberCancelled, TimeoutError, RuntimeError):
            pass  # RuntimeError: it would wait for itself

    def do_lock(self, _depth: int) -> None:
        if self.lock._holder is current():
            return
        with self.lock:
            self.inside += 1
            assert self.inside == 1
            try:
                sleep(0.25)
            finally:
                self.inside -= 1

    def do_cancel(self, _depth: int) -> None:
        if self.random.random() < 0.5 and self.scopes:
            self.random.choice(self.scopes).cancel()
        else:
            self.random.choice(self.begun[1:] or self.begun).cancel()

    def do_fail(self, _depth: int) -> None:
        if self.random.random() < 0.2:
            self.fail()

    def do_on_signal(self, depth: int) -> None:
        on_signal(lambda: self.child(depth), self.random.randint(0, 2), every=False)

    def do_when(self, depth: int) -> None:
        bound = len(self.begun) + self.random.randint(0, 3)
        when(lambda: len(self.begun) >= bound, lambda: self.child(depth))

    def claim(self, error: BaseException) -> None:
        if isinstance(error, BaseExceptionGroup):
            for inner in error.exceptions:
                self.claim(inner)
        else:
            self.claimed.append(error)

    def main(self) -> None:
        kernel = current().kernel
        try:
            with scope() as s:
                s.spawn(self.node, 4)
                s.spawn(self.node, 4)
        except* (Planned, Deadlock) as group:
            self.claim(group)
        kernel.timers.check()
        kernel.signals.check()
        kernel.predicates.check()
        assert fibers() == [current()]
        assert not kernel.signals._names
        assert not kernel.predicates.watches
        assert kernel.timers.next_deadline() is None


def grow(seed: int, shuffle: bool, caplog: pytest.LogCaptureFixture | None = None) -> Tree:
    tree = Tree(seed)
    simulate(tree.main, seed=seed, shuffle=shuffle)
    assert tree.entered == tree.left
    assert all(fiber.done for fiber in tree.begun)
    assert tree.inside == 0
    assert not tree.lock.locked
    return tree


def chain(error: BaseException) -> set[BaseException]:
    """It, and all that it was raised on top of."""
    found: set[BaseException] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        one = todo.pop()
        if one is not None and one not in found:
            found.add(one)
            todo += [one.__context__, one.__cause__]
            if isinstance(one, BaseExceptionGroup):
                todo += one.exceptions
    return found


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("block", range(10))
def test_trees(block: int, shuffle: bool, caplog: pytest.LogCaptureFixture) -> None:
    for seed in range(block * 40, block * 40 + 40):
        caplog.clear()
        tree = grow(seed, shuffle)
        seen = [error for error in tree.claimed if isinstance(error, Planned)]
        seen += [record.exc_info[1] for record in caplog.records if record.exc_info]  # type: ignore[misc]
        known = {one for error in seen for one in chain(error)}
        assert set(tree.raised) <= known, f"lost with seed {seed}"


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(), shuffle=st.booleans())
def test_any_tree(seed: int, shuffle: bool) -> None:
    grow(seed, shuffle)


def test_they_are_worth_growing() -> None:
    """The trees do come to what they are meant to try."""
    trees = [grow(seed, shuffle=False) for seed in range(60)]
    assert sum(len(tree.begun) for tree in trees) > 1500
    assert sum(len(tree.raised) for tree in trees) > 20
    assert sum("cancelled" in repr(fiber) for tree in trees for fiber in tree.begun) > 30
