"""Idle world: a computicle that waits for a message does nothing at all.

It has answered one, and is then watched for 5 seconds (watching.py); so is the zygote that it was forked from.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from bench.case import Case, Target
from bench.watching import UNITS, watched

__all__ = ["CASES"]

SETTLE_S = 0.5  # until it waits again


def on_computicle(which: Callable[[int], int], _count: int, computicle: Any) -> dict[str, float]:
    def answer(maker: Any) -> None:
        while True:
            maker.post(computicle.receive())

    def main() -> dict[str, float]:
        with computicle.Computicle(answer, computicle.self_()) as world:
            world.post("ping")
            assert computicle.receive() == "ping"
            time.sleep(SETTLE_S)
            numbers = watched(which(world.pid))
            assert world.alive
        return numbers

    return dict(computicle.run(main))


def _itself(pid: int) -> int:
    return pid


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("PPid:"))


CASES = [
    Case(
        "an idle computicle, for 5 s",
        1,
        {"computicle": partial(on_computicle, _itself), "computicle zygote": partial(on_computicle, _parent)},
        UNITS,
        (Target("system calls", 0.0), Target("CPU", 0.0), Target("context switches", 0.0)),
        rounds=3,
        rounds_quick=1,
    )
]
