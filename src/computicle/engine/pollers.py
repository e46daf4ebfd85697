"""Pollers: epoll and kqueue behind one small face, edge-triggered.

A descriptor is registered once, for both directions, and never touched again
until it is closed (closing removes it). Events are reported as (descriptor,
mask) with the masks below, whatever the system calls them.

Not here: what to do about an event (readiness.py).

Sources: epoll(7), kqueue(2).
"""

import select
import sys
from typing import Protocol

__all__ = ["END", "READ", "WRITE", "Poller", "make_poller"]

READ = 1  # bytes, a connection or the end have arrived
WRITE = 4  # room has appeared, or a connection attempt has been decided
END = 8  # the other side will send no more, or the descriptor has failed

EVENTS_MAX = 1024  # events taken in one go; the rest come with the next poll


class Poller(Protocol):
    def register(self, descriptor: int) -> None: ...
    def poll(self, timeout: float | None) -> list[tuple[int, int]]: ...
    def close(self) -> None: ...


if sys.platform == "linux":
    # The masks are epoll's own bits, so that events need no translation.
    assert select.EPOLLIN == READ
    assert select.EPOLLOUT == WRITE
    END |= select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
    _INTEREST = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
    _TIMEOUT_S_MAX = 86_400.0 * 20  # epoll counts milliseconds in an int

    class EpollPoller:
        """epoll through the standard library."""

        def __init__(self) -> None:
            self._epoll = select.epoll()

        def register(self, descriptor: int) -> None:
            self._epoll.register(descriptor, _INTEREST)

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            if timeout is None:
                return self._epoll.poll(-1, EVENTS_MAX)
            return self._epoll.poll(min(timeout, _TIMEOUT_S_MAX), EVENTS_MAX)

        def close(self) -> None:
            self._epoll.close()

    def make_poller() -> Poller:
        """A new poller for this system."""
        return EpollPoller()

else:

    class KqueuePoller:
        """kqueue through the standard library (macOS and the BSDs)."""

        def __init__(self) -> None:
            self._kqueue = select.kqueue()

        def register(self, descriptor: int) -> None:
            flags = select.KQ_EV_ADD | select.KQ_EV_CLEAR
            filters = (select.KQ_FILTER_READ, select.KQ_FILTER_WRITE)
            self._kqueue.control([select.kevent(descriptor, filter, flags) for filter in filters], 0)

        def poll(self, timeout: float | None) -> list[tuple[int, int]]:
            events: list[tuple[int, int]] = []
            for event in self._kqueue.control(None, EVENTS_MAX, timeout):
                mask = READ if event.filter == select.KQ_FILTER_READ else WRITE
                if event.flags & select.KQ_EV_EOF:
                    mask |= END
                events.append((event.ident, mask))
            return events

        def close(self) -> None:
            self._kqueue.close()

    def make_poller() -> Poller:
        """A new poller for this system."""
        return KqueuePoller()
