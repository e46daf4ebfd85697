"""In place: a wait without giving way, for there is nobody to give way to.

If nothing is ready and no timer is set, whoever waits for a message may as well
sleep in the engine itself, without the way through the hub and back. That way
takes a third of what a small message takes there and back (bench/messages.py).

Rules:
  1. It is done only where the hub would do nothing else either.
  2. Whatever else happens is taken in by the engine, and left for the hub.
  3. What a signal handler raises meanwhile is for the main fiber, as anywhere
     in the kernel.

Not here: the usual way (park.py).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from computicle.engine.shared import SharedWire
    from computicle.scheduler.fiber import Fiber

__all__ = ["sleep_in_place"]


def sleep_in_place(me: "Fiber", wire: "SharedWire") -> bool:
    """Sleep until something has come.

    True: most likely something to read, at `wire`. False: something else, or this is no moment for it.
    """
    kernel = me.kernel
    if (
        kernel.ready
        or kernel.timers.next_deadline() is not None
        or kernel.predicates.watches
        or kernel.idler is not None
        or kernel.hooks is not None
        or kernel.crew.is_large()
    ):
        return False
    kernel.polling = True
    try:
        finished = kernel.engine.sleep_on(wire)
    except BaseException as error:
        kernel.polling = False
        kernel.interrupt_main(error)
        return False
    me.credit = me.limit
    if not finished and not kernel.late:
        kernel.polling = False
        return True
    kernel.give_out(finished)
    return False
