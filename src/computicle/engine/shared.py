"""Shared: one end of a way between processes, which others may have, too, while somebody here waits at it.

Rules:
  1. An end that others have, too, stays in an event system after it was closed
     here (epoll(7), Q&A 6): so it is struck off first.
  2. A sending end is registered for events only while somebody waits for room:
     otherwise each thing the receiver takes would wake all who may send.
  3. A pipe that is read is registered for levels, and only as long as somebody
     waits when something comes. So whoever reads need not read until nothing is
     left to hear of what comes next.
  4. Where many processes read one pipe, each thing that comes may be told to one of them
     alone. If nobody waits for it there any more, that one passes it on.

Not here: what goes over it (packets.py, pipes.py), who waits (readiness.py).
"""

from collections.abc import Callable
from typing import Any

from computicle.engine.op import Op
from computicle.engine.pollers import Poller

__all__ = ["SharedWire"]


class SharedWire:
    """What the engine knows of such an end. The attempts are its kinds'.

    Args:
        label: what a fiber that waits here waits for.
        forget: how the engine is told that it is closed.
        poller: for rule 3: where it is registered once somebody is about to wait. None: the engine has done that
            already, for edges.
        pass_on: for rule 4: what passes it on.
    """

    __slots__ = (
        "_forget",
        "_pass_on",
        "_poller",
        "closed",
        "descriptor",
        "doubtful",
        "readable",
        "reading",
        "registered",
        "writable",
        "writing",
    )

    def __init__(
        self,
        descriptor: int,
        label: str,
        forget: Callable[[Any], None],
        poller: Poller | None = None,
        pass_on: Callable[[], None] | None = None,
    ) -> None:
        self._poller = poller  # which reports levels; None: edges
        self._pass_on = pass_on
        self.registered = poller is None
        self._forget = forget
        self.descriptor = descriptor
        self.readable = True  # these three are the engine's to set, as on any wire (wire.py)
        self.writable = False  # whoever waits for room has just found none
        self.doubtful = False
        self.closed = False
        self.reading = Op(lambda: label)
        self.writing = Op(lambda: label)

    def heed(self) -> None:
        """Somebody is about to wait for something to read, who may not have looked whether there is."""
        if not self.registered:
            assert self._poller is not None
            self._poller.register(self.descriptor, level=True, alone=self._pass_on is not None)
            self.registered = True

    def unheeded(self) -> None:
        """There is something to read, and nobody waits: where levels are reported, that would be said for ever."""
        if self._poller is not None:
            self.ignore()
            if self._pass_on is not None:
                self._pass_on()

    def ignore(self) -> None:
        """Nobody is to be told what there is to read, until somebody heeds it again. Where levels are reported."""
        if self._poller is not None and self.registered:
            self._poller.unregister(self.descriptor)
            self.registered = False

    def close(self) -> None:
        """Strike it off. The descriptor is its owner's, and stays open."""
        if not self.closed:
            self.closed = True
            self._forget(self)
            self.readable = self.writable = False
            self.reading.retire()
            self.writing.retire()
