"""Nothing is polled: who waits sleeps until there is something, and idle is only who has nothing to do."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from computicle import *
from computicle.worlds.world import IDLE_TIMEOUT_S


@contextmanager
def sleeps_of(kernel: Any) -> Iterator[set[float | None]]:
    """For how long it asks the system to let it sleep. None: until something comes; 0: not at all."""
    asked: set[float | None] = set()
    poll = kernel.engine.poll

    def watched(timeout: float | None) -> Any:
        asked.add(timeout)
        return poll(timeout)

    kernel.engine.poll = watched
    try:
        yield asked
    finally:
        del kernel.engine.poll


UNTIL_SOMETHING_COMES: set[float | None] = {None, 0.0}


def test_a_death_is_noticed_without_looking_for_it() -> None:
    def main() -> None:
        victim, killer = Computicle(), Computicle()
        with sleeps_of(current().kernel) as asked:
            killing = killer.exec(os.kill, victim.pid, signal.SIGKILL)
            with pytest.raises(ComputicleDied, match="SIGKILL"):
                victim.wait()
            killing.result()
        assert None in asked
        assert asked <= UNTIL_SOMETHING_COMES

    run(main)


def await_sleep(pid: int) -> None:
    while True:
        with open(f"/proc/{pid}/stat") as stat:
            if stat.read().rpartition(")")[2].split()[0] == "S":
                return


@pytest.mark.parametrize("waiting", ["code", "message", "select", "on_message"])
def test_one_without_on_idle_sleeps_until_something_comes(waiting: str) -> None:
    def work(maker: Computicle) -> None:
        with sleeps_of(current().kernel) as asked:
            for _ in range(3):
                maker.post("waits")
                if waiting == "code":
                    wait_for(lambda: came)  # type: ignore[name-defined]  # noqa: F821
                    globals()["came"] = False
                elif waiting == "message":
                    receive()
                elif waiting == "select":
                    select(Channel(1), self_())
                else:
                    wait_signal("come")
        maker.post(asked)

    def come(_message: Any) -> None:
        signal_all("come")

    def main() -> None:
        hook = {"on_message": come} if waiting == "on_message" else {}
        computicle = Computicle(work, self_(), globals={"came": False, **hook})
        for _ in range(3):
            assert receive() == "waits"
            await_sleep(computicle.pid)
            if waiting == "code":
                computicle["came"] = True
            else:
                computicle.post("come")
        assert receive() <= UNTIL_SOMETHING_COMES

    run(main)


def test_idle_is_not_who_has_something_to_do() -> None:
    def work() -> tuple[int, int]:
        before = len(idle)  # type: ignore[name-defined]  # noqa: F821
        until = time.monotonic() + 10 * idle_timeout  # type: ignore[name-defined]  # noqa: F821
        while time.monotonic() < until:
            yield_()
        return before, len(idle)  # type: ignore[name-defined]  # noqa: F821

    def main() -> None:
        me = self_()
        computicle = Computicle(stay=True, globals={"idle": []}, idle_timeout=0.001)
        computicle["on_idle"] = lambda count: (idle.append(count), me.post(count))  # type: ignore[name-defined, func-returns-value]  # noqa: F821
        assert receive() == 1
        before, after = computicle.call(work)
        assert before == after
        while receive() <= after:  # and then it is again
            pass

    run(main)


def test_how_long_it_takes_to_be_idle() -> None:
    def main() -> None:
        me = self_()
        begun = time.monotonic()
        with Computicle(stay=True, on_idle=lambda count: me.post((count, time.monotonic()))):
            for number in (1, 2):
                count, at = receive()
                assert count == number
                assert at - begun >= number * IDLE_TIMEOUT_S == number * 0.015

    run(main)
