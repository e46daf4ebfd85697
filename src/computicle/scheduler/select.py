"""Select: one wait for several sources, taking from exactly one.

Rules:
  1. What is there already is taken at once, from the first source that has it.
  2. Else the fiber stands in all lines, and whoever serves it takes it out of
     the others in the same step: nothing is taken from them.

Not here: the sources (channel.py, fiber.py, a mailbox in worlds/).
"""

from typing import Any, Protocol

from computicle.scheduler.fiber import Fiber
from computicle.scheduler.line import Choice, Line, Taken

__all__ = ["Source", "select_from"]


class Source(Protocol):
    """Something `select` can take from."""

    def take(self) -> Taken | None:
        """What is there now, taken; None if there is nothing. Raises if there never will be."""
        ...

    def taking_line(self) -> Line:
        """Where to stand until there is something."""
        ...


def select_from(me: Fiber, sources: tuple[Source, ...], timeout: float | None) -> tuple[Source, Any]:
    """`select`, once its arguments are known to be good."""
    me.credit -= 1
    for source in sources:
        taken = source.take()
        if taken is not None:
            return source, taken.value
    lines = [source.taking_line() for source in sources]
    choice = Choice(lines)
    value = choice.wait(me, timeout)
    assert choice.winner is not None
    source = sources[lines.index(choice.winner)]
    if isinstance(source, Fiber):
        return source, source.result()
    return source, value
