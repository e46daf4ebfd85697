"""World: the life of a computicle, from the inside.

Rules:
  1. It ends when its program and all its fibers have ended, unless it stays: it
     has no program, was told to stay, or has an on_message.
  2. Told to quit, it takes nothing more, handles what it has accepted, and then
     cancels its fibers. It does not wait longer than its grace for one thing
     to get on.
  3. What it has come to is told as the very last thing.
  4. A child that the program has forked, and that gets to the program's end, ends
     there: this life, its hooks and what is told of it are its parent's.

Not here: requests of others (requests.py), the process around it (birth.py).
"""

import atexit
import contextlib
import os
import select
import sys
import threading
from functools import partial
from types import ModuleType
from typing import Any

from computicle.engine.packets import Packet, PacketSocket, packet_buffer, receive_packet, send_waiting
from computicle.engine.pipes import PipeEnd
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.carrier import here
from computicle.scheduler.ends import close_flow, exit_status
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import RunScope, adopt, run_main
from computicle.scheduler.idleness import await_idle
from computicle.scheduler.log import log_error
from computicle.scheduler.park import park
from computicle.scheduler.scope import Scope
from computicle.scheduler.spots import calls_out
from computicle.scheduler.word import entering
from computicle.words import wait_for
from computicle.worlds.codec import Parcel, pack, unpack
from computicle.worlds.errors import carry_error
from computicle.worlds.functions import own_namespace
from computicle.worlds.home import HEAD, STAYS, Home
from computicle.worlds.launcher import launcher
from computicle.worlds.mail import MailEnds
from computicle.worlds.mailbox import Mailbox
from computicle.worlds.orders import TRY_OUT, alive, ending
from computicle.worlds.prefixed import Prefixed
from computicle.worlds.preload import try_out

__all__ = ["Life", "live"]

IDLE_TIMEOUT_S = 0.015  # unless the program says otherwise


class Guests(Scope):
    """The scope of what runs here for others: an error of theirs ends nothing."""

    __slots__ = ()

    def failed(self, fiber: Fiber, error: BaseException) -> None:
        log_error(error, "fiber %r, begun by code from another computicle, failed", fiber.name)


class Life:
    """What goes on in this computicle."""

    def __init__(self, home: Home, settings: dict[str, Any]) -> None:
        handle = settings["handle"]
        self.home = home
        self._process = os.getpid()
        self.name: str = handle.name
        self.guests = Guests()
        self._own = Scope()  # of the program's fibers
        self._stay: bool = settings["stay"]
        self._grace_s: float = settings["grace"]
        self._maker = home.askers[settings["maker"]]
        self._namespace = own_namespace(replacing=True)
        self._failure: BaseException | None = None  # what a hook has raised
        self._hooked: set[str] = set()
        self._quitting = False
        self._draining: Fiber | None = None  # who sees to it that what was accepted is handled
        self._resting = False  # the program has ended, and it stays

    @calls_out
    def lead(self, program: Any) -> Any:
        """Run the program, and stay as long as is due; its value."""
        value = None
        mailbox = self.home.mailbox
        assert mailbox is not None
        try:
            with self.guests, self._own:
                self.notice_hooks()
                if program is not None:
                    value = program.run(self._namespace, self.notice_hooks)
                    if self._is_fork():
                        return value
                    self.notice_hooks()
                    mailbox.has_handled(here().fiber)
                if self._stays():
                    if program is not None:
                        self._maker.push(HEAD.pack(STAYS, 0, self.home.uid), Parcel(b""))
                    self._resting = True
                    self._wait_for_quit()
        finally:
            try:
                if callable(on_exit := self._namespace.get("on_exit")) and not self._is_fork():
                    on_exit()
            finally:
                if self._failure is not None:
                    raise self._failure  # what came after it is its context
        return value

    def _is_fork(self) -> bool:
        return os.getpid() != self._process

    def _stays(self) -> bool:
        return self._stay or callable(self._namespace.get("on_message"))

    def _wait_for_quit(self) -> None:
        me = here().fiber
        me.kernel.engine.waiting += 1
        try:
            me.why = _ToQuit()
            park(me)
        finally:
            me.kernel.engine.waiting -= 1

    # Hooks.

    def notice_hooks(self) -> None:
        """Begin with those that have been defined since the last time."""
        if not self._own.open:
            return
        for name, work in (("on_message", self._hand_over), ("on_idle", self._tell_idle)):
            if name not in self._hooked and callable(self._namespace.get(name)):
                self._hooked.add(name)
                self.home.hands_over = "on_message" in self._hooked
                attend(self._own, Attendant(attendants_of(self._own), work, lasting=True), name)

    @calls_out
    def _hand_over(self) -> None:
        mailbox = self.home.mailbox
        assert mailbox is not None
        while True:
            try:
                message = mailbox.receive(entering(), None)
                self._namespace["on_message"](message)
            except Exception as error:
                self._fail(error)
                return
            del message

    @calls_out
    def _tell_idle(self) -> None:
        me = here().fiber
        count = 0
        while True:
            await_idle(me, float(self._namespace.get("idle_timeout", IDLE_TIMEOUT_S)))
            count += 1
            try:
                self._namespace["on_idle"](count)
            except Exception as error:
                self._fail(error)
                return

    def _fail(self, error: BaseException) -> None:
        if self._failure is None:
            self._failure = error
            self.guests.cancel()

    # Quitting.

    def quit(self, *, drain: bool) -> None:
        """Somebody has asked for it. Never waits."""
        assert self.home.mailbox is not None
        if not self._quitting:
            self._quitting = True
            self.home.mailbox.shut()
            if self.guests.open:
                work = self._drain if drain else self._cancel_all
                quitter = Attendant(attendants_of(self.home.scope), work, lasting=False)
                self._draining = attend(self.home.scope, quitter, "quit")
        elif not drain and self._draining is not None:
            self._draining.cancel()
            self._cancel_all()

    def _drain(self) -> None:
        mailbox = self.home.mailbox
        assert mailbox is not None
        with contextlib.suppress(TimeoutError):  # somebody is stuck: let it be cancelled
            while not self._is_drained():
                taken = mailbox.taken
                # For half of it: what is cancelled then is to have its time, too, before the whole of it is over.
                wait_for(partial(self._gets_on, taken), timeout=self._grace_s / 2)
                launcher.tell(alive())
        self._cancel_all()

    def _is_drained(self) -> bool:
        assert self.home.mailbox is not None
        if self._resting and not self._own.fibers and not self.guests.fibers and not self.home.hands_over:
            return True  # nobody is left who could take anything
        return not self.home.running and self.home.mailbox.is_drained()

    def _gets_on(self, taken: int) -> bool:
        assert self.home.mailbox is not None
        return self.home.mailbox.taken != taken or self._is_drained()

    def _cancel_all(self) -> None:
        launcher.tell(alive())
        self.guests.cancel()


class _ToQuit:
    """What a computicle that stays waits for."""

    def call_off(self, _fiber: Fiber) -> None:
        """Nobody has it in a list."""

    def __str__(self) -> str:
        return "being told to quit"


# From the first packet to the last.


def live(link_end: int) -> int:
    """The whole of it; the exit status."""
    link = PacketSocket(link_end)
    launcher.join(link)
    _call_process("computicle next")
    adopt()  # ahead of what it needs not wait for
    birth = _next_packet(link)
    if birth.data[:1] == TRY_OUT:
        send_waiting(link, Packet(ending(try_out(birth.data)), ()))
        return 0
    pipe_end, beside_end, lane_end, out, err = birth.descriptors
    for given, standard in ((out, 1), (err, 2)):
        os.dup2(given, standard)
        os.close(given)
    mail, lane = MailEnds(PipeEnd(pipe_end), PacketSocket(beside_end)), PacketSocket(lane_end)
    settings = _unpacked(_next_packet(lane))
    process = os.getpid()
    value: Any = None
    error: BaseException | None = None
    try:
        _settle_in(settings)
        program, found = _unpacked(_next_packet(lane))
        value = run_main(_main, (settings, program, found, lane, mail), {})
    except BaseException as raised:
        error = raised
    if os.getpid() != process:
        return _end_fork(error)
    failed, outcome = _outcome(value, error, settings["handle"].name)
    close_flow()
    _wind_up()
    send_waiting(link, Packet(ending(bytes((failed,)) + outcome.data), outcome.descriptors))
    return int(failed)


def _outcome(value: Any, error: BaseException | None, name: str) -> tuple[bool, Parcel]:
    """What it has come to: whether it has failed, and with what."""
    try:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            return False, pack(value)
    except BaseException as problem:
        error = problem
    return True, carry_error(error, name)


def _end_fork(error: BaseException | None) -> int:
    """Rule 4; the exit status."""
    if error is not None and not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
    status = exit_status(error)
    _flush()
    return status


def _main(settings: dict[str, Any], program: Any, found: dict[str, Any], lane: PacketSocket, mail: MailEnds) -> Any:
    handle = settings["handle"]
    handle.pid = os.getpid()
    me = here().fiber
    scope: Any = me.kernel.run_scope
    assert isinstance(scope, RunScope)
    home = scope.home = Home(scope, handle.uid, handle._lane.sock, lane)
    home.askers[settings["maker"]] = settings["answers"]
    home.open(handle, Mailbox(me.kernel, scope, mail, handle._mail.ends))
    home.life = Life(home, settings)
    vars(sys.modules["__main__"]).update(found)
    return home.life.lead(program)


def _next_packet(sock: PacketSocket) -> Packet:
    """Wait for it, without giving way: there is nobody yet."""
    ready = select.poll()
    ready.register(sock, select.POLLIN)
    buffer = packet_buffer()
    while (packet := receive_packet(sock, buffer)) is None:
        ready.poll()
    if not packet.data:
        os._exit(1)  # whoever wanted this has ended before telling what it is
    return packet


def _unpacked(packet: Packet) -> Any:
    return unpack(packet.data, 0, packet.descriptors)


def _call_process(name: str) -> None:
    """As ps(1) and top(1) show it."""
    try:
        file = os.open("/proc/self/comm", os.O_WRONLY)  # a file object would cost a computicle 40 more pages
    except OSError:
        return
    with contextlib.suppress(OSError):
        os.write(file, name.encode()[:15])
    os.close(file)


def _settle_in(settings: dict[str, Any]) -> None:
    _call_process(settings["handle"].name)
    env = settings["env"]
    if env is not None:
        for name in [*os.environ]:
            if name not in env:
                del os.environ[name]
        os.environ.update(env)
    os.chdir(settings["cwd"])
    sys.path[:] = settings["paths"]
    sys.argv[:] = settings["argv"]
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    if settings["prefix"]:
        for name in ("stdout", "stderr"):
            setattr(sys, name, Prefixed(getattr(sys, name), settings["handle"].name))


def _wind_up() -> None:
    """What an interpreter does at its end, but for taking itself apart."""
    for finish in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        try:
            finish()
        except BaseException as error:
            log_error(error, "at the end of a computicle")
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if isinstance(stream, Prefixed):
                stream.end()
            stream.flush()
        except Exception:  # noqa: S110  # nobody reads it any more
            pass
