"""Park: the only suspend, and the only wake.

The ready queue holds runners: carriers, and whatever else has a `switch`.
Switching to one runs somebody else, and returns when the caller is run again;
so the whole act of giving way is to count down the turn and switch to the
next (turn.py; written out where it is hot: here, in `yield_` and in what a
carrier runs).

Rules:
  1. A parked fiber's `why` says what it waits for and knows how to call it
     off. It is set before anybody can find the fiber, and waking clears it
     first: a fiber is woken once. Setting it is the caller's: a handler of
     the program's own may strike right after, and wake the fiber before it
     has come to park.
  2. A wake given stands. Whoever wants to interrupt a fiber looks at `why`;
     one that has been woken meets the interruption at its next wait.
  3. A fiber whose `why` is set and that runs all the same is being asked its
     predicate, or stands for the kernel itself: then waiting is an error.
  4. `credit` counts down the words done without waiting. With none left, the
     next word that may wait looks around first. `limit` is what a wait
     refills it with: nothing for a fiber that is cancelled, so that it looks
     around at once. Then the credit counts on below zero, and is as much
     higher again when that is over.

A recursion of the program's may end anywhere, also in the middle of a word,
in a RecursionError. Then the word must not have begun, or must be done to its
end: so the way to the next runner has one that needs no room, through the
hub; and words that go deep make sure of their room before they begin.

Not here: who is cancelled (region.py), what runs when nothing is ready
(kernel.py), what there is to wait for (line.py, timers.py, predicates.py).
"""

import logging
from typing import TYPE_CHECKING, Any, Protocol

from computicle.scheduler.carrier import here
from computicle.scheduler.errors import Cancelled

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = [
    "CREDIT",
    "ROOM_TO_LEAVE",
    "Opening",
    "Runner",
    "Why",
    "arrive",
    "being_asked",
    "check_room",
    "count_cancelled",
    "give_way",
    "interrupt",
    "look_around",
    "park",
    "wake",
]

CREDIT = 64  # words a fiber may complete in a row before it gives way
ROOM = 10  # calls in each other; words go no deeper while they cannot be undone (test_recursion.py)
ROOM_TO_LEAVE = ROOM + 6  # for leaving a scope, which may cancel it, which makes sure of its own room
SWALLOWED_MAX = 100  # cancellations ignored before we say so, once

_log = logging.getLogger("computicle")


class Runner(Protocol):
    """An entry of the ready queue."""

    def switch(self) -> Any:
        """Run it; returns when the caller is run again."""


class Why(Protocol):
    """What a fiber waits for; str() names it."""

    def call_off(self, fiber: Any, /) -> None:
        """Strike the fiber off, if it still stands there: nothing else will wake it. The caller clears its `why`.

        Twice is once: a handler of the program's own may come in between.
        """


class Opening:
    """What a fiber is parked for before its first step and gets as its first argument, if that must be told the end."""

    __slots__ = ()

    def end(self) -> None:
        """The fiber will never begin: leave nothing behind."""
        raise NotImplementedError


def park(me: "Fiber") -> Any:
    """Suspend until woken, for the `why` it has; the value the wake brought. Raises what interrupted it."""
    if not me.limit:
        _look_again(me)
    turn = me.kernel.turn
    turn.left -= 1
    if turn.left > 0 and me.ready:
        runner = me.ready.popleft()
        try:
            runner.switch()
        except RecursionError:
            me.ready.appendleft(runner)
            me.kernel.hub.switch()
    else:
        try:
            turn.end()
        except RecursionError:
            me.kernel.hub.switch()
    me.credit = me.limit
    if me.error is None:
        value = me.value
        me.value = None
        return value
    return arrive(me)


def _look_again(me: "Fiber") -> None:
    """About to be parked: a handler of the program's own may have cancelled it since it has looked around."""
    why: object = me.why
    if why is not None and why is not me.region and me.doomed():
        interrupt(me, Cancelled())


def arrive(me: "Fiber") -> Any:
    """Take what the wake brought: a value to return or an error to raise."""
    value, error = me.value, me.error
    me.value = me.error = None
    if error is None:
        return value
    try:
        raise error
    finally:
        del error  # the traceback holds this frame: without this they would hold each other


def wake(fiber: "Fiber", value: Any = None) -> bool:
    """Let a parked fiber go on with `value`. Its `why` must know that it is leaving.

    False: a handler of the program's own has cancelled it since the caller found it. Then nothing was handed over, and
    the next one in line is the one to wake.
    """
    if fiber.why is None:
        return False
    fiber.why = None
    fiber.value = value
    fiber.ready.append(fiber.runner)
    return True


def interrupt(fiber: "Fiber", error: BaseException) -> bool:
    """Call a parked fiber off what it waits for, and raise `error` in it. False: it is not parked, or not any more."""
    if fiber.why is not None:
        fiber.why.call_off(fiber)
    if fiber.why is None:  # asked once more: a handler of the program's own may have woken it meanwhile
        return False
    fiber.why = None
    fiber.error = error
    fiber.ready.append(fiber.runner)
    return True


def give_way(me: "Fiber") -> None:
    """Let the others run once."""
    me.ready.append(me.runner)
    try:
        me.kernel.turn.pass_on()
    except RecursionError:
        me.kernel.hub.switch()


def look_around(me: "Fiber") -> None:
    """Out of credit: give way, then raise what is due. Else the credit is refilled.

    Raises:
        RuntimeError: called by a predicate, which may not wait.
        Cancelled: the fiber is cancelled.
    """
    if being_asked(me):
        raise RuntimeError(
            "a predicate may not wait, nor may a hook, a finaliser or a signal handler that the kernel runs "
            f"(waiting for {me.waits_for or 'its turn'})"
        )
    if not me.kernel.has_pending(me):
        give_way(me)
        me.credit = me.limit
    if me.kernel.has_pending(me):
        raise me.kernel.take_pending()
    if me.doomed():
        count_cancelled(me)
        raise Cancelled


def being_asked(me: "Fiber") -> bool:
    """True if what runs in its name is its predicate, on its own stack or on the kernel's."""
    return me.why is not None or me.runner is not here()


def check_room(calls: int = ROOM) -> None:
    """Raise RecursionError now, rather than half-way, if there is no room for so many calls in each other."""
    if calls:
        check_room(calls - 1)


def count_cancelled(fiber: "Fiber") -> None:
    """Cancelled is raised in it, because it waits although it is cancelled."""
    fiber.swallowed = getattr(fiber, "swallowed", 0) + 1
    if fiber.swallowed == SWALLOWED_MAX:
        _log.warning(
            "fiber %r has swallowed Cancelled %d times and waits again at %s; let it pass (use `finally` to clean up)",
            fiber.name,
            fiber.swallowed,
            fiber.where,
        )
