"""A handler of the program's own may give a signal, or cancel, in the middle of anything: here, at each place in turn.

What is told to those who give must be what those who wait have got: no signal is lost or doubled, wherever it strikes.
And whoever is cancelled ends, once, and takes nothing with it.
"""

import contextlib
import dis
import functools
import itertools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate

SIGNALS = ("signals.py", "park.py", "timers.py", "kernel.py")
WAITS = (*SIGNALS, "line.py", "channel.py", "locks.py", "predicates.py", "fiber.py", "timeouts.py", "region.py")


class Striker:
    """Calls `handler` at the n-th place where the interpreter may call a signal handler."""

    def __init__(self, place: int, files: tuple[str, ...], handler: Callable[[], Any]) -> None:
        self.place = place
        self.files = files
        self.handler = handler
        self.struck = False

    def __enter__(self) -> "Striker":
        sys.settrace(self._call)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code.co_filename.endswith(self.files):
            frame.f_trace_opcodes = True
            return self._step
        return None

    def _step(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "opcode" and frame.f_lasti in places_in(frame.f_code):
            self.place -= 1
            if self.place == 0:
                self.struck = True
                sys.settrace(None)
                self.handler()
        return self._step


@functools.cache
def places_in(code: CodeType) -> set[int]:
    """The instructions behind calls, jumps back and the beginning: there the interpreter looks for signals."""
    points: set[int] = set()
    before = ""
    for instruction in dis.get_instructions(code):
        if before.startswith(("CALL", "JUMP_BACKWARD", "RESUME")):
            points.add(instruction.offset)
        before = instruction.opname
    return points


class Scene:
    """Fibers that wait for one signal in all the ways there are, and count."""

    def __init__(self) -> None:
        self.given = 0
        self.got = 0

    def give_one(self) -> None:
        woken = signal_one("s")  # which may be struck itself
        self.given += woken

    def give_all(self) -> None:
        woken = signal_all("s")
        self.given += woken

    def wait(self, timeout: float | None) -> None:
        for _ in range(2):
            try:
                wait_signal("s", timeout=timeout)
            except TimeoutError:
                continue
            self.got += 1

    def hear(self) -> None:
        self.got += 1

    def play(self, place: int, strike: Callable[["Scene"], None], listening: bool) -> bool:
        """False: there are not so many places."""
        with Striker(place, SIGNALS, lambda: strike(self)) as striker:
            with scope() as everybody:
                waiting = [everybody.spawn(self.wait, timeout) for timeout in (None, 0.001)]
                waiting.append(on_signal(self.hear, "s"))
                listener = on_signal(self.hear, "s", every=True) if listening else spawn(int)
                doomed = everybody.spawn(self.wait, None)
                yield_()
                self.give_one()
                doomed.cancel()
                sleep(0.002)
                for _ in range(3):
                    self.give_all()
                    yield_()
                assert all(fiber.done for fiber in waiting)
                listener.cancel()
        current().kernel.signals.check()
        assert signal_all("s") == 0
        assert self.got == self.given
        return striker.struck


@pytest.mark.parametrize("listening", [True, False])
@pytest.mark.parametrize("strike", [Scene.give_one, Scene.give_all])
def test_every_signal_given_is_got_wherever_a_handler_strikes(strike: Callable[[Scene], None], listening: bool) -> None:
    for place in itertools.count(1):
        if not simulate(Scene().play, place, strike, listening):
            break
    assert place > 100


def cancel_all(fibers: list[Fiber]) -> None:
    for fiber in fibers:
        fiber.cancel()


class Waits:
    """Fibers that wait in all the ways there are, each for something that comes; and some of them are cancelled."""

    def __init__(self) -> None:
        self.channel: Channel[int] = Channel(0)
        self.other: Channel[int] = Channel(0)
        self.lock = Lock()
        self.room = Semaphore(1)
        self.true = False
        self.received: list[int] = []
        self.sent: list[int] = []
        self.ended: list[str] = []

    def send(self) -> None:
        with contextlib.suppress(ClosedError):  # nobody is left to receive
            self.channel.send(1)
            self.sent.append(1)

    def receive(self) -> None:
        with contextlib.suppress(ClosedError):  # nobody is left to send
            self.received.append(self.channel.receive())

    def hold(self, lock: Lock | Semaphore) -> None:
        with lock:
            yield_()

    def note(self, name: str, wait: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        try:
            wait(*args, **kwargs)
        finally:
            self.ended.append(name)

    def play(self, place: int, choose: Callable[[list[Fiber]], list[Fiber]]) -> bool:
        """False: there are not so many places."""
        fibers: list[Fiber] = []
        chosen: list[Fiber] = []

        def strike() -> None:
            chosen.extend(choose(fibers))
            cancel_all(chosen)

        with Striker(place, WAITS, strike) as striker:
            with scope() as everybody:

                def add(name: str, wait: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
                    fibers.append(everybody.spawn(self.note, name, wait, *args, name=name, **kwargs))

                for number in range(2):
                    add(f"signal {number}", wait_signal, "s")
                    add(f"signal in time {number}", wait_signal, "s", timeout=100)
                    add(f"predicate {number}", wait_for, lambda: self.true)
                    add(f"send {number}", self.send)
                    add(f"choice {number}", lambda: select(awaited, self.other))
                    add(f"lock {number}", self.hold, self.lock)
                    add(f"room {number}", self.hold, self.room)
                    add(f"sleep {number}", sleep, 0.5)
                    add(f"join {number}", lambda: awaited.join())
                    never = (Channel[int](0).receive, lambda: wait_signal("never"), lambda: wait_for(lambda: False))
                    for kind, wait in enumerate(never):
                        add(f"never {kind} {number}", wait)
                    fibers += [when(lambda: False, int, every=1000), on_signal(int, "never"), delay(int, 1000)]
                awaited = everybody.spawn(sleep, 0.25)
                sleep(0.1)
                signal_one("s")
                self.true = True
                for number in range(2):
                    add(f"receive {number}", self.receive)
                sleep(1)
                signal_all("s")
                self.channel.close()
                struck = [*chosen]
                sleep(1)
                assert [fiber for fiber in struck if not fiber.done] == []
                cancel_all(fibers)
        assert len(self.ended) == len(set(self.ended))
        assert all(fiber.done for fiber in fibers)
        assert len(self.received) == len(self.sent)
        kernel = current().kernel
        assert not kernel.predicates.watches
        assert kernel.timers.next_deadline() is None
        assert not self.lock.locked
        with pytest.raises(TimeoutError):  # nobody waits there any more
            self.other.send(1, timeout=0)
        self.room.acquire(timeout=0)
        return striker.struck


def test_whoever_is_cancelled_ends_wherever_a_handler_strikes() -> None:
    choices: list[Callable[[list[Fiber]], list[Fiber]]] = [
        lambda fibers: fibers[:8],
        lambda fibers: fibers[8:],
        lambda fibers: fibers[::-1],
    ]
    for place in itertools.count(1, 11):
        if not simulate(Waits().play, place, choices[place % 3]):
            break
    assert place > 500
