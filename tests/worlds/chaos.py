"""Chaos: random worlds are killed at random moments, under load. Whoever waits must be told.

A hub of fibers in the main program keeps a number of worlds busy: with messages
small and big, with calls, and with each other's handles. Meanwhile one after
the other is killed, by a way drawn from the seed, and replaced.
"""

import os
import random
import signal
from collections import Counter
from typing import Any

from computicle import *

WORLDS = 5
CRASH = (
    "import os, resource, signal\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\nos.kill(os.getpid(), signal.SIGBUS)"
)
HANG_S = 20.0  # how long one thing may take: bounds a hang


def echo(message: Any) -> None:
    asker, number, _filling = message
    asker.post(number)


def relay(other: Computicle, number: int) -> int:
    """Call on: there and back again through a third."""
    return other.call(abs, -number) + 1  # type: ignore[no-any-return]


def work(number: int) -> bytes:
    for _ in range(number % 5):
        yield_()
    return bytes(number % 200_000)


class Chaos:
    """One run of it."""

    def __init__(self, seed: int, kills: int) -> None:
        self.random = random.Random(seed)
        self.kills = kills
        self.worlds: list[Computicle] = []
        self.fared: Counter[str] = Counter()
        self.over = False

    def main(self) -> None:
        me = self_()
        with move_on_after(3600), scope() as s:
            self.worlds = [self.make() for _ in range(WORLDS)]
            loads = [s.spawn(self.load, me) for _ in range(2 * WORLDS)]
            drain = s.spawn(self.drain)
            for _ in range(self.kills):
                for _ in range(self.random.choice([0, 1, 1, 5, 30])):
                    yield_()
                self.kill_one()
            self.over = True
            for load in loads:
                load.join(timeout=HANG_S)
            drain.cancel()
            for world in self.worlds:
                world.quit(drain=False)
            for world in self.worlds:
                assert world.wait(timeout=HANG_S) is None

    def make(self) -> Computicle:
        return Computicle(on_message=echo)

    def kill_one(self) -> None:
        index = self.random.randrange(WORLDS)
        victim = self.worlds[index]
        waiters = [spawn(self.await_end, victim) for _ in range(2)]
        yield_()  # they wait: its death is theirs, not the scope's
        way = self.random.choice(["kill", "SIGKILL", "exit", "segfault", "other"])
        if way == "kill":
            victim.kill()
        elif way == "SIGKILL":
            os.kill(victim.pid, signal.SIGKILL)
        elif way == "other":
            self.attempt(lambda: self.worlds[index - 1].call(Computicle.kill, victim, timeout=HANG_S))
            victim.kill()  # should that other one have died meanwhile
        else:
            code = "import os; os._exit(3)" if way == "exit" else CRASH
            self.attempt(lambda: victim.exec(code).result(timeout=HANG_S))
        for waiter in waiters:
            assert waiter.join(timeout=HANG_S)
        assert not victim.alive
        assert not os.path.exists(f"/proc/{victim.pid}")
        self.fared[way] += 1
        self.worlds[index] = self.make()

    def await_end(self, victim: Computicle) -> bool:
        try:
            victim.wait(timeout=HANG_S)
        except ComputicleDied:
            return True
        return False

    def attempt(self, act: Any) -> None:
        try:
            act()
        except ComputicleDied:
            self.fared["told"] += 1
        else:
            self.fared["done"] += 1

    def load(self, me: Computicle) -> None:
        while not self.over:
            world, other = self.random.choice(self.worlds), self.random.choice(self.worlds)
            number = self.random.randrange(1 << 16)
            filling = bytes(self.random.choice([0, 0, 10, 10, 1000, 1000, 60_000, 2_000_000]))
            kind = self.random.choice(["post", "post", "work", "relay", "cancel", "pass"])
            if kind == "post":
                self.attempt(lambda: world.post((me, number, filling)))
            elif kind == "work":
                self.attempt(lambda: world.call(work, number, timeout=HANG_S))
            elif kind == "relay":
                self.attempt(lambda: world.call(relay, other, number, timeout=HANG_S))
            elif kind == "pass":
                self.attempt(lambda: world.call(len, [me, world, other], timeout=HANG_S))
            else:
                with move_on_after(0.0005):
                    self.attempt(lambda: world.call(sleep, 3600))
            yield_()

    def drain(self) -> None:
        while True:
            receive()
            self.fared["echoes"] += 1
