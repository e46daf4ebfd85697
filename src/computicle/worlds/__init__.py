"""Computicles: isolated worlds, one process each."""

from computicle.worlds.computicle import Computicle
from computicle.worlds.errors import ComputicleDied, RemoteError
from computicle.worlds.own import receive, self_
from computicle.worlds.reply import Reply

__all__ = ["Computicle", "ComputicleDied", "RemoteError", "Reply", "receive", "self_"]
