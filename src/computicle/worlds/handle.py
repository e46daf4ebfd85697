"""Handle: a computicle, as seen by whoever talks to it.

Rules:
  1. Whoever has a handle talks to its computicle directly: over descriptors of
     its own for the computicle's mail and lane.
  2. A computicle belongs to the scope it was made in. A fiber of that scope,
     its keeper, waits for its end; to wait for the computicle is to wait for
     the keeper, so its error goes the way of a fiber's.
  3. An end that was asked for is nobody's error.
  4. Handles may cross threads. In helper threads only what needs no fiber works:
     `post` and `post_many`, which make the thread wait, `quit`, `kill` and `alive`.

Not here: messages, and what is known of it (contact.py), making one
(computicle.py), what it does when asked (requests.py).
"""

import os
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Any, NamedTuple, Self

from computicle.engine.packets import PEEK, packet_buffer, packet_pair, receive_packet
from computicle.scheduler.arguments import checked_timeout, name_of
from computicle.scheduler.deadlines import Deadline, Shield
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import outermost, running
from computicle.scheduler.line import Line, Taken
from computicle.scheduler.traces import with_trace
from computicle.scheduler.word import entering
from computicle.worlds.codec import pack
from computicle.worlds.contact import Contact
from computicle.worlds.home import HEAD, INTRODUCED, Home, home_of
from computicle.worlds.mail import mail_pair
from computicle.worlds.mailbox import Mailbox
from computicle.worlds.parcel import Parcel
from computicle.worlds.reply import Reply
from computicle.worlds.requests import CALL, CANCEL, EXEC, GET, SET, Asked

__all__ = ["Down", "Handle", "open_mailbox", "own_handle"]


class Down(NamedTuple):
    """The message that a monitor puts into the mailbox: a computicle has ended.

    `error` is None if it ended well or was asked to, else what wait() would raise.
    """

    computicle: "Handle"
    error: BaseException | None


class Handle(Contact):
    """What one can do with a computicle; the class Computicle adds the making.

    In a child that the program has forked, all of it is a RuntimeError, for a handle of the parent's.
    """

    # Code.

    def exec(self, source_or_fn: str | Callable[..., Any], /, *args: Any) -> Reply:
        """Run source text, or `source_or_fn(*args)`, there, as a fiber.

        Waits only while its lane is full, or a thousand replies of it are still to come.

        Returns:
            The Reply: its result is fn's value, or that of the text's last expression.

        Raises:
            ComputicleDied: it has ended, or was asked to.
            TypeError: the function or an argument cannot be carried; it is neither text nor a function; or text was
                given arguments.
        """
        if isinstance(source_or_fn, str):
            if args:
                raise TypeError("exec: source text takes no arguments: set globals, or give a function")
            return self._request(EXEC, source_or_fn, f"code for computicle {self.name!r}")
        if not callable(source_or_fn):
            raise TypeError(f"exec: give source text or a function, not {source_or_fn!r}")
        return self._request(
            CALL, Asked(source_or_fn, args, {}), f"{name_of(source_or_fn)} in computicle {self.name!r}"
        )

    def call(
        self, fn_or_name: str | Callable[..., Any], /, *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> Any:
        """Call a function there, or one of its own by name, as a fiber. Waits for the value.

        If the caller is cancelled, or `timeout` seconds have gone by, that fiber is cancelled.

        Args:
            timeout: seconds.
            args, kwargs: for the function.

        Returns:
            A copy of what it has returned.

        Raises:
            Exception: what it raised there. NameError: there is none of that name.
            FiberCancelled: it was cancelled there, as when the computicle quits.
            ComputicleDied: the computicle ended before it had returned, or was asked to before the call.
            TypeError: the function, an argument or the value cannot be carried.
            TimeoutError: it had not returned within `timeout` seconds. Waiting for room in its lane counts.
        """
        timeout = checked_timeout("call", timeout)
        if not isinstance(fn_or_name, str) and not callable(fn_or_name):
            raise TypeError(f"call: give a function or the name of one, not {fn_or_name!r}")
        shown = fn_or_name if isinstance(fn_or_name, str) else name_of(fn_or_name)
        what = f"{shown} in computicle {self.name!r}"
        if timeout is None:
            return self._call(Asked(fn_or_name, args, kwargs), what)
        with Deadline(timeout):
            return self._call(Asked(fn_or_name, args, kwargs), what)
        raise TimeoutError(f"waited {timeout:g} s for the reply of {what}")

    def __getitem__(self, name: str) -> Any:
        """One of its globals, carried here. Waits for it.

        Raises:
            KeyError: it has none of that name.
            TypeError: what it is cannot be carried.
            ComputicleDied: it has ended, or was asked to.
        """
        return self._request(GET, name, f"global {name!r} of computicle {self.name!r}").result()

    def __setitem__(self, name: str, value: Any) -> None:
        """Set one of its globals. Waits until it is set.

        Raises:
            TypeError: the value cannot be carried, or the name is no str.
            ComputicleDied: it has ended, or was asked to.
        """
        if not isinstance(name, str):
            raise TypeError(f"the name of a global must be a str, not {name!r}")
        self._request(SET, (name, value), f"global {name!r} of computicle {self.name!r}").result()

    # Ends.

    def wait(self, timeout: float | None = None) -> Any:
        """Wait until it has ended.

        Returns:
            What its target returned; the value of the last expression if the target was source text.

        Raises:
            Exception: what its target raised, or one of its fibers, with the traceback from there.
            ComputicleDied: it ended otherwise; how.
            TimeoutError: it goes on after `timeout` seconds.
        """
        timeout = checked_timeout("wait", timeout)
        me = entering()
        me.credit -= 1
        self._check_process()
        if self.end is None:
            if self is _own_handle_so_far(me):
                raise RuntimeError("a computicle cannot wait for its own end")
            self._await_end(me, timeout)
        assert self.end is not None
        if self.end.error is None:
            return self.end.value
        try:
            raise with_trace(self.end.error, None)
        finally:
            del self  # the traceback holds this frame, and this the error: a circle

    @property
    def alive(self) -> bool:
        """True until it has ended. Never waits."""
        if self.end is None:
            self._check_process()
            packet = receive_packet(self.obituary, packet_buffer(), PEEK)
            if packet is None:
                return True
            packet.close()
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.quit(drain=error is None)
        if error is None:
            self.wait()
        elif self.end is None:
            with Shield():
                self._await_end(entering(), None)

    # Who else is told.

    def monitor(self) -> None:
        """Have a message, a Down, put into this computicle's own mailbox when that one has ended. Never waits.

        If it has ended already, that is at once.
        """
        self._check_process()
        me = running()
        own_handle(me)
        home = home_of(me)
        assert home.mailbox is not None
        if self.end is not None:
            home.mailbox.put([Down(self, self.end.error)])
        else:
            self.keeper(me).monitors[home] = lambda end: Down(self, end.error)

    def link(self) -> None:
        """Tie its life to this one's: when either ends with an error, or is killed, the other ends, too.

        In this computicle that error is its run's, as if a fiber had raised it. Waits until that one knows.

        Raises:
            ComputicleDied: it has ended, or was asked to; then nothing is tied.
        """
        me = entering()
        self._link_here(me)
        try:
            self.call(_link_back, own_handle(me))
        except BaseException:
            keeper = self.keepers.get(me.kernel)
            if keeper is not None:
                keeper.linked.discard(home_of(me))
            raise

    def _link_here(self, me: Fiber) -> None:
        if self.end is not None:
            raise self.gone()
        home = home_of(me)
        self.keeper(me).linked.add(home)

    # For select.

    def take(self) -> Taken | None:
        """For select: a message to this very computicle, if there is one now. Raises TypeError if it is another one."""
        return self._own_mailbox().take()

    def taking_line(self) -> Line:
        """For select: where to stand until one comes."""
        return self._own_mailbox().taking_line()

    def _own_mailbox(self) -> Mailbox:
        me = entering()
        if self is not _own_handle_so_far(me):
            raise TypeError(f"select: computicle {self.name!r} is another one: of computicles only self_() is a source")
        home = home_of(me)
        home.check_receiving("select")
        assert home.mailbox is not None
        return home.mailbox

    # Helpers.

    def _call(self, asked: Asked, what: str) -> Any:
        reply = self._request(CALL, asked, what)
        try:
            return reply.result()
        finally:
            reply.cancel()

    def _request(self, kind: int, content: Any, what: str) -> Reply:
        parcel = pack(content)
        me = entering()
        try:
            self._check_alive()
            home = home_of(me)
            home.await_room(me, self.uid)
            self._check_alive()
            self.keeper(me).homes.add(home)
            number, reply = home.expect(what, self.uid, partial(self._cancel_request, home))
        except BaseException:
            parcel.close()
            raise
        if home.uid not in self._introduced:
            kind |= INTRODUCED
            parcel = parcel._replace(descriptors=(*parcel.descriptors, home.lane.sock.fileno()))
        try:
            self._lane.send(HEAD.pack(kind, number, home.uid), parcel)
        except BaseException as error:
            home.forget(number)
            if isinstance(error, BrokenPipeError):
                self._raise_gone()
            raise
        self._introduced.add(home.uid)
        return reply

    def _cancel_request(self, home: Home, number: int) -> None:
        self._introduced.discard(home.uid)  # the request may have been lost, and with it the lane for answers
        home.forget(number)
        if self.end is None:
            self._lane.push(HEAD.pack(CANCEL, number, home.uid), Parcel(b""))


def _link_back(other: Handle) -> None:
    """The other half of a link, run there."""
    other._link_here(running())


def own_handle(me: Fiber) -> Contact:
    """The handle of the computicle that `me` lives in; made if need be."""
    home = home_of(me)
    if home.handle is None:
        open_mailbox(me, home)
    assert home.handle is not None
    return home.handle


def open_mailbox(me: Fiber, home: Home) -> Mailbox:
    """In the main program: have messages arrive."""
    mail, mail_here = mail_pair()
    obituary_here, obituary = packet_pair()
    handle = Contact.kind.__new__(Contact.kind)
    handle._attach(home.uid, "main", None, mail, home.lane.sock.copy(), obituary, os.getpid())
    mailbox = Mailbox(me.kernel, home.scope, mail_here, mail)
    home.open(handle, mailbox, obituary_here)
    return mailbox


def _own_handle_so_far(me: Fiber) -> Contact | None:
    """The same, unless nobody has asked for it yet."""
    home: Home | None = outermost(me).home
    return None if home is None else home.handle
