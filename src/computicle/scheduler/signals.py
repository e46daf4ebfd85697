"""Signals: names that fibers wait for, and others give.

Rules:
  1. A signal reaches those who wait at that moment, and is not kept.
  2. The longest waiter comes first. A subscription that was given a value
     waits anew, behind the others.
  3. A subscription waits all the time: what comes while its function runs is
     kept, up to a bound, and one more is an error for the giver, who is told
     before anybody has been woken.
  4. A name that nobody waits for leaves nothing behind.
  5. A handler of the program's own for a signal of the system may give
     signals and cancel, at any point of this file. So who waits has its `why`
     before it stands in line, and whoever takes it out of the line wakes it;
     nobody goes through a line that others can find.

Not here: names with meanings of their own: the runtime gives no signals.
"""

import contextlib
from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

from computicle.scheduler.arguments import shown
from computicle.scheduler.park import Opening, park, wake
from computicle.scheduler.timeouts import Expiry, park_until

if TYPE_CHECKING:
    from computicle.scheduler.fiber import Fiber

__all__ = ["KEPT_MAX", "Signals", "Subscription", "Waiters"]

KEPT_MAX = 1024  # values that wait for a subscription's function


class Waiters:
    """Who waits for one name: fibers and subscriptions, the longest waiting first."""

    __slots__ = ("line", "name", "signals", "subscriptions")

    def __init__(self, signals: "Signals", name: Hashable) -> None:
        self.signals = signals
        self.name = name
        self.line: OrderedDict[Fiber | Subscription, None] = OrderedDict()
        self.subscriptions = 0

    def call_off(self, waiter: "Fiber | Subscription") -> None:
        self.line.pop(waiter, None)
        self.signals.tidy(self)

    def first(self) -> "Fiber | Subscription | None":
        """Who has waited longest."""
        while True:
            try:
                return next(iter(self.line), None)
            except RuntimeError:  # changed by a handler between the two calls
                continue

    def __str__(self) -> str:
        return f"signal {shown(self.name)}"


class Subscription(Opening):
    """One fiber that waits for a name all the time."""

    __slots__ = ("_fiber", "_values", "_waiters")

    def __init__(self, waiters: Waiters) -> None:
        self._waiters = waiters
        self._values: deque[Any] = deque()
        self._fiber: Fiber | None = None  # parked for the next value
        waiters.subscriptions += 1

    def full(self) -> bool:
        return len(self._values) >= KEPT_MAX

    def give(self, value: Any) -> None:
        self._values.append(value)
        fiber, self._fiber = self._fiber, None
        if fiber is not None:
            wake(fiber)

    def await_value(self, fiber: "Fiber") -> None:
        """Have the next value wake it. The caller parks it, unless it has not begun."""
        fiber.why = self
        self._fiber = fiber
        if self._values and self._fiber is not None:  # given by a handler just before: it did not know whom to wake
            self._fiber = None
            wake(fiber)

    def next(self, me: "Fiber") -> Any:
        """The next value; waits for it."""
        if self._values:
            me.credit -= 1
        else:
            self.await_value(me)
            park(me)
        return self.take()

    def take(self) -> Any:
        """The oldest value, of which there is one."""
        return self._values.popleft()

    def end(self) -> None:
        """Wait no more. Ending it twice does nothing more."""
        if self in self._waiters.line:
            self._waiters.call_off(self)
            self._waiters.subscriptions -= 1  # only now: those who give must know of it as long as it stands there

    def call_off(self, _fiber: "Fiber") -> None:
        self.end()  # at once: else a signal given before the fiber runs would be lost in here
        self._fiber = None

    def __str__(self) -> str:
        return str(self._waiters)


class Signals:
    """The names of one kernel that somebody waits for."""

    def __init__(self) -> None:
        self._names: dict[Hashable, Waiters] = {}

    def stand(self, name: Hashable, fiber: "Fiber") -> Waiters:
        """Put it into the line for `name`. The caller parks it, unless it has not begun."""
        waiters = fiber.why = self._waiters(name)
        waiters.line[fiber] = None
        if fiber.why is not None:  # else a handler has woken it already
            self._names[name] = waiters  # once more: with nobody in it, a handler may have had it forgotten
        return waiters

    def subscribe(self, name: Hashable) -> Subscription:
        """Wait for `name` from now on, and all the time."""
        waiters = self._waiters(name)
        subscription = Subscription(waiters)
        waiters.line[subscription] = None
        self._names[name] = waiters
        return subscription

    def _waiters(self, name: Hashable) -> Waiters:
        waiters = self._names.get(name)
        if waiters is None:
            waiters = self._names[name] = Waiters(self, name)
        return waiters

    def tidy(self, waiters: Waiters) -> None:
        """Forget a name nobody waits for. One whose hash raises by now cannot be found, and stays."""
        if not waiters.line:
            with contextlib.suppress(Exception):
                self._names.pop(waiters.name, None)

    def wait(self, me: "Fiber", name: Hashable, timeout: float | None) -> Any:
        """Wait for `name`; its value. Raises TimeoutError."""
        if timeout is None:
            self.stand(name, me)
            return park(me)
        me.credit -= 1
        waiters = self._waiters(name)
        try:
            expiry = Expiry(me, waiters, timeout)  # first: if it is over already, or has no room, nobody stands in line
        except BaseException:
            self.tidy(waiters)
            raise
        expiry.why = self.stand(name, me)  # once more: a handler may have had the name forgotten
        return park_until(me, expiry)

    def give_one(self, name: Hashable, value: Any) -> bool:
        """Wake the longest waiter, if any."""
        while (waiters := self._names.get(name)) is not None and (waiter := waiters.first()) is not None:
            if isinstance(waiter, Subscription):
                self._check_room(waiter, name)
                waiters.line.move_to_end(waiter)
                waiter.give(value)
                return True
            if waiters.line.pop(waiter, self) is None:  # else a handler has woken it meanwhile
                self.tidy(waiters)
                if wake(waiter, value):
                    return True
        return False

    def give_all(self, name: Hashable, value: Any) -> int:
        """Wake all waiters, in order; how many they were."""
        waiters = self._names.get(name)
        if waiters is None:
            return 0
        if waiters.subscriptions:
            return self._give_mixed(waiters, value)
        nobody: OrderedDict[Fiber | Subscription, None] = OrderedDict()
        line, waiters.line = waiters.line, nobody  # without a call in between, where a handler may strike
        self._names.pop(name, None)
        count = 0
        for waiter in cast("OrderedDict[Fiber, None]", line):
            # wake(), written out: 10,000 waiters at once are a promise (bench/signals.py).
            if waiter.why is not None:
                waiter.why = None
                waiter.value = value
                waiter.ready.append(waiter.runner)
                count += 1
        return count

    def _give_mixed(self, waiters: Waiters, value: Any) -> int:
        everybody = list(waiters.line)
        for waiter in everybody:
            if isinstance(waiter, Subscription):
                self._check_room(waiter, waiters.name)
        count = 0
        for waiter in everybody:
            if isinstance(waiter, Subscription):
                waiter.give(value)
            elif waiters.line.pop(waiter, self) is not None or not wake(waiter, value):
                continue
            count += 1
        self.tidy(waiters)
        return count

    def _check_room(self, subscription: Subscription, name: Hashable) -> None:
        if subscription.full():
            raise OverflowError(
                f"signal {name!r}: {KEPT_MAX} values wait for the function of an on_signal already: "
                "give way between signals, or make the function faster"
            )

    def check(self) -> None:
        """Assert the rules. O(n): for tests and the simulator."""
        for name, waiters in self._names.items():
            assert waiters.line, f"nobody waits for {name!r}"
            assert waiters.name == name
