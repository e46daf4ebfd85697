"""Report: who is alive and what each waits for, as text.

Not here: when to report (kernel.py: Deadlock), the same as data (words.py:
fibers).
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = ["describe"]

LINES_MAX = 100  # a report of a hundred thousand fibers helps nobody


def describe(fibers: "Iterable[Fiber]") -> str:
    """One line a fiber: name, file and line, what it waits for."""
    named = list(fibers)
    lines = [
        f"  {fiber.name}  at {fiber.where}  waits for {fiber.waits_for or 'its turn'}" for fiber in named[:LINES_MAX]
    ]
    if len(named) > LINES_MAX:
        lines.append(f"  ... and {len(named) - LINES_MAX} more")
    return "\n".join(lines)
