"""Room: what many wait for, in any process, until somebody makes some.

Rules:
  1. Who waits says so first, then looks twice, then sleeps. Who makes room looks whether anybody waits, and only
     then wakes one. It does so without a fence, for that would be paid for each item: so what it has
     stored may be seen some hundred nanoseconds late, and the second look is for that.
  2. Of all who sleep one is woken. If there may be room for more, that one wakes
     the next. So does one who leaves by an error, for it may have been woken, and the keeper, when somebody has died.
  3. Where some want more than others, one who was woken and finds too little passes the wake on, as long as
     another one wants no more than there is. Then it turns a deaf ear for a moment, or it would
     be the one who is woken by that.
  4. Fibers of one thread are served in the order in which they came.
  5. One who was woken a moment ago, and is the only one who may wait here, is content to be told late: once there is
     much room, or nobody has anything to do. Else it would be woken for each item, and those who take them would be
     slower still (bench/queueing.py: 1.1 us an item instead of 0.65). It says so for LATE_S. Where others may wait,
     nobody says so: the hint is everybody's, and they might wait for as long as that one is busy with something else.

Not here: what there must be room for (gate.py, heap.py), what others want (wants.py).
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from computicle.engine.pipes import PipeEnd, PipeWire
from computicle.engine.threads import HELPER
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.locks import Lock
from computicle.scheduler.park import park
from computicle.scheduler.timeouts import Expiry, park_until
from computicle.scheduler.timers import Timer

if TYPE_CHECKING:
    from computicle.work.wants import Wants

__all__ = ["AT_ONCE", "LATE", "Room", "may_come_from_threads"]

T = TypeVar("T")

AT_ONCE, LATE = 1, 2  # what the hint says of how those who wait are to be told
LATE_S = 0.001  # who was woken so short a time ago waits so long before it is to be told at once again
BYTES_MAX = 64  # taken at once: each is a wake
DEAF_S_MIN, DEAF_S_MAX = 0.001, 0.1  # each time twice as long: the one who is to be woken may be busy


class Room:
    """Where to wait for it, and where to tell.

    Args:
        hint: one byte of shared memory: not zero while somebody may wait.
        end: a pipe of which all have both ends.
        label: what is waited for.
        wants: how much each place waits for. None: all wait for the same.
        is_one_alone: tells, of those who make room that know what LATE is, whether this process alone may wait for it.
    """

    def __init__(
        self,
        hint: memoryview,
        end: PipeEnd,
        label: str,
        wants: "Wants | None" = None,
        *,
        is_one_alone: Callable[[], bool] = bool,
    ) -> None:
        self._hint = hint
        self.end = end
        self._label = label
        self._wants = wants
        self._is_one_alone = is_one_alone
        self._woken_at = float("-inf")  # when the last one was who has found room
        self._saying = threading.Lock()
        self._turns: dict[Kernel, _Turn] = {}  # each thread writes its own entry only
        self.outside = True  # other processes or threads may make room

    def announce(self) -> None:
        """There is some. Never waits. Any thread."""
        if self._hint[0]:
            self._hint[0] = 0
            self.call()

    def be_told_at_once(self) -> None:
        """Who waits here has been patient, and looks again."""
        self._hint[0] = AT_ONCE
        self.call()

    def call(self) -> None:
        """Wake one who waits, if somebody does. Never waits. Any thread."""
        with suppress(BlockingIOError):  # then there are more wakes than anybody needs
            os.write(self.end.number, b"\0")

    def have_all_look(self) -> None:
        """Something else has changed for those who wait. Never waits. Any thread."""
        if self._wants is not None and self._wants.have_all_look():
            self.call()

    def wait(self, me: Fiber, attempt: Callable[[], T | None], timeout: float | None, wanted: int = 1) -> T:
        """What the attempt brings, as soon as that is not None. Waits.

        Args:
            wanted: how much there has to be for that.

        Raises:
            TimeoutError: it brought nothing within `timeout` seconds.
        """
        kernel = me.kernel
        began = kernel.now() if timeout is not None else 0.0
        turn = self._turns.get(kernel)
        if turn is None:
            turn = self._turns[kernel] = _Turn()
        first = turn.count == 0
        turn.count += 1
        try:
            with _Queued(turn.lock, timeout):
                if timeout is not None and not first:
                    timeout = max(0.0, timeout - (kernel.now() - began))
                try:
                    self._say(turn, wanted)
                    got = self._wait_first(me, turn, attempt, timeout)
                finally:
                    turn.hear()
                    self._say(turn, 0)
        except BaseException:
            self._leave(kernel, turn)
            self.call()  # only now: it must not be the one who is woken
            raise
        self._leave(kernel, turn)
        return got

    def _leave(self, kernel: Kernel, turn: "_Turn") -> None:
        turn.count -= 1
        if turn.count == 0:
            del self._turns[kernel]
            if turn.wire is not None:
                turn.wire.close()

    def _wait_first(self, me: Fiber, turn: "_Turn", attempt: Callable[[], T | None], timeout: float | None) -> T:
        woken = self._take_wakes()  # left by one who needed none: else they would wake this one for nothing
        late = 0 <= me.kernel.now() - self._woken_at < LATE_S and len(self._turns) == 1 and self._is_one_alone()
        # Only now: whoever has struck it off has also sent a wake, which must not be among those.
        self._hint[0] = LATE if late else AT_ONCE
        if late and not (
            len(self._turns) == 1 and self._is_one_alone()
        ):  # another one may have said AT_ONCE before that
            late = False
            self._hint[0] = AT_ONCE
        found = self._attempt(me.kernel, turn, attempt) if woken else attempt()
        if found is None:
            found = attempt()
        if found is not None:
            if woken:
                self.call()
            return found
        if turn.wire is None:
            turn.wire = me.kernel.engine.records(self.end, self._label, level=True, pass_on=self.call)
        op = turn.wire.reading
        expiry = None if timeout is None else Expiry(me, op, timeout)
        if turn.deaf is None:
            turn.wire.heed()
        op.attempt = lambda _argument: self._look(me.kernel, turn, attempt)
        op.waiter = me
        me.why = op
        engine = me.kernel.engine
        patience = _Patience(self) if late else None
        if patience is not None:
            me.kernel.timers.add(me.kernel.now() + LATE_S, patience)
        engine.waiting += self.outside
        try:
            got: T = park(me) if expiry is None else park_until(me, expiry)
        finally:
            engine.waiting -= self.outside
            op.retire()
            if patience is not None:
                patience.cancel()
        self._woken_at = me.kernel.now()
        self.call()  # the next one may find room, too
        return got

    def _look(self, kernel: Kernel, turn: "_Turn", attempt: Callable[[], T | None]) -> T | None:
        if turn.deaf is not None or not self._take_wakes():
            return None  # another one has been quicker, or is to be
        self._hint[0] = AT_ONCE
        found = self._attempt(kernel, turn, attempt)
        return attempt() if found is None else found

    def _attempt(self, kernel: Kernel, turn: "_Turn", attempt: Callable[[], T | None]) -> T | None:
        """As one who was woken."""
        if self._wants is not None and self._wants.told_to_look():
            for other in [*self._turns.values()]:
                other.told_to_look = True
        turn.told_to_look = False
        found = attempt()
        if found is None and self._wants is not None and self._suits_others(self._wants, turn):
            turn.turn_deaf(kernel)
            self.call()
        return found

    def _suits_others(self, wants: "Wants", turn: "_Turn") -> bool:
        """Somebody else can use what there is."""
        left = wants.left()
        others = [other for other in [*self._turns.values()] if other is not turn and other.wanted]
        return any(other.told_to_look or other.wanted <= left for other in others) or wants.suit_others(left)

    def _say(self, turn: "_Turn", wanted: int) -> None:
        """The first one in this turn waits for so much."""
        turn.wanted = wanted
        if self._wants is not None:
            with self._saying:
                self._wants.say(min((other.wanted for other in [*self._turns.values()] if other.wanted), default=0))

    def _take_wakes(self) -> bool:
        try:
            return bool(os.read(self.end.number, BYTES_MAX))
        except BlockingIOError:
            return False


class _Turn:
    """The fibers of one thread that wait, and where the first of them does."""

    def __init__(self) -> None:
        self.lock = Lock()
        self.count = 0
        self.wire: PipeWire | None = None
        self.wanted = 0  # by the first
        self.told_to_look = False  # it is to look again
        self.deaf: _Moment | None = None  # for how long it takes no wakes
        self._deaf_s = DEAF_S_MIN

    def turn_deaf(self, kernel: Kernel) -> None:
        """Take no wakes for a moment."""
        if self.wire is not None:
            self.wire.ignore()
        self.deaf = _Moment(self)
        kernel.timers.add(kernel.now() + self._deaf_s, self.deaf)
        self._deaf_s = min(2 * self._deaf_s, DEAF_S_MAX)

    def hear(self) -> None:
        """Whoever was first does not wait any more."""
        self._deaf_s = DEAF_S_MIN
        if self.deaf is not None:
            self.deaf.cancel()
            self.deaf = None


class _Moment(Timer):
    """At its end a turn takes wakes again."""

    __slots__ = ("_turn",)

    def __init__(self, turn: _Turn) -> None:
        self._turn = turn

    def fire(self) -> None:
        self._turn.deaf = None
        if self._turn.wire is not None:
            self._turn.wire.heed()


class _Patience(Timer):
    """It ends."""

    __slots__ = ("_room",)

    def __init__(self, room: Room) -> None:
        self._room = room

    def fire(self) -> None:
        self._room.be_told_at_once()


class _Queued:
    """The lock of a turn, within a timeout."""

    def __init__(self, lock: Lock, timeout: float | None) -> None:
        self._lock = lock
        self._timeout = timeout

    def __enter__(self) -> None:
        self._lock.acquire(self._timeout)

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def may_come_from_threads() -> bool:
    """There are threads that could have a kernel of their own, now or later."""
    return threading.active_count() > 1 and any(
        thread is not threading.current_thread() and not thread.name.startswith(HELPER)
        for thread in threading.enumerate()
    )
