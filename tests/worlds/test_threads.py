"""Handles in several threads: each has its own way to know of the end, and none is in the way of another."""

import threading
from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from computicle.scheduler.flows import running
from computicle.worlds.following import Following
from computicle.worlds.keeper import Keeper


class Elsewhere:
    """Runs something in another thread, beside this one. Errors there are raised when it is left."""

    def __init__(self, main: Callable[[], Any]) -> None:
        self._main = main
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            run(self._main)
        except BaseException as error:
            self._error = error

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        offload(self._thread.join)
        if self._error is not None:
            raise self._error


def until(condition: Callable[[], Any]) -> None:
    while not condition():
        yield_()


def test_the_descriptors_of_one_that_ended_are_closed_once_all_threads_know() -> None:
    def main() -> None:
        computicle = Computicle()

        def watch() -> None:
            with pytest.raises(ComputicleDied):
                computicle.wait()

        with Elsewhere(watch):
            until(lambda: len(computicle.keepers) == 2)
            computicle.kill()
            watch()
        for end in (*computicle._mail.ends, computicle._lane.sock, computicle.obituary):
            assert end.fileno() == -1

    run(main)


def test_a_thread_that_waits_for_room_is_told_of_the_end_that_another_has_noticed() -> None:
    def main() -> None:
        computicle = Computicle("import time; time.sleep(3600)")

        def fill() -> None:
            with pytest.raises(ComputicleDied):
                while True:
                    computicle.post("x" * 1000)

        with Elsewhere(fill):
            until(lambda: computicle._mail._senders.waiting)
            computicle.kill()
            with pytest.raises(ComputicleDied):
                computicle.wait()

    run(main)


def test_that_one_stays_concerns_only_the_thread_it_was_made_in(monkeypatch: pytest.MonkeyPatch) -> None:
    told = []
    monkeypatch.setattr(Keeper, "stay", lambda keeper: told.append(keeper.fiber.kernel))

    def main() -> None:
        computicle = Computicle("from computicle import *\nreceive()\ndef on_message(message): pass")
        with Elsewhere(computicle.wait):
            until(lambda: len(computicle.keepers) == 2)
            computicle.post("go on")
            until(lambda: computicle.stays)
            computicle.quit()
        assert told == [running().kernel]

    run(main)


def test_the_handle_of_a_supervisor_in_another_thread() -> None:
    def main() -> None:
        boxes: list[Any] = []
        answers: list[Any] = []

        def elsewhere() -> None:
            boxes.append(self_())
            following = receive()
            assert isinstance(following, Following)
            answers.append(following.call(abs, -1))
            before = following.pid
            following.kill()
            while following.pid == before:
                yield_()
            answers.append(following.call(abs, -2))

        with Supervisor([Spec(name="a")], backoff=0) as supervisor:
            following = supervisor["a"]

            def stray() -> None:
                for attempt in (following.present, lambda: following.post(1), lambda: boxes[0].post(following)):
                    with pytest.raises((RuntimeError, TypeError), match="another thread"):
                        attempt()

            with Elsewhere(elsewhere):
                until(lambda: boxes)
                with Elsewhere(stray):
                    pass
                boxes[0].post(following)
            assert answers == [1, 2]

    run(main)


def test_a_reply_is_cancelled_in_its_own_thread() -> None:
    def main() -> None:
        with Computicle() as computicle:
            reply = computicle.exec(sleep, 3600)

            def elsewhere() -> None:
                with pytest.raises(RuntimeError, match="another thread"):
                    reply.cancel()

            with Elsewhere(elsewhere):
                pass
            reply.cancel()

    run(main)
