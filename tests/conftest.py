"""What every test may use: a way to run a program on each engine."""

from collections import deque
from collections.abc import Callable
from typing import Any

import pytest

from computicle.engine.op import Op
from computicle.engine.readiness import ReadinessEngine
from computicle.scheduler.flows import run_apart
from computicle.testing import simulate


class WarpedReadiness(ReadinessEngine):
    """Real descriptors, virtual clock: a wait for time alone takes none.

    For programs that wait for time or for descriptors, but do not race the two.
    """

    def __init__(self) -> None:
        super().__init__()
        self._ahead = 0.0
        clock = self.now
        self.now = lambda: clock() + self._ahead

    def poll(self, timeout: float | None) -> deque[Op]:
        if timeout is None or self.busy():
            return super().poll(timeout)
        finished = super().poll(0.0)
        if not finished:
            self._ahead += timeout
        return finished


class World:
    """Runs programs on one kind of engine."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, main: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.name == "sim":
            return simulate(main, *args, **kwargs)
        return run_apart(WarpedReadiness(), None, main, args, kwargs)


@pytest.fixture(params=["sim", "readiness"])
def world(request: pytest.FixtureRequest) -> World:
    """The contract suite: one test, every engine."""
    return World(request.param)
