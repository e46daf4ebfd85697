"""Taker: takes items from a work queue for the fibers of one thread.

Mostly one fiber takes: it reads, or waits at the pipe itself. Where several wait, or one waits
for other things, too (`select`), a fiber of the taker's own reads and serves them in line.

Rules:
  1. Fibers get items in the order in which they came to wait.
  2. Nothing is taken that nobody here waits for.
  3. Who is about to sleep says so, then looks once more. Who was woken, and finds more than it
     takes, wakes the next one that sleeps. So does one that was woken and does not wait
     any more: what is there is never left to somebody who will not come.
  4. Who is about to sleep has told of the room it has made, and looks whether all is done.

Not here: where items are taken to (leases.py).
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakMethod

from computicle.engine.op import ClosedError
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import BaseScope, RunScope, outermost
from computicle.scheduler.inplace import sleep_in_place
from computicle.scheduler.line import Line
from computicle.scheduler.park import park
from computicle.scheduler.timeouts import Expiry, park_until
from computicle.work.batch import Batch
from computicle.work.item import Item
from computicle.work.leases import NOTHING, OVER

if TYPE_CHECKING:
    from computicle.work.core import Core

__all__ = ["Taker", "over"]

T = TypeVar("T")

LABEL = "an item of a work queue"


def over() -> ClosedError:
    """What is told to whoever wants another item when there will never be one."""
    return ClosedError("the work queue is closed, and nothing is left in it")


class Taker:
    """For one thread. Only that one touches it."""

    def __init__(self, core: "Core", me: Fiber) -> None:
        self._core = core
        self._leases = core.leases
        pass_on = WeakMethod(core.gate.pass_on)
        self._wire = me.kernel.engine.records(core.pipe.end, LABEL, level=True, pass_on=lambda: _call(pass_on))
        self._line = Line(LABEL)
        self._reader: Fiber | None = None  # waits at the pipe
        self._asleep = False

    def take(self, me: Fiber, timeout: float | None) -> Item:
        """The next item. Waits for it.

        Raises:
            ClosedError: there will be none.
            TimeoutError: none came within `timeout` seconds.
        """
        if self._reader is not None or self._line.fibers:
            return self._stand_in_line(me, timeout)
        slot = self._leases.take()
        if slot == NOTHING:
            slot = self._wait(me, self._leases.take, timeout)
        if slot == OVER:
            raise over()
        return Item(self._core, slot)

    def take_many(self, me: Fiber, count: int, timeout: float | None) -> Batch:
        """Up to so many, as many as are there, at least one. Waits for it. Raises as `take`."""
        if self._reader is not None or self._line.fibers:
            return Batch(self._core, [self._stand_in_line(me, timeout).detach()])
        slots = self._leases.take_many(count)
        if slots == NOTHING:
            slots = self._wait(me, partial(self._leases.take_many, count), timeout)
        if isinstance(slots, int):
            raise over()
        return Batch(self._core, slots)

    def try_take(self) -> int:
        """The slot of an item that is there now; NOTHING, also if others wait for it; or OVER."""
        return NOTHING if self._reader is not None or self._line.fibers else self._leases.take()

    def line(self, me: Fiber) -> Line:
        """Where to stand until an item comes."""
        self._feed(me)
        return self._line

    def close(self) -> None:
        """The queue is not used here any more."""
        self._wire.close()

    def _stand_in_line(self, me: Fiber, timeout: float | None) -> Item:
        self._core.about_to_sleep()
        self._feed(me)
        engine = me.kernel.engine
        engine.waiting += (outside := self._core.outside)
        try:
            item: Item = self._line.wait(me, timeout)
        finally:
            engine.waiting -= outside
        return item

    def _wait(self, me: Fiber, take: Callable[[], T], timeout: float | None) -> T:
        """Until something can be taken, or there will be nothing."""
        self._core.about_to_sleep()
        self._about_to_sleep(True)
        try:
            taken = take()
            if taken == NOTHING and timeout is None and self._core.outside:
                self._wire.heed()
                if sleep_in_place(me, self._wire):
                    taken = self._woken(take)
            if taken == NOTHING:
                taken = self._park(me, take, timeout)
        finally:
            self._about_to_sleep(False)
        return taken

    def _about_to_sleep(self, asleep: bool) -> None:
        if asleep is not self._asleep:
            self._asleep = asleep
            self._core.sleepers.add(1 if asleep else -1)

    def _woken(self, take: Callable[[], T]) -> T:
        """Something has come: take it."""
        self._core.count_wake()
        taken = take()
        if taken != NOTHING:
            self._about_to_sleep(False)
            self._core.gate.pass_on()
        return taken

    def _attempt(self, take: Callable[[], Any]) -> Any:
        taken = self._woken(take)
        return None if taken == NOTHING else taken

    def _park(self, me: Fiber, take: Callable[[], T], timeout: float | None) -> T:
        """As `_wait`, giving way."""
        op = self._wire.reading
        expiry = None if timeout is None else Expiry(me, op, timeout)
        self._wire.heed()
        op.attempt = self._attempt
        op.argument = take
        op.waiter = me
        me.why = op
        self._reader = me
        engine = me.kernel.engine
        engine.waiting += (outside := self._core.outside)
        try:
            taken: T = park(me) if expiry is None else park_until(me, expiry)
            return taken
        finally:
            engine.waiting -= outside
            op.retire()
            self._reader = None
            if self._line.fibers:
                self._feed(me)

    # For those in line.

    def _feed(self, me: Fiber) -> None:
        """Have a fiber read for them."""
        if self._reader is None:
            scope = outermost(me)
            feeder = _Feeder(self, scope, self._core.outside)
            self._reader = attend(scope, feeder, "the work queue")

    def serve(self, me: Fiber) -> None:
        """As the fiber that does: take items for those in line, as long as somebody stands there."""
        try:
            while self._line.fibers:
                slot = self._leases.take()
                if slot == NOTHING:
                    slot = self._sleep_for_line(me)
                if slot == OVER:
                    self._line.raise_all(over)
                elif slot != NOTHING:
                    # If whoever waited for it is gone, in between, it is dropped, and so given back.
                    self._line.wake_first(Item(self._core, slot))
        finally:
            self._reader = None

    def _sleep_for_line(self, me: Fiber) -> int:
        self._core.about_to_sleep()
        self._about_to_sleep(True)
        try:
            slot = self._leases.take()
            if slot != NOTHING:
                return slot
            op = self._wire.reading
            self._wire.heed()
            op.attempt = self._attempt_for_line
            op.argument = self._leases.take
            op.waiter = me
            me.why = op
            try:
                return park(me)  # type: ignore[no-any-return]
            finally:
                op.retire()
        finally:
            self._about_to_sleep(False)

    def _attempt_for_line(self, take: Callable[[], int]) -> int | None:
        if self._line.fibers:
            slot: int | None = self._attempt(take)
            return slot
        self._core.count_wake()
        self._about_to_sleep(False)
        self._core.gate.pass_on()
        return NOTHING


class _Feeder(Attendant):
    """Takes items for those in line."""

    __slots__ = ("_taker",)

    def __init__(self, taker: Taker, scope: RunScope | BaseScope, outside: bool) -> None:
        super().__init__(attendants_of(scope), self._work, lasting=True, reachable=outside, sheltered=True)
        self._taker = taker

    def _work(self) -> None:
        self._taker.serve(self.fiber)


def _call(method: "WeakMethod[Callable[[], None]]") -> None:
    fn = method()
    if fn is not None:
        fn()
