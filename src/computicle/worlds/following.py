"""Following: a handle that follows a supervised computicle through its restarts.

Rules:
  1. What is posted or asked while there is none waits for the next one. A
     message that was not accepted is posted to the next one.
  2. A call that was under way when its computicle died is not made again: what
     it has done already nobody knows.
  3. Once there will be no next one, everything raises ComputicleDied.
  4. It may wait in its supervisor's thread only, for there it is woken. In
     another computicle or thread, where it comes in a message, it asks the
     supervisor's for the present one.

Not here: who restarts them (supervisor.py).
"""

import os
from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakValueDictionary

from computicle.scheduler.arguments import checked_timeout
from computicle.scheduler.deadlines import FailAfter
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import running
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.line import Line
from computicle.scheduler.word import entering
from computicle.worlds.computicle import Computicle
from computicle.worlds.errors import ComputicleDied
from computicle.worlds.handle import Handle, own_handle
from computicle.worlds.reply import Reply

__all__ = ["Following", "Slot"]

# Of this process, by key, for those who ask from elsewhere. Each puts itself in, in its supervisor's thread.
_slots: "WeakValueDictionary[bytes, Slot]" = WeakValueDictionary()


class Slot:
    """The place of one supervised computicle: the present one, or nobody."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.key = os.urandom(8)
        self.computicle: Computicle | None = None
        self._kernel: Kernel | None = None  # the supervisor's, once it has started one
        self._closed: ComputicleDied | None = None
        self._line = Line(f"the next start of {name!r}")
        _slots[self.key] = self

    def fill(self, computicle: Computicle) -> None:
        """There is one."""
        self.computicle = computicle
        self._kernel = running().kernel
        self._line.wake_all()

    def is_of(self, me: Fiber) -> bool:
        """True if `me` lives in the supervisor's thread."""
        return self._kernel is None or self._kernel is me.kernel

    def lose(self) -> Computicle | None:
        """There is none any more; who it was."""
        computicle, self.computicle = self.computicle, None
        return computicle

    def close(self, why: ComputicleDied) -> None:
        """There will be none any more."""
        self.computicle = None
        if self._closed is None:
            self._closed = why
        self._line.wake_all()

    def find(self, dead: bytes | None) -> Computicle:
        """The present one, other than the one of that uid. Waits for it. Raises ComputicleDied."""
        me = entering()
        while (computicle := self.computicle) is None or computicle.uid == dead or computicle.end is not None:
            if self._closed is not None:
                raise ComputicleDied(self.name, self._closed.how)
            self._line.wait(me)
        return computicle


class Following:
    """The handle of a supervised computicle: one after the other, under one name.

    Its words are those of any handle, but for those about an end (quit, wait, monitor, link): for these, ask
    `present()`. Beside what they wait for anyway, all but `alive` wait while it is being started again, and raise what
    stands here.

    Raises:
        ComputicleDied: it will not be started again.
        RuntimeError: in another thread than the supervisor's, unless it came there in a message.
    """

    def __init__(self, slot: Slot) -> None:
        self.name = slot.name
        self._slot: Slot | None = slot
        self._key = slot.key
        self._supervisor: Handle | None = None  # elsewhere: whom to ask
        self._present: Handle | None = None  # elsewhere: who it was the last time

    # As of any handle.

    def post(self, message: Any) -> None:
        """Put a message into its mailbox. Waits while that is full. What was not accepted the next one gets.

        Raises:
            TypeError: some part of the message cannot be carried; which one.
        """
        self._with_present(lambda handle: handle.post(message))

    def post_many(self, messages: Iterable[Any]) -> None:
        """Post several at once, in order. Waits and raises as `post` does."""
        together = [*messages]
        self._with_present(lambda handle: handle.post_many(together))

    def exec(self, source_or_fn: str | Callable[..., Any], /, *args: Any) -> Reply:
        """Run code there, as a fiber; the Reply. Waits and raises as Computicle's `exec`."""
        return self._with_present(lambda handle: handle.exec(source_or_fn, *args))  # type: ignore[no-any-return]

    def call(
        self, fn_or_name: str | Callable[..., Any], /, *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> Any:
        """Call a function there; its value. Waits and raises as Computicle's `call`.

        Raises:
            ComputicleDied: it died meanwhile. The function may have been called.
            TimeoutError: after `timeout` seconds. Waiting for the next start counts.
        """
        timeout = checked_timeout("call", timeout)
        if timeout is None:
            return self.present().call(fn_or_name, *args, **kwargs)
        with FailAfter(timeout):
            return self.present().call(fn_or_name, *args, **kwargs)

    def __getitem__(self, name: str) -> Any:
        """One of its globals. Waits and raises as a Computicle's."""
        return self._with_present(lambda handle: handle[name])

    def __setitem__(self, name: str, value: Any) -> None:
        """Set one of its globals, which those started later do not have. Waits and raises as a Computicle's."""
        self._with_present(lambda handle: handle.__setitem__(name, value))

    def kill(self) -> None:
        """Kill the present one: it will be started again, unless its Spec says never."""
        self.present().kill()

    @property
    def alive(self) -> bool:
        """True if there is one now; in another computicle than the supervisor's, as far as is known. Never waits."""
        handle = self._slot.computicle if self._slot is not None else self._present
        return handle is not None and handle.alive

    @property
    def pid(self) -> int:
        """The process of the present one."""
        return self.present().pid

    def present(self) -> Handle:
        """The handle of the present one itself, which does not follow."""
        if self._present is None or not self._present.alive:
            return self._find(None)
        return self._present

    def __repr__(self) -> str:
        return f"<Following {self.name!r}>"

    # Helpers.

    def _with_present(self, act: Callable[[Handle], Any]) -> Any:
        handle = self.present()
        while True:
            try:
                return act(handle)
            except ComputicleDied:
                handle = self._find(handle.uid)

    def _find(self, dead: bytes | None) -> Handle:
        if self._slot is not None and self._slot.is_of(running()):
            return self._slot.find(dead)
        if self._supervisor is None:
            raise self._stray()
        self._present = None
        found: Handle = self._supervisor.call(_find_in_slot, self._key, self.name, dead)
        self._present = found
        return found

    def _stray(self) -> RuntimeError:
        return RuntimeError(
            f"{self.name!r} is supervised in another thread: have its handle sent here in a message, "
            "or ask for present() there, and use that one here"
        )

    def __reduce__(self) -> Any:
        if self._supervisor is None and self._slot is not None and not self._slot.is_of(running()):
            raise self._stray()
        supervisor = self._supervisor or own_handle(running())
        return _arrive, (self._key, self.name, supervisor)


def _arrive(key: bytes, name: str, supervisor: Handle) -> Following:
    following = Following.__new__(Following)
    following.name = name
    following._key = key
    following._slot = _slots.get(key)
    following._supervisor = supervisor
    following._present = None
    return following


def _find_in_slot(key: bytes, name: str, dead: bytes | None) -> Computicle:
    slot = _slots.get(key)
    if slot is None:
        raise ComputicleDied(name, "is not supervised any more")
    return slot.find(dead)
