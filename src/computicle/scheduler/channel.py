"""Channel: values from fiber to fiber, at most `capacity` of them on the way.

Rules:
  1. Values come out in the order they went in. A sender that has to wait
     holds its place in that order.
  2. Fibers wait in only one direction at a time: for values when none are on
     the way, for room when it is full.
  3. Closing stops sending. What is on the way can still be received; then
     receiving ends.

Not here: values between threads (offload).
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

from computicle.engine.op import ClosedError
from computicle.scheduler.arguments import checked_count, checked_timeout
from computicle.scheduler.line import Line, Taken
from computicle.scheduler.single import Single
from computicle.scheduler.word import entering

__all__ = ["Channel"]

T = TypeVar("T")


class Channel(Single, Generic[T]):
    """A bounded first-in, first-out queue between fibers of one thread.

    Iterating receives until the channel is closed and empty. Its len() is how many values are on the way.

    Args:
        capacity: how many values may be on the way; 0 hands each one over in person.

    Attributes:
        capacity: as given.
        closed: True once it has been closed; values may still be on the way.
    """

    def __init__(self, capacity: int) -> None:
        checked_count("Channel", "capacity", capacity, 0)
        self.capacity = capacity
        self.closed = False
        self._values: deque[T] = deque()
        self._senders = Line("room in a channel")
        self._receivers = Line("a value from a channel")

    def send(self, value: T, timeout: float | None = None) -> None:
        """Put a value in. Waits while the channel is full.

        Raises:
            ClosedError: the channel is closed, or was closed while waiting: the value was not taken.
            TimeoutError: no room within `timeout` seconds: the value was not taken.
        """
        timeout = checked_timeout("send", timeout)
        me = entering()
        me.credit -= 1  # an error counts as well; a wait refills it
        if self.closed:
            raise ClosedError("the channel is closed: nothing more can be sent")
        if self._receivers.wake_first(value) is not None:
            return
        if len(self._values) < self.capacity:
            self._values.append(value)
        else:
            self._senders.wait(me, timeout, value)

    def receive(self, timeout: float | None = None) -> T:
        """Take the next value. Waits while there is none.

        Raises:
            ClosedError: the channel is closed and empty, or became so while waiting.
            TimeoutError: no value within `timeout` seconds.
        """
        timeout = checked_timeout("receive", timeout)
        me = entering()
        me.credit -= 1
        taken = self.take()
        if taken is not None:
            return taken.value  # type: ignore[no-any-return]
        return self._receivers.wait(me, timeout)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Stop sending. Never waits; closing twice does nothing more.

        Senders that wait for room are told with ClosedError.
        """
        if not self.closed:
            self._senders.raise_all(lambda: ClosedError("the channel was closed before there was room"))
            self._receivers.raise_all(lambda: ClosedError("the channel is closed and empty"))
            self.closed = True  # only now: in another thread than theirs that was an error

    def take(self) -> Taken | None:
        """For select: a value, if there is one now. Raises ClosedError."""
        sender = self._senders.wake_first()
        if sender is not None:
            self._values.append(sender[1])
        if self._values:
            return Taken(self._values.popleft())
        if self.closed:
            raise ClosedError("the channel is closed and empty")
        return None

    def taking_line(self) -> Line:
        """For select: where to stand until a value comes."""
        return self._receivers

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                value = self.receive()
            except ClosedError:
                return
            yield value

    def __repr__(self) -> str:
        state = "closed, " if self.closed else ""
        return f"<Channel {state}{len(self._values)} of {self.capacity}>"
