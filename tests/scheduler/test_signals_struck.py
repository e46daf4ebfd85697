"""A handler of the program's own may give a signal in the middle of anything: here, at each place in turn.

What is told to those who give must be what those who wait have got: no signal is lost or doubled, wherever it strikes.
"""

import dis
import itertools
import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate

FILES = ("signals.py", "park.py", "timers.py", "kernel.py")


class Striker:
    """Calls `handler` at the n-th place where the interpreter may call a signal handler."""

    def __init__(self, place: int, handler: Callable[[], Any]) -> None:
        self.place = place
        self.handler = handler
        self.struck = False
        self._points: dict[CodeType, set[int]] = {}

    def __enter__(self) -> "Striker":
        sys.settrace(self._call)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.settrace(None)

    def _call(self, frame: FrameType, _event: str, _argument: object) -> Any:
        if frame.f_code.co_filename.endswith(FILES):
            frame.f_trace_opcodes = True
            return self._step
        return None

    def _step(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "opcode" and frame.f_lasti in self._where(frame.f_code):
            self.place -= 1
            if self.place == 0:
                self.struck = True
                sys.settrace(None)
                self.handler()
        return self._step

    def _where(self, code: CodeType) -> set[int]:
        """The instructions behind calls, jumps back and the beginning: there the interpreter looks for signals."""
        if code not in self._points:
            points: set[int] = set()
            before = ""
            for instruction in dis.get_instructions(code):
                if before.startswith(("CALL", "JUMP_BACKWARD", "RESUME")):
                    points.add(instruction.offset)
                before = instruction.opname
            self._points[code] = points
        return self._points[code]


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
        with Striker(place, lambda: strike(self)) as striker:
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
