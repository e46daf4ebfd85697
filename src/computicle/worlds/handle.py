"""Handle: a computicle, as seen by whoever talks to it.

Rules:
  1. Whoever has a handle talks to its computicle directly: over copies of its
     two lanes. In one process a computicle has one handle, however often it
     arrives.
  2. A computicle belongs to the scope it was made in. A fiber of that scope,
     its keeper, waits for its end; to wait for the computicle is to wait for
     the keeper, so its error goes the way of a fiber's.
  3. An end that was asked for is nobody's error.
  4. Handles may cross threads; only `post` may be used in helper threads.

Not here: making one (making.py), what it does when asked (requests.py).
"""

import os
import socket
import sys
from collections.abc import Callable, Iterable
from functools import partial
from types import TracebackType
from typing import Any, Self
from weakref import WeakValueDictionary

from computicle.engine.packets import PACKET_MAX, PEEK, receive_packet
from computicle.scheduler.arguments import checked_timeout, name_of
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.deadlines import Shield
from computicle.scheduler.errors import FiberCancelled
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.kernel import Kernel
from computicle.scheduler.traces import with_trace
from computicle.scheduler.word import entering
from computicle.worlds.codec import Parcel, carry_descriptors, pack, take_descriptors
from computicle.worlds.errors import ComputicleDied
from computicle.worlds.home import HEAD, INTRODUCED, Home, home_of
from computicle.worlds.keeper import Keeper, keep_watch
from computicle.worlds.lane import Lane
from computicle.worlds.launcher import launcher
from computicle.worlds.mailbox import MESSAGE, MESSAGES
from computicle.worlds.obituary import End
from computicle.worlds.reply import Reply
from computicle.worlds.requests import CALL, CANCEL, EXEC, GET, QUIT, SET
from computicle.worlds.zygote import killing, quitting

__all__ = ["Handle"]

_known: "WeakValueDictionary[bytes, Handle]" = WeakValueDictionary()  # of this process, by uid
NOTICE_S = 0.25  # how long the news of a death may take, once its mailbox is gone


class Handle:
    """What all handles can do; Computicle adds the making."""

    name: str
    pid: int

    def _attach(
        self,
        uid: bytes,
        name: str,
        grace_s: float,
        mail: socket.socket,
        lane: socket.socket,
        obituary: socket.socket,
        pid: int = 0,
    ) -> None:
        self.uid = uid
        self.name = name
        self.pid = pid
        self.grace_s = grace_s
        self.obituary = obituary
        self.end: End | None = None  # once it is known
        self.asked_to_end = False
        self.keepers: dict[Kernel, Keeper] = {}
        self._mail = Lane(mail, f"the mailbox of {name!r}")
        self._lane = Lane(lane, f"requests to {name!r}")
        self._introduced: set[bytes] = set()  # the homes that it knows the lane of
        self._left_behind = False  # by a fork
        _known[uid] = self

    # Messages.

    def post(self, message: Any) -> None:
        """Put a message into its mailbox. Waits while that is full. Any thread, helper threads too.

        Raises:
            ComputicleDied: it has ended, or is quitting.
            TypeError: some part of the message cannot be carried; which one.
        """
        self._check_alive()
        try:
            self._mail.send(MESSAGE, pack(message))
        except BrokenPipeError:
            self._raise_gone()

    def post_many(self, messages: Iterable[Any]) -> None:
        """Post several at once, in order: they travel together, which is much faster. Waits as `post` does."""
        self._check_alive()
        together = [*messages]
        if together:
            try:
                self._mail.send(MESSAGES, pack(together))
            except BrokenPipeError:
                self._raise_gone()

    # Code.

    def exec(self, source_or_fn: str | Callable[..., Any], /, *args: Any) -> Reply:
        """Run source text, or `source_or_fn(*args)`, there, as a fiber. Waits only while its lane is full.

        Returns:
            The Reply: its result is fn's value, or that of the text's last expression.

        Raises:
            ComputicleDied: it has ended.
            TypeError: the function or an argument cannot be carried.
        """
        if isinstance(source_or_fn, str):
            if args:
                raise TypeError("exec: source text takes no arguments: set globals, or give a function")
            return self._request(EXEC, source_or_fn, f"code for computicle {self.name!r}")
        if not callable(source_or_fn):
            raise TypeError(f"exec: give source text or a function, not {source_or_fn!r}")
        return self._request(CALL, (source_or_fn, args, {}), f"{name_of(source_or_fn)} in computicle {self.name!r}")

    def call(
        self, fn_or_name: str | Callable[..., Any], /, *args: Any, timeout: float | None = None, **kwargs: Any
    ) -> Any:
        """Call a function there, or one of its own by name, as a fiber. Waits for the value.

        If the caller is cancelled, or `timeout` seconds have gone by, that fiber is cancelled.

        Raises:
            Exception: what it raised there.
            ComputicleDied: the computicle ended before it had returned.
            TimeoutError: it had not returned within `timeout` seconds.
        """
        timeout = checked_timeout("call", timeout)
        if not isinstance(fn_or_name, str) and not callable(fn_or_name):
            raise TypeError(f"call: give a function or the name of one, not {fn_or_name!r}")
        shown = fn_or_name if isinstance(fn_or_name, str) else name_of(fn_or_name)
        reply = self._request(CALL, (fn_or_name, args, kwargs), f"{shown} in computicle {self.name!r}")
        try:
            return reply.result(timeout)
        finally:
            reply.cancel()

    def __getitem__(self, name: str) -> Any:
        """One of its globals, carried here. Waits. Raises KeyError if it has none of that name."""
        return self._request(GET, name, f"global {name!r} of computicle {self.name!r}").result()

    def __setitem__(self, name: str, value: Any) -> None:
        """Set one of its globals. Waits until it is set."""
        if not isinstance(name, str):
            raise TypeError(f"the name of a global must be a str, not {name!r}")
        self._request(SET, (name, value), f"global {name!r} of computicle {self.name!r}").result()

    # Ends.

    def quit(self, drain: bool = True) -> None:  # part of the contract
        """Ask it to end. Never waits.

        It takes no more messages, handles those it has accepted (unless
        `drain` is false), then cancels its fibers, runs on_exit, and ends. It is
        killed if it does not get on for its `grace`.
        """
        if self.end is None:
            self._check_process()
            self.asked_to_end = True
            launcher.tell(quitting(self.uid, self.grace_s))
            self._lane.push(HEAD.pack(QUIT, 0, b""), pack(drain))

    def kill(self) -> None:
        """End it at once, without asking. Never waits."""
        if self.end is None:
            self._check_process()
            self.asked_to_end = True
            launcher.tell(killing(self.uid, "was killed"))

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
            if self is _own_handle(me):
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
            packet = receive_packet(self.obituary, bytearray(PACKET_MAX), PEEK)
            if packet is None:
                return True
            for descriptor in packet.descriptors:
                os.close(descriptor)
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

    # For select.

    def take(self) -> Any:
        """For select: a message to this very computicle."""
        return self._own_mailbox().take()

    def taking_line(self) -> Any:
        """For select: where to stand until one comes."""
        return self._own_mailbox().taking_line()

    def _own_mailbox(self) -> Any:
        me = entering()
        if self is not _own_handle(me):
            raise TypeError(f"select: computicle {self.name!r} is another one: of computicles only self_() is a source")
        return home_of(me).mailbox

    # Helpers.

    def __reduce__(self) -> Any:
        self._check_process()
        place = carry_descriptors(self, [self._mail.sock.fileno(), self._lane.sock.fileno(), self.obituary.fileno()])
        return _arrive, (type(self), self.uid, self.name, self.pid, self.grace_s, place)

    def __repr__(self) -> str:
        state = "ended" if self.end is not None else f"pid {self.pid}"
        return f"<Computicle {self.name!r}, {state}>"

    def __del__(self, _ending: Callable[[], bool] = sys.is_finalizing) -> None:
        if not _ending() and hasattr(self, "_left_behind"):
            self.detach()

    def detach(self) -> None:
        """Close this process's ends."""
        self._mail.close()
        self._lane.close()
        self.obituary.close()

    def ended(self, end: End) -> None:
        """It is known how it has ended."""
        if self.end is None:
            self.end = end

    def gone(self) -> ComputicleDied:
        """What callers are told who wait for something else than its end."""
        assert self.end is not None
        if isinstance(self.end.error, ComputicleDied):
            return ComputicleDied(self.name, self.end.error.how)
        return ComputicleDied(self.name, "has ended" if self.end.error is None else f"failed: {self.end.error!r}")

    def keeper(self, me: Fiber) -> Keeper:
        """Who watches it for this thread."""
        keeper = self.keepers.get(me.kernel)
        return keep_watch(self, me.kernel.base) if keeper is None else keeper

    def _await_end(self, me: Fiber, timeout: float | None) -> None:
        keeper = self.keeper(me)
        me.kernel.engine.waiting += 1
        try:
            keeper.fiber.join(timeout)
        except FiberCancelled:
            pass
        finally:
            me.kernel.engine.waiting -= 1
        if self.end is None:
            self.ended(End(None, ComputicleDied(self.name, "was left before it had ended")))

    def _request(self, kind: int, content: Any, what: str) -> Reply:
        parcel = pack(content)
        me = entering()
        try:
            self._check_alive()
            home = home_of(me)
            number, reply = home.expect(what, self.uid, partial(self._cancel_request, home))
            self.keeper(me).homes.add(home)
        except BaseException:
            parcel.close()
            raise
        if home.uid not in self._introduced:
            kind |= INTRODUCED
            parcel = parcel._replace(descriptors=(*parcel.descriptors, home.lane.sock.fileno()))
        try:
            self._lane.send(HEAD.pack(kind, number, home.uid), parcel)
        except BaseException as error:
            home.replies.pop(number, None)
            if isinstance(error, BrokenPipeError):
                self._raise_gone()
            raise
        self._introduced.add(home.uid)
        return reply

    def _cancel_request(self, home: Home, number: int) -> None:
        if self.end is None:
            self._lane.push(HEAD.pack(CANCEL, number, home.uid), Parcel(b""))

    def _check_process(self) -> None:
        if self._left_behind:
            raise RuntimeError(
                f"the handle of computicle {self.name!r} was left behind by a fork: it works in the parent"
            )

    def _check_alive(self) -> None:
        if self.end is not None:
            raise self.gone()
        if self._left_behind or self.asked_to_end:
            self._check_process()
            raise ComputicleDied(self.name, "was asked to end: it takes nothing more")

    def _raise_gone(self) -> None:
        me = fiber_here()
        if me is not None and self.end is None:
            try:
                self._await_end(me, NOTICE_S)
            except TimeoutError:
                self.asked_to_end = True  # by somebody else
            except Exception:  # noqa: S110  # its error, which is kept
                pass
        if self.end is not None:
            raise self.gone()
        raise ComputicleDied(self.name, "is quitting, or has just ended: it takes nothing more")


def _leave_behind() -> None:
    """In a forked child: handles are the parent's. Their ends are closed here."""
    for handle in [*_known.values()]:
        handle._left_behind = True
        handle.detach()
    _known.clear()


os.register_at_fork(after_in_child=_leave_behind)


def _own_handle(me: Fiber) -> Any:
    scope: Any = me.kernel.run_scope or me.kernel.base
    return None if scope.home is None else scope.home.handle


def _arrive(kind: type[Handle], uid: bytes, name: str, pid: int, grace_s: float, place: int) -> Handle:
    """As it is unpacked."""
    known = _known.get(uid)
    if known is not None:
        return known
    handle = kind.__new__(kind)
    mail, lane, obituary = (socket.socket(fileno=descriptor) for descriptor in take_descriptors(place, 3))
    handle._attach(uid, name, grace_s, mail, lane, obituary, pid)
    return handle
