"""Own: what a computicle does with itself: its handle, and its messages.

The main program is one, too: it has a mailbox once it asks for its handle.

Not here: the mailbox (mailbox.py), handles (handle.py).
"""

import math
import os
import socket
from typing import Any

from computicle.engine.packets import packet_pair
from computicle.scheduler.arguments import checked_timeout
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import running
from computicle.scheduler.word import entering
from computicle.worlds.computicle import Computicle
from computicle.worlds.home import Home, home_of
from computicle.worlds.mailbox import Mailbox
from computicle.worlds.obituary import RUN_OVER

__all__ = ["receive", "self_"]


def receive(timeout: float | None = None) -> Any:
    """Take the next message of this computicle's mailbox. Waits for it.

    Raises:
        TimeoutError: none came within `timeout` seconds.
        RuntimeError: it has an on_message, which gets them all.
    """
    timeout = checked_timeout("receive", timeout)
    me = entering()
    home = home_of(me)
    if home.life is not None and home.life.has_on_message():
        raise RuntimeError("receive: this computicle has an on_message, which gets all messages: use one of the two")
    mailbox = home.mailbox
    if mailbox is None:
        mailbox = _open_mailbox(me, home)
    return mailbox.receive(me, timeout)


def self_() -> Computicle:
    """The handle of the computicle this is called in. Never waits.

    In the main program it is that of the run, and does no more once the run is over.
    """
    me = running()
    home = home_of(me)
    if home.handle is None:
        _open_mailbox(me, home)
    assert isinstance(home.handle, Computicle)
    return home.handle


def _open_mailbox(me: Fiber, home: Home) -> Mailbox:
    """In the main program: have messages arrive."""
    mail, mail_here = packet_pair()
    obituary, obituary_here = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    obituary.setblocking(False)
    handle = Computicle.__new__(Computicle)
    handle._attach(home.uid, "main", math.inf, mail, home.lane.sock.dup(), obituary, os.getpid())
    home.handle = handle
    home.mailbox = Mailbox(me.kernel, home.scope, mail_here)

    def end() -> None:
        obituary_here.send(RUN_OVER)
        obituary_here.close()

    home.closing.append(end)
    return home.mailbox
