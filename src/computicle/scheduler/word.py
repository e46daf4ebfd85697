"""Word: what every word that may wait does first.

Not here: the words (words.py), their arguments (arguments.py).
"""

from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import running
from computicle.scheduler.park import look_around

__all__ = ["entering"]


def entering() -> Fiber:
    """The running fiber, about to do a word that may wait.

    Raises:
        Cancelled: it is cancelled.
        RuntimeError: it may not wait here (a predicate, a helper thread).
    """
    me = running()
    if me.credit <= 0:
        look_around(me)
    return me
