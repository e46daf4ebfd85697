"""Standing: fibers that wait before they begin: for a moment, a predicate or a signal.

They are made parked, and stay records without a stack until what they wait for
comes. Then the function here is their first step, and calls the program's.

Rules:
  1. They wait from the call that makes them, not from their first step.
  2. Cancelled before that step, they never begin, and leave nothing behind.

Not here: the words and their arguments (words.py), what is waited for
(timeouts.py, predicates.py, signals.py).
"""

import inspect
import math
from collections.abc import Callable, Hashable
from typing import Any

from computicle.scheduler.arguments import name_of, shown
from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.park import arrive, check_room, give_way, look_around
from computicle.scheduler.predicates import Watch
from computicle.scheduler.region import is_doomed, strike
from computicle.scheduler.signals import Subscription
from computicle.scheduler.spots import calls_out
from computicle.scheduler.timeouts import Alarm, sleep_for
from computicle.scheduler.word import entering

__all__ = ["Forever", "at_moment", "at_predicate", "at_signal", "each_signal", "each_time_true", "on_beat"]

MANY = 2.0**53  # beats; with more, one more makes no difference to a float


class Forever:
    """What a fiber waits for that sleeps until it is cancelled."""

    def call_off(self, _fiber: Fiber) -> None:
        """Nothing else would wake it."""

    def __str__(self) -> str:
        return "nothing: it sleeps until cancelled"


def _standing(fiber: Fiber) -> Fiber:
    """It waits now; unless its scope is cancelled already: then nobody will come to cancel it."""
    if is_doomed(fiber):
        strike(fiber)
    return fiber


# Moments.


def at_moment(me: Fiber, fn: Callable[[], Any], seconds: float) -> Fiber:
    """`delay`, once its arguments are known to be good."""
    return _stand_until(me, fn, seconds, _after_alarm, (fn,))


def on_beat(me: Fiber, fn: Callable[[], Any], seconds: float) -> Fiber:
    """`periodic`, likewise."""
    return _stand_until(me, fn, seconds, _each_beat, (fn, seconds, me.kernel.now()))


def _stand_until(
    me: Fiber, fn: Callable[..., Any], seconds: float, body: Callable[..., Any], args: tuple[Any, ...]
) -> Fiber:
    check_room()
    due = me.kernel.now() + seconds
    fiber = me.scope.make(body, args, {}, name_of(fn))
    if due == math.inf:
        fiber.why = Forever()
    else:
        alarm = Alarm(fiber)
        me.kernel.timers.add(due, alarm)
        fiber.why = alarm
    return _standing(fiber)


@calls_out
def _after_alarm(fn: Callable[[], Any]) -> Any:
    arrive(here().fiber)
    return fn()


@calls_out
def _each_beat(fn: Callable[[], Any], period: float, start: float) -> None:
    me = here().fiber
    arrive(me)
    beat = 1
    while True:
        fn()
        # At least the next one: the quotient may come out a hair too small, and this one would come twice. With a
        # period next to nothing it may come out infinite, too.
        beat = max(beat, math.floor(min((me.kernel.now() - start) / period, MANY))) + 1
        entering()
        sleep_for(me, max(0.0, start + beat * period - me.kernel.now()))


# Predicates.


def at_predicate(me: Fiber, predicate: Callable[[], Any], fn: Callable[[], Any], every: float | None) -> Fiber:
    """`when`, once its arguments are known to be good."""
    return _stand_watching(me, predicate, fn, every, _once_true)


def each_time_true(me: Fiber, predicate: Callable[[], Any], fn: Callable[[], Any], every: float | None) -> Fiber:
    """`whenever`, likewise."""
    return _stand_watching(me, predicate, fn, every, _whenever_true)


def _stand_watching(
    me: Fiber, predicate: Callable[[], Any], fn: Callable[[], Any], every: float | None, body: Callable[..., Any]
) -> Fiber:
    check_room()
    fiber = me.scope.make(body, (), {}, name_of(fn))
    watch = Watch(fiber, predicate, every)
    fiber.args = (watch, fn)
    watch.stand(fiber, fiber.context)
    return _standing(fiber)


@calls_out
def _once_true(watch: Watch, fn: Callable[[], Any]) -> Any:
    watch.first(here().fiber)
    return fn()


@calls_out
def _whenever_true(watch: Watch, fn: Callable[[], Any]) -> None:
    me = here().fiber
    watch.first(me)
    while True:
        fn()
        if me.limit:
            give_way(me)
        else:
            look_around(me)
        watch.wait(entering(), None)


# Signals.


def at_signal(me: Fiber, fn: Callable[..., Any], name: Hashable) -> Fiber:
    """`on_signal`, once its arguments are known to be good."""
    check_room()
    fiber = me.scope.make(_one_signal, (fn, _takes_value(fn)), {}, name_of(fn))
    me.kernel.signals.stand(name, fiber)
    return _standing(fiber)


def each_signal(me: Fiber, fn: Callable[..., Any], name: Hashable) -> Fiber:
    """The same with `every`."""
    check_room()
    takes = _takes_value(fn)
    fiber = me.scope.make(_every_signal, (), {}, name_of(fn))
    subscription = me.kernel.signals.subscribe(name)
    fiber.args = (subscription, fn, takes)
    subscription.await_value(fiber)
    return _standing(fiber)


def _takes_value(fn: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        if isinstance(fn, type):  # int, str and the like can be called with nothing
            return False
        raise TypeError(
            f"on_signal: {shown(fn)} does not tell what arguments it takes: wrap it in a lambda, with the value as its "
            "parameter or without"
        ) from None
    return any(
        parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        and parameter.default is parameter.empty
        for parameter in parameters
    )


@calls_out
def _one_signal(fn: Callable[..., Any], takes: bool) -> Any:
    value = arrive(here().fiber)
    return fn(value) if takes else fn()


@calls_out
def _every_signal(subscription: Subscription, fn: Callable[..., Any], takes: bool) -> None:
    try:
        arrive(here().fiber)
        value = subscription.take()
        while True:
            if takes:
                fn(value)
            else:
                fn()
            value = subscription.next(entering())
    finally:
        subscription.end()
