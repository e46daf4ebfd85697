"""Every kind of death is noticed at once, and told to everybody."""

import atexit
import gc
import os
import resource
import signal
import subprocess
import time
from functools import partial
from typing import Any

import pytest

from computicle import *
from computicle.worlds.launcher import launcher
from tests.worlds.conftest import await_gone, descriptors
from tests.worlds.helpers import claim_end, is_running, is_there, told

WAYS = {
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": "SIGKILL",
    "import os, signal; os.kill(os.getpid(), signal.SIGTERM)": "SystemExit",
    "import ctypes; ctypes.string_at(0)": "SIGSEGV",
    "import os; os.abort()": "SIGABRT",
    "import os; os._exit(0)": "status 0",
    "import os; os._exit(7)": "status 7",
    "import sys; sys.exit(7)": "SystemExit",
    "raise KeyboardInterrupt": "KeyboardInterrupt",
    "import os, signal; os.kill(os.getpid(), signal.SIGINT)\nfrom computicle import *; sleep(9)": "KeyboardInterrupt",
}  # source, and what is said of it


@pytest.mark.parametrize("source", WAYS)
def test_whoever_waits_is_told_how(source: str) -> None:
    def main() -> None:
        computicle = Computicle("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n" + source)
        with pytest.raises(ComputicleDied, match=WAYS[source]) as caught:
            computicle.wait()
        assert caught.value.name == computicle.name
        assert not computicle.alive
        assert not is_there(computicle.pid)

    run(main)


@pytest.mark.parametrize("source", [way for way in WAYS if WAYS[way] in ("SIGKILL", "SIGSEGV", "status 0", "status 7")])
def test_callers_and_posters_are_told(source: str) -> None:
    def until_told(word: Any) -> str:
        try:
            while True:
                word()
        except ComputicleDied as died:
            return died.how

    def main() -> None:
        computicle = Computicle()
        fibers = [
            spawn(until_told, lambda: computicle.call(sleep, 3600)),
            spawn(until_told, lambda: computicle.exec("from computicle import *; sleep(3600)").result()),
            spawn(until_told, lambda: computicle.post(bytes(10_000))),
            spawn(until_told, lambda: computicle["__name__"]),
        ]
        dying = computicle.exec("import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n" + source)
        with pytest.raises(ComputicleDied):
            computicle.wait()
        with pytest.raises(ComputicleDied):
            dying.result()
        for fiber in fibers:
            assert fiber.join()

    run(main)


def test_killed_from_outside() -> None:
    def main() -> None:
        computicle = Computicle()
        os.kill(computicle.pid, signal.SIGKILL)
        with pytest.raises(ComputicleDied, match="SIGKILL"):
            computicle.wait()
        with pytest.raises(ComputicleDied, match="SIGKILL"):
            computicle.post(1)

    run(main)


def test_a_stopped_one_can_be_killed() -> None:
    def main() -> None:
        computicle = Computicle()
        os.kill(computicle.pid, signal.SIGSTOP)
        computicle.kill()
        with pytest.raises(ComputicleDied, match="was killed"):
            computicle.wait()

    run(main)


def test_killed_as_soon_as_it_is_made() -> None:
    def main() -> None:
        for _ in range(20):
            computicle = Computicle(sleep, 3600)
            computicle.kill()
            with pytest.raises(ComputicleDied, match="was killed"):
                computicle.wait()

    run(main)


def test_a_memory_limit() -> None:
    def greedy() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
        kept = [bytearray(1 << 28) for _ in range(100)]
        del kept

    with pytest.raises(MemoryError):
        run(lambda: Computicle(greedy).wait())


def test_its_subprocesses_die_with_it() -> None:
    def parent(to: Computicle) -> None:
        to.post(subprocess.Popen(["sleep", "3600"]).pid)
        receive()

    def main() -> None:
        me = self_()
        killed = Computicle(parent, me)
        pid = receive()
        killed.kill()
        with pytest.raises(ComputicleDied):
            killed.wait()
        await_gone(lambda: is_running(pid))
        ended = Computicle(parent, me)
        pid = receive()
        ended.post("go on")
        ended.wait()
        await_gone(lambda: is_running(pid))

    run(main)


def test_a_zygote_that_is_killed_takes_its_worlds_along_and_a_new_one_takes_its_place() -> None:
    def stuck(to: Computicle) -> None:
        to.post("begun")
        time.sleep(60)  # it can be told nothing

    def main() -> None:
        computicles = [Computicle(), Computicle(stuck, self_()), Computicle()]
        assert receive() == "begun"
        claiming = [claim_end(computicle, "zygote lost") for computicle in computicles]
        callers = [spawn(told, partial(computicle.call, sleep, 3600)) for computicle in computicles]
        assert computicles[0].call(abs, -1) == 1
        assert launcher._process is not None
        zygote = launcher._process.pid
        os.kill(zygote, signal.SIGKILL)
        for claim, caller in zip(claiming, callers, strict=True):
            claim.join()
            assert "zygote lost" in caller.join()
        await_gone(lambda: [computicle for computicle in computicles if is_running(computicle.pid)])
        assert Computicle(abs, -5).wait() == 5
        assert launcher._process.pid != zygote
        assert not is_there(zygote)

    run(main)


@pytest.mark.parametrize("victim", ["sender", "receiver"])
def test_a_death_in_the_middle_of_big_messages(victim: str) -> None:
    size = 100 << 20

    def send(to: Computicle) -> None:
        block = bytearray(size)
        while True:
            to.post(block)

    def take(to: Computicle) -> None:
        while True:
            assert len(receive()) == size
            to.post("got one")

    def main() -> None:
        me = self_()
        for round_ in range(3):
            receiver = Computicle(take, me)
            sender = Computicle(send, receiver)
            for _ in range(round_):
                assert receive() == "got one"
            if victim == "sender":
                sender.kill()
                receiver.quit(drain=False)
            else:
                receiver.kill()
                with pytest.raises(ComputicleDied):
                    sender.wait()
            for computicle in (sender, receiver):
                try:
                    computicle.wait()
                except ComputicleDied:
                    pass
            while True:
                try:
                    receive(timeout=0)
                except TimeoutError:
                    break

    run(main)


@pytest.mark.parametrize("size", [30_000, 300_000, 3_000_000], ids=["in the packet", "beside it", "heavy"])
@pytest.mark.parametrize("done", [0.0, 0.3, 0.999, 1.0])
def test_a_sender_that_dies_with_part_of_a_message_written(size: int, done: float) -> None:
    """What it had sent arrives, what it was about to send does not, and what others send is whole."""

    def send(to: Computicle) -> None:
        def write_and_die(file: int, pieces: Any) -> None:
            os.write(file, b"".join(pieces)[: int(size * done)])
            os.kill(os.getpid(), signal.SIGKILL)

        to.post("before")
        os.writev = write_and_die  # type: ignore[assignment]
        to.post(bytearray(size))
        os.kill(os.getpid(), signal.SIGKILL)

    def main() -> None:
        me = self_()
        sender = Computicle(send, me)
        with pytest.raises(ComputicleDied, match="SIGKILL"):
            sender.wait()
        me.post("after")
        assert receive() == "before"
        if size < 40_000:  # this was sent at once
            assert receive() == bytearray(size)
        assert receive() == "after"

    run(main)


class Deadly:
    """Kills whoever packs it, or whoever rebuilds it."""

    def __init__(self, victim: str) -> None:
        self.victim = victim

    def __reduce__(self) -> Any:
        if self.victim == "sender":
            os.kill(os.getpid(), signal.SIGKILL)
        return eval, ("__import__('os').kill(__import__('os').getpid(), 9)",)


@pytest.mark.parametrize("filling", [0, 1000, 300_000])
@pytest.mark.parametrize("way", ["message", "call", "global"])
def test_a_receiver_that_dies_while_it_rebuilds_what_has_come(filling: int, way: str) -> None:
    deadly = [bytearray(filling), Deadly("receiver"), bytearray(filling)]

    def main() -> None:
        victim = Computicle(receive, stay=True)
        if way == "message":
            victim.post(deadly)
            victim_waits = [spawn(told, lambda: victim.call(sleep, 3600))]
        elif way == "call":
            victim_waits = [spawn(told, lambda: victim.call(len, deadly))]
        else:
            victim_waits = [spawn(told, lambda: victim.__setitem__("x", deadly))]
        with pytest.raises(ComputicleDied, match="SIGKILL"):
            victim.wait()
        for waiter in victim_waits:
            assert "SIGKILL" in waiter.join()

    run(main)


@pytest.mark.parametrize("way", ["value", "answer", "global"])
def test_one_that_dies_while_it_packs_what_it_gives(way: str) -> None:
    def main() -> None:
        if way == "value":
            victim = Computicle(lambda: [1, Deadly("sender")])
            waiters = []
        else:
            victim = Computicle("def give(): return [1, deadly]", deadly=None, stay=True)
            victim.exec(lambda: globals().__setitem__("deadly", Deadly("sender"))).result()
            word = (lambda: victim.call("give")) if way == "answer" else (lambda: victim["deadly"])
            waiters = [spawn(told, word)]
        with pytest.raises(ComputicleDied, match="SIGKILL"):
            victim.wait()
        for waiter in waiters:
            assert "SIGKILL" in waiter.join()

    run(main)


def test_those_that_have_ended_take_up_nothing_even_before_the_collector_comes() -> None:
    def one() -> None:
        Computicle(abs, -1).wait()
        with pytest.raises(ZeroDivisionError):
            Computicle("1 / 0").wait()
        with Computicle() as service:
            service.call(abs, -1)

    def main() -> None:
        one()
        before = len(descriptors())
        for _ in range(5):
            one()
        assert len(descriptors()) <= before

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()


def test_a_post_while_it_is_ending_does_not_hide_its_error() -> None:
    def fail() -> None:
        atexit.register(time.sleep, 0.6)
        raise LookupError

    def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            with scope():
                computicle = Computicle(fail)
                with pytest.raises(ComputicleDied):
                    while True:
                        computicle.post(1)
                        yield_()
        assert caught.group_contains(LookupError)

    run(main)
