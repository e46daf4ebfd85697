"""Predicates: conditions that fibers wait for, asked only after something ran.

A condition over a program's own state can only become true when some fiber
has changed that state. So the kernel asks once a turn, after fibers have run,
and never while nothing happens. A condition on the outside world is asked on
a beat as well (`every`).

Rules:
  1. Asked in the order of waiting, once a turn, by the kernel, in the
     context variables of the waiter; and once more by the waiter itself right
     before it goes on: if it is no longer true, it waits on in its old place.
  2. Asking may not wait. One that raises ends its own waiter's wait, with
     that error, and nobody else's.
  3. Two waiters may share one predicate: each is asked for.

Not here: what to do once it is true (words.py).
"""

from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from computicle.scheduler.arguments import shown
from computicle.scheduler.park import Opening, arrive, check_room, interrupt, look_around, park, wake
from computicle.scheduler.spots import calls_out
from computicle.scheduler.timeouts import Expiry
from computicle.scheduler.timers import Timer

if TYPE_CHECKING:
    from computicle.scheduler.carrier import Carrier
    from computicle.scheduler.fiber import Fiber

__all__ = ["Predicates", "Watch"]


class Watch(Opening):
    """One fiber's wait for one predicate."""

    __slots__ = ("beat", "every", "expiry", "fiber", "predicate", "predicates", "question")

    def __init__(self, fiber: "Fiber", predicate: Callable[[], Any], every: float | None) -> None:
        self.fiber = fiber
        self.predicate = predicate
        self.predicates = fiber.kernel.predicates
        self.question = predicate  # what the kernel asks: with the waiter's context variables around it, if it has any
        self.every = every
        self.beat: _Beat | None = None
        self.expiry: Expiry | None = None

    def wait(self, me: "Fiber", timeout: float | None) -> Any:
        """Wait until it is true; its truthy value. Raises TimeoutError."""
        check_room()
        if value := self.ask():
            return value
        if me.credit <= 0:
            look_around(me)  # the predicate has cancelled it
        try:
            if timeout is not None:
                self.expiry = Expiry(me, self, timeout)
            self.stand(me, copy_context())
            park(me)
            return self.confirm(me)
        finally:
            self.end()
            me.settle()  # give back the credit that being asked has taken

    def stand(self, fiber: "Fiber", context: Context | None) -> None:
        """Be asked from now on. The caller parks the fiber."""
        if context:
            self.question = partial(_in_context, fiber.kernel.hub, context, self.predicate)
        fiber.hold()  # while it is asked, any word that may wait must look around
        self.predicates.add(self)
        if self.every is not None:
            self.beat = _Beat(self, self.every)
        # Last: a handler that cancels it before finds it not parked yet, and it will see to that itself.
        fiber.why = self

    def confirm(self, me: "Fiber") -> Any:
        """Found true: wait on until it is still true as the fiber goes on."""
        while not (value := self.ask()):
            if self.expiry is not None and self.expiry.timers is None:
                raise self.expiry.error()  # it came while the fiber was ready
            if me.credit <= 0:
                look_around(me)
            me.hold()
            self.predicates.add(self)
            me.why = self
            park(me)
        return value

    def first(self, me: "Fiber") -> Any:
        """The first step of a fiber that was parked on this before it began."""
        try:
            arrive(me)
            return self.confirm(me)
        finally:
            self.end()
            me.settle()

    @calls_out
    def ask(self) -> Any:
        """Evaluate it in the running fiber, which may not wait meanwhile."""
        me = self.fiber
        me.asking = True
        me.why = self
        me.hold()
        try:
            return self.predicate()
        finally:
            me.why = None
            me.asking = False
            me.settle()
            me.credit -= 1  # asking counts, whatever comes of it

    def end(self) -> None:
        """Be asked no more."""
        self.predicates.discard(self)
        if self.beat is not None:
            self.beat.cancel()
            self.beat = None
        if self.expiry is not None:
            self.expiry.cancel()

    def call_off(self, fiber: "Fiber") -> None:
        self.predicates.discard(self)
        if fiber.runner is fiber:
            self.end()  # it has not begun, and nobody else will

    def __str__(self) -> str:
        code = getattr(self.predicate, "__code__", None)
        name = getattr(self.predicate, "__qualname__", shown(self.predicate))
        return f"predicate {name} ({code.co_filename}:{code.co_firstlineno})" if code else f"predicate {name}"


def _asked_no_more() -> bool:
    return False


@calls_out
def _in_context(asker: "Carrier", context: Context, predicate: Callable[[], Any]) -> Any:
    asker.gr_context = context
    try:
        return predicate()
    finally:
        asker.gr_context = None


class _Beat(Timer):
    """Has a predicate asked on a beat."""

    __slots__ = ("_every", "_watch")

    def __init__(self, watch: Watch, every: float) -> None:
        self._watch = watch
        self._every = every
        self._set()

    def _set(self) -> None:
        kernel = self._watch.fiber.kernel
        kernel.timers.add(kernel.now() + self._every, self)

    def fire(self) -> None:
        self._watch.predicates.beaten.append(self._watch)
        self._set()


Asked: TypeAlias = "tuple[Fiber, Callable[[], Any], Watch]"


class Predicates:
    """The predicates of one kernel."""

    def __init__(self) -> None:
        self.watches: dict[Watch, bool] = {}  # in order of waiting; False: found true, not yet confirmed
        self.beaten: list[Watch] = []  # their beat has come since the last sweep
        self._asked: list[Asked] | None = []  # who is asked in a sweep; None: to be made anew
        self._being_asked: list[Asked] = []  # by the sweep that is on
        self._places: dict[Watch, int] | None = None  # in it, once somebody is called off

    def add(self, watch: Watch) -> None:
        """Ask it from now on. One that was found true and is no longer is asked again, in its old place."""
        if not self.watches:
            watch.fiber.kernel.turn.watch()
        self.watches[watch] = True
        self._asked = None

    def discard(self, watch: Watch) -> None:
        if self.watches.pop(watch, None) is not None:
            self._asked = None
            if self._being_asked:  # a predicate has called it off, or it has raised: it is asked no more
                if self._places is None:
                    self._places = {asked[2]: place for place, asked in enumerate(self._being_asked)}
                if watch in self._places:
                    self._being_asked[self._places[watch]] = (watch.fiber, _asked_no_more, watch)

    def sweep(self, asker: "Carrier") -> None:
        """Ask each one, standing in for its fiber; wake those found true."""
        self.beaten.clear()
        asked = self._asked
        if asked is None:
            # From a copy, made in one go, and kept before it is filled: the collector may call off somebody in between.
            asked = self._asked = []
            watches = list(self.watches)
            asked += [(watch.fiber, watch.question, watch) for watch in watches if self.watches.get(watch)]
        self._ask(asker, asked)

    def sweep_beaten(self, asker: "Carrier") -> None:
        """Nothing has run: ask only those whose beat has come."""
        beaten = [(watch.fiber, watch.question, watch) for watch in self.beaten if watch.fiber.why is watch]
        self.beaten.clear()
        self._ask(asker, beaten)

    @calls_out
    def _ask(self, asker: "Carrier", asked: list[Asked]) -> None:
        self._being_asked = asked
        # Bare on purpose: a thousand false predicates are to cost at most 60 us (bench/predicates.py), and
        # unpacking into place takes a quarter off that.
        for asker.fiber, question, watch in asked:
            try:
                if question():
                    self._found(watch)
            except BaseException as error:
                self._raised(watch, error)
        self._being_asked = []
        self._places = None

    def _found(self, watch: Watch) -> None:
        fiber = watch.fiber
        if fiber.why is watch:  # else an earlier predicate has called it off
            self.watches[watch] = False
            self._asked = None
            if wake(fiber):
                fiber.settle()

    def _raised(self, watch: Watch, error: BaseException) -> None:
        if watch.fiber.why is watch:
            interrupt(watch.fiber, error)

    def check(self) -> None:
        """Assert the rules. O(n): for tests and the simulator."""
        for watch, standing in self.watches.items():
            assert not standing or watch.fiber.why is watch
            assert not watch.fiber.done
