"""Carrier: a stack for fibers to run on. The only file that knows greenlet.

Making a greenlet and entering it for the first time costs about five times as
much as handing the next job to a parked one, so a carrier runs one fiber
after the other and is kept for the next in between (crew.py).

`here().fiber` is the running fiber. A thread's own flow is a plain greenlet;
the kernel hangs its main fiber onto that (flows.py), and until then the
attribute is missing.

Not here: what a fiber is (fiber.py), how many carriers are kept (crew.py),
what they run (kernel.py).
"""

import sys
from collections.abc import Callable
from itertools import pairwise
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

import greenlet as _greenlet

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = ["Carrier", "Killed", "end_in_turn", "fiber_here", "frame_of", "here", "is_own_flow", "outside_fibers"]


class Carrier(_greenlet.greenlet):
    """A greenlet that knows whom it carries."""

    __slots__ = ("fiber", "number")

    fiber: "Fiber"
    number: int  # in the order of making

    def give_back(self) -> None:
        """Let whoever has made it go on."""
        assert self.parent is not None
        self.parent.switch()

    def kill(self) -> None:
        """End it where it stands, and come back here."""
        self.parent = _greenlet.getcurrent()
        self.throw()


Killed = _greenlet.GreenletExit
"""What is raised where a carrier stands that is killed."""

here = cast("Callable[[], Carrier]", _greenlet.getcurrent)
"""The running carrier."""


def end_in_turn(carriers: list[Carrier]) -> None:
    """Let idle ones return from what they run, each to the next and the last one back here. Empties the list."""
    if carriers:
        # Forwards: greenlet looks through all that a new parent leads to.
        for carrier, following in pairwise([*carriers, here()]):
            carrier.parent = following
        carriers[0].switch()
        # And freed in the same order. From the other end, each would be held by the one before, and all be freed inside
        # each other.
        carriers.reverse()
        while carriers:
            del carriers[-1]


def fiber_here() -> "Fiber | None":
    """The running fiber; None in a flow without a kernel."""
    return getattr(_greenlet.getcurrent(), "fiber", None)


def frame_of(runner: object) -> FrameType | None:
    """Where it stands: its innermost Python frame; None if it is no greenlet, so has not begun."""
    if runner is _greenlet.getcurrent():
        return sys._getframe(1)
    return runner.gr_frame if isinstance(runner, _greenlet.greenlet) else None


def outside_fibers(fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Call `fn` as if no fiber were running here, so that no word works in it.

    In a helper thread none is. An engine without threads makes its calls on the kernel's stack.
    """
    flow = here()
    fiber = fiber_here()
    if fiber is None:
        return fn(*args, **kwargs)
    del flow.fiber
    try:
        return fn(*args, **kwargs)
    finally:
        flow.fiber = fiber


def is_own_flow(carrier: Carrier) -> bool:
    """True for a thread's own flow, false for any greenlet made in it."""
    return carrier.parent is None
