"""Own: what a computicle does with itself: its handle, and its messages.

The main program is one, too: it has a mailbox once it asks for its handle.

Not here: the mailbox (mailbox.py), handles (handle.py).
"""

from typing import Any

from computicle.scheduler.arguments import checked_timeout
from computicle.scheduler.flows import outermost, running
from computicle.scheduler.word import entering
from computicle.worlds.computicle import Computicle
from computicle.worlds.handle import open_mailbox, own_handle
from computicle.worlds.home import Home, home_of

__all__ = ["receive", "self_"]


def receive(timeout: float | None = None) -> Any:
    """Take the next message of this computicle's mailbox. Waits for it.

    Raises:
        TimeoutError: none came within `timeout` seconds.
        RuntimeError: it has an on_message, which gets them all.
        Exception: what rebuilding the message here has raised. It is taken then.
    """
    if timeout is not None:
        timeout = checked_timeout("receive", timeout)
    me = entering()
    home: Home = outermost(me).home or home_of(me)
    if home.hands_over:
        home.check_receiving("receive")
    mailbox = home.mailbox
    if mailbox is None:
        mailbox = open_mailbox(me, home)
    return mailbox.receive(me, timeout)


def self_() -> Computicle:
    """The handle of the computicle this is called in. Never waits.

    In the main program it is that of the run, and does no more once the run is over.
    """
    handle = own_handle(running())
    assert isinstance(handle, Computicle)
    return handle
