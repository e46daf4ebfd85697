"""The words: plain sequential code in, thousands of conversations out.

Times are seconds. A word that may wait says so; the others never give way.
Words that may wait raise Cancelled in a fiber that has been cancelled, and
give way once after 64 completions in a row without a wait. They work inside
`run`, and outside it too: there the calling thread's own flow is the main
fiber, and the others run while it waits.

Not here: how any of it works (scheduler/, net/). Each word is a few lines.
"""

import math
from collections.abc import Callable, Hashable
from contextvars import copy_context
from functools import partial
from typing import Any, ParamSpec, TypeVar

import computicle.scheduler.forks  # noqa: F401  # it sees to what a forked child does first
from computicle.engine.op import ClosedError
from computicle.net.connect import connect
from computicle.net.listener import Listener, listen
from computicle.net.serve import serve
from computicle.net.stream import IncompleteRead, LineTooLong, Stream
from computicle.scheduler.arguments import checked_callable, checked_seconds, checked_timeout, name_of
from computicle.scheduler.carrier import here, outside_fibers
from computicle.scheduler.channel import Channel
from computicle.scheduler.crowd import gather_all, race_all
from computicle.scheduler.deadlines import Deadline, FailAfter, Shield
from computicle.scheduler.errors import Cancelled, Deadlock, FiberCancelled
from computicle.scheduler.fiber import Fiber, new_fiber
from computicle.scheduler.flows import adopt, run_main, running, stop_run
from computicle.scheduler.local import FiberLocal
from computicle.scheduler.locks import Lock, Semaphore
from computicle.scheduler.park import look_around, park
from computicle.scheduler.predicates import Watch
from computicle.scheduler.scope import Scope
from computicle.scheduler.select import select_from
from computicle.scheduler.standing import (
    Forever,
    at_moment,
    at_predicate,
    at_signal,
    each_signal,
    each_time_true,
    on_beat,
)
from computicle.scheduler.timeouts import sleep_for
from computicle.scheduler.word import entering

__all__ = [
    "Cancelled",
    "Channel",
    "ClosedError",
    "Deadlock",
    "Fiber",
    "FiberCancelled",
    "FiberLocal",
    "IncompleteRead",
    "LineTooLong",
    "Listener",
    "Lock",
    "Scope",
    "Semaphore",
    "Stream",
    "connect",
    "current",
    "delay",
    "fail_after",
    "fibers",
    "gather",
    "listen",
    "move_on_after",
    "offload",
    "on_signal",
    "periodic",
    "race",
    "run",
    "scope",
    "select",
    "serve",
    "shield",
    "signal_all",
    "signal_one",
    "sleep",
    "spawn",
    "stop",
    "wait_for",
    "wait_signal",
    "when",
    "whenever",
    "yield_",
]

P = ParamSpec("P")
T = TypeVar("T")

# Runs and fibers.


def run(main: Callable[..., T] | None = None, /, *args: Any, **kwargs: Any) -> T | None:
    """Start the kernel in this thread and run `main(*args, **kwargs)` in the root scope.

    Waits until main and every fiber of its scope have ended. Without a main,
    until what was spawned before has ended.

    Returns:
        main's value; None without a main, or if the run was stopped before main had returned.

    Raises:
        ExceptionGroup: fibers failed and nobody waited for them; main's own error is among them.
        Exception: main's own error, if it is the only one.
        FiberCancelled: main was cancelled, other than by `stop`.
        Deadlock: nothing can happen any more, and fibers still wait.
        KeyboardInterrupt, SystemExit: Ctrl-C; SIGTERM, or a fiber that wants the program to end.
        RuntimeError: called under another run, or in a fiber.
    """
    if main is not None:
        checked_callable("run", "main", main)
    elif kwargs:
        raise TypeError(f"run: {', '.join(kwargs)} would be for main, which is given first, by position; there is none")
    return run_main(main, args, kwargs)  # type: ignore[no-any-return]


def stop() -> None:
    """End the run: every fiber is cancelled (the handlers of a `serve` once its grace is over).

    Never waits; the caller goes on to its next wait.

    Raises:
        RuntimeError: there is no run.
    """
    stop_run()


def spawn(fn: Callable[..., T], /, *args: Any, name: str | None = None, **kwargs: Any) -> Fiber[T]:
    """Queue `fn(*args, **kwargs)` as a new fiber of the nearest enclosing scope. Never waits.

    The fiber gets a copy of the caller's context variables.

    Args:
        name: for listings; the function's own if not given.

    Returns:
        The Fiber: join it for its value, or leave it to its scope.
    """
    given: object = fn  # else type checkers take it that what follows is never reached
    if not callable(given):
        checked_callable("spawn", "fn", fn)
    try:
        me = here().fiber
    except AttributeError:
        me = adopt()
    # Scope.begin, written out (bench/spawning.py). Hooks are told by the queue.
    scope = me.scope
    fiber = new_fiber(me.kernel, scope, fn, args, kwargs or None, name, copy_context() or None)
    scope.fibers[fiber] = None
    me.ready.append(fiber)
    return fiber


def yield_() -> None:
    """Let the others run: give way once. Always waits, if only for their turn."""
    try:
        me = here().fiber
    except AttributeError:
        me = adopt()
    if me.limit:
        me.ready.append(me.runner)
        # give_way, written out (bench/yielding.py).
        turn = me.kernel.turn
        turn.left -= 1
        if turn.left > 0:
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
    else:
        look_around(me)


def current() -> Fiber:
    """The running fiber. Never waits."""
    return running()


def fibers() -> list[Fiber]:
    """The fibers of this thread that are alive. Never waits.

    Each has a `name`, `where` it stands (file and line), and what it `waits_for`.
    """
    return list(running().kernel.alive())


# Time.


def sleep(seconds: float) -> None:
    """Wait for `seconds`. Always gives way, also for 0.

    Args:
        seconds: zero or more; math.inf sleeps until cancelled.
    """
    seconds = checked_seconds("sleep", "seconds", seconds)
    me = entering()
    if seconds == 0:
        yield_()
    elif seconds == math.inf:
        me.why = Forever()
        park(me)
    else:
        sleep_for(me, seconds)


def delay(fn: Callable[[], T], seconds: float) -> Fiber[T]:
    """Call `fn()` once, `seconds` from now, in a fiber of its own. Never waits.

    Returns:
        The Fiber: its value is fn's; cancel it to call it off.
    """
    checked_callable("delay", "fn", fn)
    seconds = checked_seconds("delay", "seconds", seconds)
    return at_moment(running(), fn, seconds)


def periodic(fn: Callable[[], Any], seconds: float) -> Fiber[None]:
    """Call `fn()` every `seconds`, in one fiber, the first time after one period. Never waits.

    The beat is kept: it does not drift, and beats that are missed because
    `fn` took too long are skipped.

    Args:
        seconds: the period, more than zero.

    Returns:
        The Fiber: cancel it to end the beat.
    """
    checked_callable("periodic", "fn", fn)
    seconds = checked_seconds("periodic", "seconds", seconds)
    if seconds == 0:
        raise ValueError("periodic: seconds must be more than zero")
    return on_beat(running(), fn, seconds)


# Predicates.


def wait_for(predicate: Callable[[], T], *, timeout: float | None = None, every: float | None = None) -> T:
    """Wait until `predicate()` is true. Returns at once if it is.

    It is asked again after other fibers have run, and once more right before
    this returns: it is true then. It may not wait. (Not asyncio's wait_for.)

    Args:
        timeout: seconds to wait at most.
        every: ask on this beat, in seconds, as well: for predicates about the outside world.

    Returns:
        Its truthy value.

    Raises:
        TimeoutError: it was not true within `timeout` seconds.
        Exception: what the predicate raised; RuntimeError if it used a word that waits.
    """
    checked_callable("wait_for", "predicate", predicate)
    timeout = checked_timeout("wait_for", timeout)
    every = _checked_beat("wait_for", every)
    me = entering()
    return Watch(me, predicate, every).wait(me, timeout)  # type: ignore[no-any-return]


def when(predicate: Callable[[], Any], fn: Callable[[], T], *, every: float | None = None) -> Fiber[T]:
    """Call `fn()` once, when `predicate()` is true, in a fiber of its own. Never waits.

    Args:
        every: as in wait_for.

    Returns:
        The Fiber: its value is fn's, its error the predicate's or fn's; cancel it to wait no more.
    """
    every = _checked_watch("when", predicate, fn, every)
    return at_predicate(running(), predicate, fn, every)


def whenever(predicate: Callable[[], Any], fn: Callable[[], Any], *, every: float | None = None) -> Fiber[None]:
    """Call `fn()` each time `predicate()` is found true, in one fiber. Never waits.

    Level-triggered: as long as it stays true, `fn` is called again and again,
    and the others run in between.

    Args:
        every: as in wait_for.

    Returns:
        The Fiber: cancel it to end this.
    """
    every = _checked_watch("whenever", predicate, fn, every)
    return each_time_true(running(), predicate, fn, every)


def _checked_watch(word: str, predicate: object, fn: object, every: float | None) -> float | None:
    checked_callable(word, "predicate", predicate)
    checked_callable(word, "fn", fn)
    return _checked_beat(word, every)


def _checked_beat(word: str, every: float | None) -> float | None:
    if every is None:
        return None
    every = checked_seconds(word, "every", every)
    if every == 0:
        raise ValueError(f"{word}: every must be more than zero seconds")
    return every if every < math.inf else None


# Signals.


def wait_signal(name: Hashable, *, timeout: float | None = None) -> Any:
    """Wait until somebody gives the signal `name`. Signals given before are not seen.

    Returns:
        The value it was given with.

    Raises:
        TimeoutError: it was not given within `timeout` seconds.
    """
    _checked_name("wait_signal", name)
    timeout = checked_timeout("wait_signal", timeout)
    me = entering()
    return me.kernel.signals.wait(me, name, timeout)


def on_signal(fn: Callable[..., Any], name: Hashable, *, every: bool = False) -> Fiber:
    """Call `fn` when the signal `name` is given, in a fiber of its own. Never waits.

    It waits from this moment: a signal given right after is not lost.

    Args:
        fn: called with the signal's value if it has a required positional parameter, else without arguments.
        every: call it each time, in order, not just once. Then up to 1,024 values wait while it is busy.

    Returns:
        The Fiber: cancel it to wait no more. Its value is fn's, unless with `every`.
    """
    checked_callable("on_signal", "fn", fn)
    _checked_name("on_signal", name)
    return (each_signal if every else at_signal)(running(), fn, name)


def signal_one(name: Hashable, value: Any = None) -> bool:
    """Give the signal `name` to the longest waiter. Never waits, and is not kept.

    Returns:
        True if somebody waited.

    Raises:
        OverflowError: the waiter is an on_signal(every=True) with 1,024 values waiting.
    """
    _checked_name("signal_one", name)
    return running().kernel.signals.give_one(name, value)


def signal_all(name: Hashable, value: Any = None) -> int:
    """Give the signal `name` to everybody who waits for it, first come, first woken. Never waits, and is not kept.

    Returns:
        How many they were.

    Raises:
        OverflowError: one of them is an on_signal(every=True) with 1,024 values waiting; nobody has been woken.
    """
    _checked_name("signal_all", name)
    return running().kernel.signals.give_all(name, value)


def _checked_name(word: str, name: Hashable) -> None:
    try:
        hash(name)
    except TypeError:
        raise TypeError(f"{word}: name must be hashable, like a str, a number or a tuple; not {name!r}") from None


# Scopes, deadlines, groups.


def scope() -> Scope:
    """A scope: `with scope() as s:` ends when every fiber spawned in it has ended.

    A fiber's error that nobody waited for cancels the others, and is raised
    at the end, in an ExceptionGroup. `s.spawn` and `s.cancel` work on it.
    Leaving it waits.
    """
    running()
    return Scope()


def fail_after(seconds: float) -> FailAfter:
    """`with fail_after(2):` cuts short what this fiber does inside after 2 seconds, with TimeoutError.

    Cancelled by hand it raises TimeoutError as well, and says so. Its deadline does not reach fibers spawned inside.
    """
    seconds = checked_seconds("fail_after", "seconds", seconds)
    running()
    return FailAfter(seconds)


def move_on_after(seconds: float) -> Deadline:
    """`with move_on_after(2) as d:` cuts short what this fiber does inside after 2 seconds, and goes on behind it.

    `d.expired` tells whether that happened, and not if it was cancelled by hand. Its deadline does not reach fibers spawned inside.
    """
    seconds = checked_seconds("move_on_after", "seconds", seconds)
    running()
    return Deadline(seconds)


def shield() -> Shield:
    """`with shield():` cancellation from outside is held back until this is left. For clean-up that must wait."""
    running()
    return Shield()


def race(*fns: Callable[[], T]) -> T:
    """Call all functions at once, each in a fiber; the first value wins and the rest are cancelled.

    Waits until they have ended.

    Args:
        fns: functions, not calls; at least one.

    Raises:
        Exception: the first error of any, also if it comes from the clean-up of one that has lost; the rest are cancelled.
    """
    _checked_functions("race", fns)
    if not fns:
        raise ValueError("race: at least one function is needed")
    return race_all(entering(), fns)  # type: ignore[no-any-return]


def gather(*fns: Callable[[], T]) -> list[T]:
    """Call all functions at once, each in a fiber; their values, in the order of the functions. Waits for all.

    Args:
        fns: functions, not calls.

    Raises:
        Exception: the first error of any; the rest are cancelled.
    """
    _checked_functions("gather", fns)
    return gather_all(entering(), fns)


def _checked_functions(word: str, fns: tuple[Any, ...]) -> None:
    if len(fns) == 1 and isinstance(fns[0], (list, tuple)):
        raise TypeError(f"{word}: give the functions one by one: {word}(*fns)")
    for index, fn in enumerate(fns):
        checked_callable(word, f"argument {index + 1}", fn)


def select(*sources: Any, timeout: float | None = None) -> tuple[Any, Any]:
    """Wait for several sources at once, and take from exactly one.

    Args:
        sources: channels (a value is received) and fibers (joined). If several have something, the first one is taken.
        timeout: seconds to wait at most.

    Returns:
        The source, and what was taken.

    Raises:
        TimeoutError: nothing came within `timeout` seconds.
        ClosedError: a channel is closed and empty.
        Exception: the error of a fiber among the sources.
    """
    if not sources:
        raise ValueError("select: at least one source is needed")
    for source in sources:
        if isinstance(source, type) or not (hasattr(source, "take") and hasattr(source, "taking_line")):
            raise TypeError(f"select: cannot take from {source!r}: give channels or fibers")
    timeout = checked_timeout("select", timeout)
    return select_from(entering(), sources, timeout)


# Helper threads.


def offload(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a blocking call on a helper thread; only this fiber waits for it.

    The call sees a copy of the caller's context variables. Words cannot be
    used in it. If the fiber is cancelled, a call that has not begun never
    begins; one that has goes on in its thread, and its result is dropped.

    Returns:
        fn's value.

    Raises:
        Exception: what fn raised, with its traceback.
    """
    checked_callable("offload", "fn", fn)
    me = entering()
    context = copy_context()
    call = partial(outside_fibers, context.run, fn, *args, **kwargs)
    op = me.kernel.engine.call(call, f"{name_of(fn)} on a helper thread", me)
    return me.kernel.wait_for_op(me, op)  # type: ignore[no-any-return]
