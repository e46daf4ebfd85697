"""What several tests have computicles do, and how they wait for one another."""

import os
from typing import Any

import pytest

from computicle import *


class Bomb:
    """Can be packed, and not rebuilt."""

    def __reduce__(self) -> Any:
        return int, ("not a number",)


def linger(to: Computicle) -> None:
    """Say so, and once more when it is ended."""
    try:
        to.post("begun")
        sleep(3600)
    finally:
        with shield():
            to.post("finally")


def told(word: Any) -> str:
    """What is said of the death that `word` meets with."""
    try:
        return f"not told: {word()!r}"
    except ComputicleDied as died:
        return died.how


def claim_end(computicle: Computicle, how: str | None = None) -> Fiber:
    """A fiber that waits for its death: so that is this one's, and not the scope's."""

    def claim() -> None:
        with pytest.raises(ComputicleDied, match=how):
            computicle.wait()

    claiming = spawn(claim)
    yield_()
    return claiming


def parked_sender(computicle: Computicle, messages: int) -> Fiber:
    """A fiber that posts more than its mailbox holds, and has come to wait for room."""

    def send() -> None:
        for _ in range(messages):
            computicle.post(bytes(1000))

    sender = spawn(send)
    wait_for(lambda: "room for" in (sender.waits_for or ""))
    return sender


def state_of(task: str) -> str:
    """What a process or thread does now, in one letter."""
    with open(f"/proc/{task}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def is_running(pid: int) -> bool:
    """Zombies are not: whoever adopts one may take its time to reap it."""
    try:
        return state_of(str(pid)) != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def is_there(pid: int) -> bool:
    """If only as a zombie."""
    return os.path.exists(f"/proc/{pid}")
