"""Computicles: isolated worlds, one process each."""

from computicle.worlds.computicle import Computicle
from computicle.worlds.errors import ComputicleDied, RemoteError
from computicle.worlds.handle import Down
from computicle.worlds.own import receive, self_
from computicle.worlds.reply import Reply
from computicle.worlds.supervisor import GaveUp, Restart, Spec, Supervisor, supervise

__all__ = [
    "Computicle",
    "ComputicleDied",
    "Down",
    "GaveUp",
    "RemoteError",
    "Reply",
    "Restart",
    "Spec",
    "Supervisor",
    "receive",
    "self_",
    "supervise",
]
