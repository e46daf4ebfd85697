"""Choose: which engine a new kernel gets.

Not here: the engines.
"""

import sys

from computicle.engine.op import Engine
from computicle.engine.readiness import ReadinessEngine, abandon_all

__all__ = ["abandon_all", "choose_engine"]


def choose_engine() -> Engine:
    """The engine for this system. Raises RuntimeError where there is none."""
    if sys.platform == "win32":
        raise RuntimeError("computicle runs on Linux and macOS; Windows has no engine yet")
    return ReadinessEngine()
