"""Launcher: a process's way to the zygote, which starts and ends its computicles.

The main program starts one when it makes its first computicle. In a computicle
the way to the same zygote was there from the beginning.

Rules:
  1. One zygote for a program, started again if it has died: with it all its
     computicles have.
  2. Any thread. What is asked is one packet; what comes of it is read from the
     computicle's obituary, by whoever asked.
  3. A forked child starts a zygote of its own.
  4. What is shared is known to the zygote before it is shared (wards.py). If a zygote
     is started again, it is told first of what there still is.

Not here: what the zygote does (zygote.py).
"""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from weakref import WeakSet

from computicle.engine.packets import Packet, PacketSocket, packet_pair, send_waiting
from computicle.scheduler.ends import after_leaving
from computicle.worlds.lane import Lane
from computicle.worlds.parcel import Parcel
from computicle.worlds.places import ROOT
from computicle.worlds.wards import Shared, catching_up

__all__ = ["Launcher", "launcher"]

PROGRAM = """\
import os, sys
sys.path[:] = {!r}
if {!r}:
    os.environ.pop("LC_CTYPE", None)
hooks = []
register, os.register_at_fork = os.register_at_fork, lambda **each: hooks.append(each)
from computicle.worlds.birth import begin_zygote
os.register_at_fork = register
begin_zygote({}, {}, hooks)
"""  # of the zygote. What is to be done at a fork is put off until there is something to do: see birth.py.
# And where there is no locale, CPython adds one to the environment, which the program may not have (PEP 538)

END_S = 5.0  # how long a zygote may take to end when the program does


class Launcher:
    """The way to the zygote."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lane: Lane | None = None
        self._process: subprocess.Popen[bytes] | None = None  # in the main program
        self._environ: dict[str, str] | None = None  # the zygote's, and so what each computicle finds; if it is known
        self._shared: WeakSet[Shared] = WeakSet()  # what there is in the main program
        self.place = ROOT  # this process's, for what is laid out by places
        self.number = 0  # of zygotes that were started from here

    def ask(self, request: bytes, descriptors: Sequence[int] = ()) -> None:
        """Ask the zygote for something, and start it if need be. What it answers comes elsewhere.

        Waits only while the lane to it is full. One that has died is started again, once.

        Raises:
            RuntimeError: there can be no zygote here.
            OSError: it could not be started; BrokenPipeError: the new one has died, too.
        """
        way = self._way()
        try:
            way.send(request, Parcel(b"", tuple(descriptors)))
        except BrokenPipeError:
            self._forget(way)
            self._way().send(request, Parcel(b"", tuple(descriptors)))

    def keep(self, shared: Shared) -> None:
        """Have the zygote look after what is about to be shared. Waits and raises as `ask` does."""
        self.note(shared)
        self.ask(*shared.keeping())
        self.ask(catching_up([shared.uid]))

    def note(self, shared: Shared) -> None:
        """This process has something that the zygote looks after."""
        with self._lock:
            self._shared.add(shared)

    def recover(self, number: int) -> None:
        """The zygote of this number has died, or is about to: if there is something to look after, start another one."""
        lane = self._lane
        if number == self.number and lane is not None and self._process is not None and self._shared:
            self._forget(lane)
            with contextlib.suppress(OSError, RuntimeError):
                self._way()

    def told(self, environ: dict[str, str]) -> dict[str, str] | None:
        """What a computicle has to be told to have this environment: nothing, if it finds the very same."""
        return None if environ == self._environ else environ

    def tell(self, request: bytes) -> None:
        """Ask for something that needs no answer, of a zygote that may have died. Never waits."""
        if self._lane is not None:
            self._lane.push(request, Parcel(b""))

    def join(self, link: PacketSocket, place: int) -> None:
        """In a computicle: this is the way, and that is where it is."""
        self._lane = Lane(link, "the zygote")
        self.place = place

    def leave_behind(self) -> None:
        """In a forked child: the zygote is the parent's."""
        if self._process is not None:
            self._process.returncode = 0  # as far as this process is concerned: it is not its child
        lane, self._lane, self._process = self._lane, None, None
        self._lock = threading.Lock()
        self._shared = WeakSet()
        self.place = ROOT
        if lane is not None:
            lane.sock.close()

    def close(self) -> None:
        """The program ends: so does the zygote."""
        if self._lane is not None:
            self._forget(self._lane)

    def _way(self) -> Lane:
        with self._lock:
            if self._lane is None:
                self._lane = self._start()
            return self._lane

    def _start(self) -> Lane:
        if sys.platform != "linux":
            raise RuntimeError("computicles need Linux so far (pidfd_open, memfd_create); fibers work here")
        if not sys.executable:
            raise RuntimeError("computicles need to know the Python to start: sys.executable is empty here")
        environ = dict(os.environ)  # which is not all that the process would pass on: C libraries add to that
        ours, theirs = packet_pair()
        watch = os.pidfd_open(os.getpid())
        command = [
            sys.executable,
            *subprocess._args_from_interpreter_flags(),  # type: ignore[attr-defined]
            "-c",
            PROGRAM.format(absolute_paths(), "LC_CTYPE" not in environ, theirs.fileno(), watch),
        ]
        self._environ = environ
        self.number += 1
        try:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                env=environ,
                pass_fds=(theirs.fileno(), watch),
                process_group=0,
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(watch)
        there = [*self._shared]
        with contextlib.suppress(BrokenPipeError):  # whoever asks for something next is told
            for shared in there:
                send_waiting(ours, Packet(*shared.keeping()))
            if there:
                send_waiting(ours, Packet(catching_up([shared.uid for shared in there]), ()))
        return Lane(ours, "the zygote")

    def _forget(self, lane: Lane) -> None:
        with self._lock:
            if self._lane is not lane:
                return  # somebody else has noticed, too, and there is a new one
            self._lane = None
            process, self._process = self._process, None
        lane.end()
        if process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_S)


def absolute_paths() -> list[str]:
    """Where modules are looked for, as it is from any folder."""
    return [os.path.abspath(path) for path in sys.path if isinstance(path, str)]


launcher = Launcher()
after_leaving(launcher.close)
os.register_at_fork(after_in_child=launcher.leave_behind)
