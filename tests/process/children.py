"""Children: programs in processes of their own, watched from outside.

Nothing here sleeps. What a child does is known from the lines it prints; that
it sleeps, from what the system says about it. Deadlines only bound a hang.
"""

import signal
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import NamedTuple, Self

import pytest

HANG_S = 40.0  # the slowest child takes a few seconds on a slow machine

PREAMBLE = """\
import os, signal, sys, threading
from computicle import *

def say(*words):
    print(" ".join(map(str, words)) + "\\n", end="", flush=True)  # in one piece: others may write there, too

"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")


class Ended(NamedTuple):
    status: int
    lines: list[str]  # what was not read before
    errors: str


class Child:
    """A program that runs beside the test. Killed if it outlives the with-statement."""

    def __init__(self, program: str) -> None:
        self._errors = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning", "-c", PREAMBLE + program],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,
        )
        self._deadline = threading.Timer(HANG_S, self._process.kill)
        self._deadline.daemon = True
        self._deadline.start()
        self.pid = self._process.pid

    def line(self) -> str:
        """The next line it prints."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            ended = self.end()
            pytest.fail(f"the child ended early, with status {ended.status}:\n{ended.errors}")
        return line.rstrip("\n")

    def until(self, line: str) -> None:
        """Read up to this line."""
        while self.line() != line:
            pass

    def until_asleep(self) -> None:
        """Let it come to rest in the system. Elsewhere than on Linux the signal may come a little early instead."""
        while sys.platform == "linux":
            with open(f"/proc/{self.pid}/stat") as stat:
                if stat.read().rpartition(")")[2].split()[0] == "S":
                    return

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> Ended:
        """Wait until it has ended by itself."""
        assert self._process.stdout is not None
        out = self._process.stdout.read()
        self._process.wait()
        self._deadline.cancel()
        self._errors.seek(0)
        err = self._errors.read()
        if self._process.returncode == -signal.SIGKILL:
            pytest.fail(f"the child hung; it had said:\n{out}\n{err}")
        return Ended(self._process.returncode, out.splitlines(), err)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._deadline.cancel()
        if self._process.poll() is None:
            self._process.kill()
        self._process.communicate()
        self._errors.close()


def ended(program: str) -> Ended:
    """Run a program to its end."""
    with Child(program) as child:
        return child.end()
