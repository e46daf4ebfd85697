"""Obituary: how a computicle has ended, told to everybody who has a handle of it.

The zygote, whose child each computicle is, puts one packet into a socket once
the process is gone, and everybody else only looks at it: it stays there. Were the
zygote to die, the socket would end without one.

Rules:
  1. It is told after the process has been reaped: whoever reads it can count
     on nothing being left of it.
  2. What the target returned or raised, if it got so far, is in it.

Not here: who writes it (zygote.py), who waits for it (keeper.py).
"""

import os
import pickle
import signal
from typing import Any, NamedTuple

from computicle.engine.packets import Packet
from computicle.worlds.codec import unpack
from computicle.worlds.errors import ComputicleDied, bring_error

__all__ = ["RUN_OVER", "End", "read_end", "write_end"]

RUN_OVER = b"R"  # of the main program's run: it has no other end that anybody could read


class End(NamedTuple):
    """How it has ended: with a value, or with an error."""

    value: Any
    error: BaseException | None


def write_end(status: int, why: str, outcome: bytes | None) -> bytes:
    """The packet.

    Args:
        status: of the process, as waitpid(2) has it.
        why: why it was ended, if it was.
        outcome: what it has said itself, packed.
    """
    return b"E" + pickle.dumps((status, why, outcome))


def read_end(packet: Packet, name: str, *, main: bool = False) -> End:
    """What such a packet says. If there is none, whoever was to write it is gone: the zygote, or the main program."""
    if not packet.data:
        how = "died in the middle of its run" if main else "died with the zygote: zygote lost"
        return End(None, ComputicleDied(name, how))
    if packet.data == RUN_OVER:
        return End(None, ComputicleDied(name, "has ended its run"))
    status, why, outcome = pickle.loads(memoryview(packet.data)[1:])  # noqa: S301  # from our own zygote
    if outcome is None or why:
        packet.close()
        return End(None, ComputicleDied(name, why or _how(status)))
    try:
        carried = unpack(outcome, 1, packet.descriptors, shared=True)
    except Exception as error:
        died = ComputicleDied(name, f"has ended, but what came of it cannot be read here: {error!r}")
        died.__cause__ = error
        return End(None, died)
    return End(None, bring_error(carried)) if outcome[0] else End(carried, None)


def _how(status: int) -> str:
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        try:
            name = signal.Signals(number).name
        except ValueError:
            name = f"signal {number}"
        return f"was killed by {name}"
    return f"ended without a word, with exit status {os.waitstatus_to_exitcode(status)}"
