"""Simulate: a whole program, in virtual time, repeatable from one number.

Not here: the simulated system itself (engine/sim.py, engine/simnet.py).
"""

import random
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from computicle.engine.sim import SimEngine
from computicle.engine.simnet import Network
from computicle.scheduler.flows import run_apart
from computicle.scheduler.park import Runner
from computicle.scheduler.traces import add_note

__all__ = ["simulate"]

T = TypeVar("T")


class ShuffledReady(deque[Runner]):
    """A ready queue out of which anybody may come next."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._random = random.Random(seed)

    def popleft(self) -> Runner:
        place = self._random.randrange(len(self))
        runner = self[place]
        del self[place]
        return runner


def simulate(
    main: Callable[..., T],
    *args: Any,
    seed: int = 0,
    shuffle: bool = False,
    network: Network | None = None,
    **kwargs: Any,
) -> T | None:
    """Run `main(*args, **kwargs)` as `run` does, on a simulated system.

    Sleeps take no real time. Connections go over a simulated network, and
    calls given to `offload` are made in place. The seed decides the order of
    completions and of equal deadlines, sizes, delays and faults: the same
    seed gives the same run.

    Args:
        seed: which of the possible runs this is.
        shuffle: let ready fibers run in any order, not only first in, first
            out: more than is promised, to find what a program takes for granted.
        network: delays and faults; kind, but slow and in pieces, if not given.

    Returns:
        main's value.

    Raises:
        What run raises, with a note that tells the seed.
    """
    engine = SimEngine(seed, network)
    ready = ShuffledReady(seed) if shuffle else None
    try:
        return run_apart(engine, ready, main, args, kwargs)  # type: ignore[no-any-return]
    except BaseException as error:
        add_note(error, f"simulated with seed={seed}{', shuffle=True' if shuffle else ''}, at {engine.now():.6f} s")
        raise
