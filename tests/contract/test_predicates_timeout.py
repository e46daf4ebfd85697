# mypy: disable-error-code="func-returns-value"
"""Predicates with a timeout."""

import pytest

from computicle import *
from computicle.engine.sim import SimEngine
from computicle.scheduler.flows import run_apart
from tests.conftest import World
from tests.contract.helpers import Asked, turns


class TestTimeout:
    def test_it_comes(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(TimeoutError, match=r"waited 5 s for predicate .*test_predicates_timeout.py:\d+"):
                wait_for(lambda: False, timeout=5)

        world.run(main)

    def test_zero_asks_once(self, world: World) -> None:
        asked = Asked()

        def main() -> None:
            assert wait_for(lambda: 5, timeout=0) == 5
            with pytest.raises(TimeoutError):
                wait_for(asked, timeout=0)

        world.run(main)
        assert asked.count >= 1

    @pytest.mark.parametrize("still", [True, False])
    def test_while_it_is_ready(self, still: bool) -> None:
        """Found true, then due. Still true as it goes on, the truth counts; no longer true, the timeout does."""
        engine = SimEngine()
        items: list[int] = []

        def main() -> str:
            waiter = spawn(lambda: wait_for(lambda: items, timeout=5))
            kernel = current().kernel
            turns(2)
            items.append(1)
            kernel.predicates.sweep(kernel.hub)
            assert waiter.waits_for is None  # ready, and not yet running
            engine.time += 10
            kernel.timers.fire(kernel.now())
            if not still:
                items.clear()
            try:
                return "true" if waiter.join() is items else "odd"
            except TimeoutError:
                return "timeout"

        assert run_apart(engine, None, main, (), {}) == ("true" if still else "timeout")
