"""Orders: what a zygote is told, and what it answers, as packets.

Not here: what it does about them (zygote.py), how a computicle's end is told
(obituary.py).
"""

import pickle
from typing import Any

from computicle.engine.packets import Packet

__all__ = ["alive", "ending", "killing", "quitting", "said", "starting"]


def starting(uid: bytes, preload: tuple[str, ...]) -> bytes:
    """Start one. With descriptors: mailbox, lane, standard output, standard error, obituary."""
    return b"S" + pickle.dumps((uid, preload))


def killing(uid: bytes, why: str) -> bytes:
    """Kill it, because of `why`."""
    return b"K" + pickle.dumps((uid, why))


def quitting(uid: bytes, grace_s: float) -> bytes:
    """It is asked to quit: kill it if it neither ends nor gets on for so long."""
    return b"Q" + pickle.dumps((uid, grace_s))


def alive() -> bytes:
    """From a computicle that quits: it gets on."""
    return b"A"


def ending(outcome: bytes) -> bytes:
    """From a computicle that ends: what came of it. With the descriptors of that."""
    return b"O" + outcome


def said(packet: Packet) -> Any:
    """What the zygote answers to `starting`: a process id, or an OSError, or an ImportError."""
    return pickle.loads(packet.data)  # noqa: S301  # from our own zygote
