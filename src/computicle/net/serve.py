"""Serve: a fiber for every connection, until cancelled.

Rules:
  1. A handler's error is logged and ends its own connection, nothing else;
     except SystemExit and KeyboardInterrupt, which end the run.
  2. With `limit` handlers at work nobody is accepted: the system's own queue
     holds the rest back.
  3. Running out of descriptors is waited out.
  4. Cancelled, it stops accepting at once; the handlers have `grace` seconds
     to finish, and are cancelled then. It ends when they have.
  5. A connection gives its place back, and is closed, when its handler has
     ended, or has turned out never to begin.

Not here: accepting (listener.py), protocols.
"""

import errno
import logging
import math
from collections.abc import Callable
from typing import Any

from computicle.net.listener import Listener, listen
from computicle.net.stream import Stream, was_broken_by
from computicle.scheduler.arguments import checked_callable, checked_count, checked_seconds
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.locks import Semaphore
from computicle.scheduler.log import log_error
from computicle.scheduler.park import Opening, look_around
from computicle.scheduler.scope import FreeScope, Scope
from computicle.scheduler.spots import calls_out
from computicle.scheduler.timeouts import sleep_for
from computicle.scheduler.word import entering

__all__ = ["serve"]

LIMIT = 10_000  # handlers at once, unless told otherwise
GRACE_S = 3.0  # what handlers get to finish, unless told otherwise
EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)  # accept(2)
EXHAUSTED_PAUSE_S = 0.05  # before accepting again then

_log = logging.getLogger("computicle")


def serve(
    handler: Callable[[Stream], Any],
    port_or_listener: int | Listener,
    host: str | None = "127.0.0.1",
    *,
    limit: int = LIMIT,
    grace: float = GRACE_S,
) -> None:
    """Call `handler(stream)` in a fiber for every connection, until cancelled. Closes each stream afterwards.

    Each handler has a scope of its own: its stream is closed when what it has
    spawned has ended, too.

    Args:
        handler: its error is logged, and ends only its own connection. So does one of a fiber that it has spawned.
        port_or_listener: a TCP port, or a Listener, which nobody else may use meanwhile, and which is closed in the end.
        host: where to listen, if a port was given.
        limit: how many handlers may be at work at once.
        grace: seconds the handlers have to finish, once this is cancelled.

    Raises:
        Cancelled: the only way it ends well.
        ClosedError: somebody has closed the listener.
        OSError: it cannot listen.
        RuntimeError: the listener is being served already, or belongs to another thread. It stays open.
    """
    checked_callable("serve", "handler", handler)
    grace = checked_seconds("serve", "grace", grace)
    checked_count("serve", "limit", limit, 1)
    if not isinstance(port_or_listener, (int, Listener)):
        raise TypeError(f"serve: port_or_listener must be a port (an int) or a Listener, not {port_or_listener!r}")
    room = Semaphore(limit)
    me = entering()
    listener = port_or_listener if isinstance(port_or_listener, Listener) else listen(port_or_listener, host)
    listener.engage(me)
    handlers = FreeScope(me.kernel)
    try:
        with listener:
            while True:
                room.acquire()
                stream = _accept(me, listener)
                handlers.begin(_handle, (_Visit(stream, room), handler), {}, f"connection from {stream.remote}")
    finally:
        handlers.drain(me, grace=None if grace == math.inf else grace)


class _Visit(Opening):
    """A connection, and its place among those that are handled."""

    __slots__ = ("room", "stream")

    def __init__(self, stream: Stream, room: Semaphore) -> None:
        self.stream = stream
        self.room = room

    def end(self) -> None:
        self.stream.close()
        self.room.release()


@calls_out
def _handle(visit: _Visit, handler: Callable[[Stream], Any]) -> None:
    stream = visit.stream
    try:
        with Scope():  # of its own: what it has spawned ends with it, and fails with it
            handler(stream)
    except (Cancelled, SystemExit, KeyboardInterrupt):
        raise
    except BaseException as error:
        if _is_disconnection(stream, error):
            _log.info("connection from %s ended: %s", stream.remote, _first_of(error))
        else:
            log_error(error, "the handler of the connection from %s failed", stream.remote)
    finally:
        visit.end()


def _is_disconnection(stream: Stream, error: BaseException) -> bool:
    """True if it says that this connection is lost; also of a group that says nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return all(_is_disconnection(stream, one) for one in error.exceptions)
    return was_broken_by(stream, error)


def _first_of(error: BaseException) -> BaseException:
    """The error itself, or the first one of a group."""
    return _first_of(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


def _accept(me: Fiber, listener: Listener) -> Stream:
    warned = False
    while True:
        try:
            return listener.accept()
        except OSError as error:
            if error.errno not in EXHAUSTED:
                raise
            if not warned:
                _log.warning("cannot accept on %s: %s; trying again until it works", listener.address, error)
                warned = True
        if me.credit <= 0:
            look_around(me)  # it may have waited for the connection already
        sleep_for(me, EXHAUSTED_PAUSE_S)
