"""Life: what goes on in a computicle.

Rules:
  1. It ends when its program and all its fibers have ended, unless it stays: it
     has no program, was told to stay, or has an on_message.
  2. Told to quit, it takes nothing more, handles what it has accepted, and then
     cancels its fibers. It does not wait longer than its grace for one thing
     to get on.
  3. A child that the program has forked, and that gets to the program's end, ends
     there: the rest of this life is its parent's.

Not here: how it begins and ends as a process (world.py), requests of others
(requests.py).
"""

import contextlib
import os
from functools import partial
from typing import Any

from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.carrier import here
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.idleness import await_idle
from computicle.scheduler.log import log_error
from computicle.scheduler.outside import FromOutside
from computicle.scheduler.park import park
from computicle.scheduler.scope import Scope
from computicle.scheduler.spots import calls_out
from computicle.scheduler.word import entering
from computicle.words import wait_for
from computicle.worlds.functions import own_namespace
from computicle.worlds.home import HEAD, STAYS, Home
from computicle.worlds.launcher import launcher
from computicle.worlds.orders import alive
from computicle.worlds.parcel import Parcel

__all__ = ["Life"]

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
        with FromOutside(me):
            me.why = _ToQuit()
            park(me)

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
