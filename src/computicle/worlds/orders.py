"""Orders: what a zygote is told, and what it answers, as packets.

Not here: what it does about them (zygote.py), how a computicle's end is told
(obituary.py).
"""

import contextlib
import os
import pickle
from collections.abc import Sequence
from typing import Any, NamedTuple

from computicle.engine.packets import Packet, PacketSocket, send_packet

__all__ = [
    "ALIVE",
    "BE_BORN",
    "KILL",
    "OUTCOME",
    "QUIT",
    "START",
    "TRY_OUT",
    "Birth",
    "Start",
    "alive",
    "ending",
    "killing",
    "quitting",
    "said",
    "starting",
    "trying",
]

START = b"S"
KILL = b"K"
QUIT = b"Q"
ALIVE = b"A"
OUTCOME = b"O"
BE_BORN = b"B"  # to one that was forked: what it is comes over its lane. With what it is given
TRY_OUT = b"T"  # to one that was forked: import modules, and say what speaks against that


class Birth(NamedTuple):
    """What the zygote's child finds. Who gets one back from the zygote's functions is that child, and returns it."""

    link: int  # to the zygote: over it comes the rest
    place: int  # its own (places.py)
    limit: tuple[int, int]  # of descriptors


class Start(NamedTuple):
    """One that the zygote is to start."""

    uid: bytes
    preload: tuple[str, ...]
    owner: bytes  # who makes it
    given: Sequence[int]  # what it gets
    obituary: PacketSocket  # what it comes to: for everybody who has a handle of it
    birth: PacketSocket  # what comes of this: for its maker alone

    def tell(self, data: bytes, descriptors: Sequence[int] = ()) -> None:
        """Put it into the obituary."""
        with contextlib.suppress(OSError):  # nobody is left who would read it
            send_packet(self.obituary, data, descriptors)

    def answer(self, what: int | Exception) -> None:
        """Tell who has asked."""
        with contextlib.suppress(OSError):
            send_packet(self.birth, pickle.dumps(what))
        self.birth.close()

    def refuse(self, error: Exception) -> None:
        """It cannot be started: whoever has asked is told, and nobody else is concerned."""
        if not isinstance(error, (OSError, ImportError)):
            error = RuntimeError(f"the zygote failed: {error!r}")
        self.answer(error)
        self.drop()

    def drop(self) -> None:
        """Close what came with it."""
        self.birth.close()
        self.obituary.close()
        self.close_given()

    def close_given(self) -> None:
        for descriptor in self.given:
            os.close(descriptor)


def starting(uid: bytes, preload: tuple[str, ...]) -> bytes:
    """Start one. With descriptors: its mail (pipe, socket), lane, standard output and error, obituary, birth."""
    return START + pickle.dumps((uid, preload))


def trying(modules: tuple[str, ...]) -> bytes:
    """Import these."""
    return TRY_OUT + pickle.dumps(modules)


def killing(uid: bytes, why: str) -> bytes:
    """Kill it, because of `why`."""
    return KILL + pickle.dumps((uid, why))


def quitting(uid: bytes, grace_s: float) -> bytes:
    """It is asked to quit: kill it if it neither ends nor gets on for so long."""
    return QUIT + pickle.dumps((uid, grace_s))


def alive() -> bytes:
    """From a computicle that quits: it gets on."""
    return ALIVE


def ending(outcome: bytes) -> bytes:
    """From a computicle that ends: what came of it. With the descriptors of that."""
    return OUTCOME + outcome


def said(packet: Packet) -> Any:
    """What the zygote answers to `starting`: a process id, or an OSError, or an ImportError."""
    return pickle.loads(packet.data)  # noqa: S301  # from our own zygote
