"""Nothing is polled: who waits sleeps until there is something, and idle is only who has nothing to do."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from computicle import *
from computicle.worlds.life import IDLE_TIMEOUT_S
from tests.worlds.helpers import state_of


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
            while state_of(str(computicle.pid)) != "S":
                os.sched_yield()
            if waiting == "code":
                computicle["came"] = True
            else:
                computicle.post("come")
        assert receive() <= UNTIL_SOMETHING_COMES

    run(main)


def test_idle_is_not_who_has_something_to_do() -> None:
    seconds = 0.005

    def work() -> tuple[int, int, float]:
        before = len(idle)  # type: ignore[name-defined]  # noqa: F821
        until = time.monotonic() + 5 * seconds
        while time.monotonic() < until:
            yield_()
        return before, len(idle), time.monotonic()  # type: ignore[name-defined]  # noqa: F821

    def main() -> None:
        me = self_()

        def on_idle(count: int) -> None:
            idle.append(count)  # type: ignore[name-defined]  # noqa: F821
            me.post((count, time.monotonic()))

        computicle = Computicle(stay=True, globals={"idle": []}, on_idle=on_idle, idle_timeout=seconds)
        assert receive()[0] == 1
        before, after, worked_until = computicle.call(work)
        assert before == after
        while (news := receive())[0] <= after:
            pass
        assert news[1] - worked_until >= seconds  # it has begun anew

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
