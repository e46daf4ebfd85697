"""Pollers: epoll and kqueue behind one small face, edge-triggered.

A descriptor is registered once, for both directions, and never touched again
until it is closed (closing removes it, unless another process has it, too).
The exception are those that ask for levels: they are reported each time, as
long as there is something to read. Where many processes wait for one thing, each
may ask to be woken alone: then what comes wakes one of those that sleep, if the
system can do that (EPOLLEXCLUSIVE), and is not told to the others. Events are reported
as (descriptor, mask) with the masks below, whatever the system calls them.

Each poller is handed the module with the system's calls, so that both can be
read, checked and tested on a system that has only one of them.

Not here: what to do about an event (readiness.py).

Sources: epoll(7), kqueue(2).
"""

import contextlib
import select
import sys
from typing import Any, Protocol

__all__ = ["END", "READ", "TIMEOUT_S_MAX", "WRITE", "EpollPoller", "KqueuePoller", "Poller", "make_poller"]

# epoll's own bits, so that its events need no translation.
READ = 0x001  # bytes, a connection or the end have arrived
WRITE = 0x004  # room has appeared, or a connection attempt has been decided
END = 0x002 | 0x008 | 0x010 | 0x2000  # PRI, ERR, HUP, RDHUP: a short read may not have emptied the descriptor

EVENTS_MAX = 1024  # events taken in one go; the rest come with the next poll
TIMEOUT_S_MAX = 86_400.0 * 20  # epoll counts milliseconds in an int, and macOS refuses more than some years


class Poller(Protocol):
    """Where descriptors are registered, and their changes come from."""

    def register(self, descriptor: int, *, level: bool = False, alone: bool = False) -> None: ...
    def unregister(self, descriptor: int) -> None: ...
    def poll(self, timeout: float | None) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


class EpollPoller:
    """epoll through the standard library."""

    def __init__(self, system: Any = select) -> None:
        self._epoll = system.epoll()
        # PRI, because a read stops short before urgent data, however much lies behind it.
        self._interest = system.EPOLLIN | system.EPOLLOUT | system.EPOLLRDHUP | system.EPOLLPRI | system.EPOLLET
        self._alone = system.EPOLLIN | system.EPOLLEXCLUSIVE

    def register(self, descriptor: int, *, level: bool = False, alone: bool = False) -> None:
        self._epoll.register(descriptor, self._alone if alone else READ if level else self._interest)

    def unregister(self, descriptor: int) -> None:
        self._epoll.unregister(descriptor)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if timeout is None:
            return self._epoll.poll(-1, EVENTS_MAX)  # type: ignore[no-any-return]
        return self._epoll.poll(min(timeout, TIMEOUT_S_MAX), EVENTS_MAX)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._epoll.close()


class KqueuePoller:
    """kqueue through the standard library (macOS and the BSDs)."""

    def __init__(self, system: Any = select) -> None:
        self._system = system
        self._kqueue = system.kqueue()

    def register(self, descriptor: int, *, level: bool = False, alone: bool = False) -> None:
        system = self._system
        level = level or alone
        flags = system.KQ_EV_ADD if level else system.KQ_EV_ADD | system.KQ_EV_CLEAR
        filters = (system.KQ_FILTER_READ,) if level else (system.KQ_FILTER_READ, system.KQ_FILTER_WRITE)
        self._kqueue.control([system.kevent(descriptor, filter, flags) for filter in filters], 0)

    def unregister(self, descriptor: int) -> None:
        system = self._system
        for filter in (system.KQ_FILTER_READ, system.KQ_FILTER_WRITE):
            with contextlib.suppress(FileNotFoundError):  # it was registered for the other one only
                self._kqueue.control([system.kevent(descriptor, filter, system.KQ_EV_DELETE)], 0)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        system = self._system
        events: list[tuple[int, int]] = []
        if timeout is not None:
            timeout = min(timeout, TIMEOUT_S_MAX)
        for event in self._kqueue.control(None, EVENTS_MAX, timeout):
            mask = READ if event.filter == system.KQ_FILTER_READ else WRITE
            if event.flags & system.KQ_EV_EOF:
                mask |= END
            events.append((event.ident, mask))
        return events

    def close(self) -> None:
        self._kqueue.close()


def make_poller() -> Poller:
    """A new poller for this system."""
    return EpollPoller() if sys.platform == "linux" else KqueuePoller()
