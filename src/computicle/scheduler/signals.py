"""Signals: names that fibers wait for, and others give.

Rules:
  1. A signal reaches those who wait at that moment, and is not kept.
  2. The longest waiter comes first.
  3. A subscription waits all the time: what comes while its function runs is
     kept, up to a bound, and one more is an error for the giver, who is told
     before anybody has been woken.
  4. A name that nobody waits for leaves nothing behind.

Not here: names with meanings of their own: the runtime gives no signals.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, cast

from computicle.scheduler.park import Opening, park, wake
from computicle.scheduler.timers import park_until

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
        del self.line[waiter]
        self.signals.tidy(self)

    def __str__(self) -> str:
        return f"signal {self.name!r}"


class Subscription(Opening):
    """One fiber that waits for a name all the time."""

    __slots__ = ("_fiber", "_values", "_waiters")

    def __init__(self, waiters: Waiters) -> None:
        self._waiters = waiters
        self._values: deque[Any] = deque()
        self._fiber: Fiber | None = None  # parked for the next value
        waiters.line[self] = None
        waiters.subscriptions += 1

    def full(self) -> bool:
        return len(self._values) >= KEPT_MAX

    def give(self, value: Any) -> None:
        if self._fiber is None:
            self._values.append(value)
        else:
            fiber, self._fiber = self._fiber, None
            wake(fiber, value)

    def await_first(self, fiber: "Fiber") -> None:
        """Park a fiber that has not begun: the first value will start it."""
        self._fiber = fiber
        fiber.why = self

    def next(self, me: "Fiber") -> Any:
        """The next value; waits for it."""
        if self._values:
            me.credit -= 1
            return self._values.popleft()
        self._fiber = me
        return park(me, self)

    def end(self) -> None:
        """Wait no more. Ending it twice does nothing more."""
        if self in self._waiters.line:
            self._waiters.subscriptions -= 1
            self._waiters.call_off(self)

    def call_off(self, _fiber: "Fiber") -> None:
        self._fiber = None
        self.end()  # at once: else a signal given before the fiber runs would be lost in here

    def __str__(self) -> str:
        return str(self._waiters)


class Signals:
    """The names of one kernel that somebody waits for."""

    def __init__(self) -> None:
        self._names: dict[Hashable, Waiters] = {}

    def waiters(self, name: Hashable) -> Waiters:
        """Those who wait for `name`; made if there are none yet."""
        waiters = self._names.get(name)
        if waiters is None:
            waiters = self._names[name] = Waiters(self, name)
        return waiters

    def tidy(self, waiters: Waiters) -> None:
        """Forget a name nobody waits for."""
        if not waiters.line:
            self._names.pop(waiters.name, None)

    def wait(self, me: "Fiber", name: Hashable, timeout: float | None) -> Any:
        """Wait for `name`; its value. Raises TimeoutError."""
        waiters = self.waiters(name)
        waiters.line[me] = None
        if timeout is None:
            return park(me, waiters)
        return park_until(me, waiters, timeout)

    def await_first(self, fiber: "Fiber", name: Hashable) -> None:
        """Park a fiber that has not begun: the signal will start it."""
        waiters = self.waiters(name)
        waiters.line[fiber] = None
        fiber.why = waiters

    def give_one(self, name: Hashable, value: Any) -> bool:
        """Wake the longest waiter, if any."""
        waiters = self._names.get(name)
        if waiters is None:
            return False
        waiter = next(iter(waiters.line))
        if isinstance(waiter, Subscription):
            self._check_room(waiter, name)
            waiters.line.move_to_end(waiter)
            waiter.give(value)
        else:
            waiters.call_off(waiter)
            wake(waiter, value)
        return True

    def give_all(self, name: Hashable, value: Any) -> int:
        """Wake all waiters, in order; how many they were."""
        waiters = self._names.get(name)
        if waiters is None:
            return 0
        line = waiters.line
        if waiters.subscriptions:
            return self._give_mixed(waiters, value)
        del self._names[name]
        for waiter in cast("OrderedDict[Fiber, None]", line):
            # wake(), written out: 10,000 waiters at once are a promise (bench/signals.py).
            waiter.why = None
            waiter.value = value
            waiter.ready.append(waiter.runner)
        return len(line)

    def _give_mixed(self, waiters: Waiters, value: Any) -> int:
        line = waiters.line
        subscriptions = [waiter for waiter in line if isinstance(waiter, Subscription)]
        for subscription in subscriptions:
            self._check_room(subscription, waiters.name)
        waiters.line = OrderedDict.fromkeys(subscriptions)
        for waiter in line:
            if isinstance(waiter, Subscription):
                waiter.give(value)
            else:
                wake(waiter, value)
        return len(line)

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
