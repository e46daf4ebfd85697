"""Wards: what processes share, and the zygote looks after: memory, and what is written to it.

Any process may die between any two steps, and leave what it shares half-way. The
zygote knows at once when one has died, and runs nothing that could stop it: so it
puts things right, each kind by its own class (work/).

Rules:
  1. A ward is known to the zygote before anybody but its maker has it.
  2. When a process has ended, every ward is told, before anybody else is, and before
     its place is given again.
  3. Each process that has the thing has the writing end of its bell, and rings it when
     there is something for the zygote to see to. Once no process has one, not even on its way in a message, the
     ward is closed.
  4. If the zygote dies, so do all computicles. The next one gets what the main program still has,
     before it does anything else, and sees to what they have left.
  5. A ward that fails is dropped, and that is said: what it looked after is as it was, and is not
     seen to any more. The others go on.

Not here: what the wards are (work/), who is where (places.py).
"""

import contextlib
import os
import pickle
import select
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Protocol

from computicle.worlds.places import Places

__all__ = ["Shared", "Ward", "Wards", "catching_up", "giving", "keeping"]

KEEP = b"W"
CATCH_UP = b"C"
GIVE = b"G"
BELL_SIZE = 65_536  # bytes: all that a bell's pipe holds
LAST_S = 2.0  # how long those may take to be gone whom the system kills along with a zygote


class Shared(Protocol):
    """One of them, as a process has it."""

    uid: bytes

    def keeping(self) -> tuple[bytes, Sequence[int]]:
        """The order to keep it (see below), with its descriptors."""
        ...


class Ward:
    """One of them, as the zygote has it.

    Args:
        uid: names it.
        given: what its class wants to know.
        wards: all that there are.
        parts_of: the uid of another one, if parts of that lie in this one.
    """

    def __init__(self, uid: bytes, given: Any, wards: "Wards", parts_of: bytes | None = None) -> None:
        self.uid = uid
        self.given = given
        self.wards = wards
        self.parts_of = parts_of
        self.dropped = False

    def members(self) -> dict[int, int]:
        """Who has begun to use it: places, and the ids of the processes that are or were there."""
        raise NotImplementedError

    def requeue(self, place: int) -> None:
        """Whoever was at `place` is dead: what it had taken is for others. Done for all wards first."""

    def sweep(self, place: int) -> None:
        """Whoever was at `place` is dead: what it had is nobody's."""

    def rung(self) -> None:
        """There may be something to see to: its bell was rung, or was there before its zygote was."""

    def take(self, what: bytes, descriptors: Sequence[int]) -> None:
        """It is given something more. The descriptors are its own from now on."""
        for descriptor in descriptors:
            os.close(descriptor)

    def in_flight(self, uid: bytes) -> set[int]:
        """Which parts of the ward `uid` lie in this one, whoever they belong to."""
        return set()

    def end(self) -> None:
        """Nobody has it any more: what lies in it is nobody's. It is closed next."""

    def close(self) -> None:
        """It is not looked after any more, though others may have it, if it has failed."""


class Wards:
    """All of them, in the zygote."""

    def __init__(
        self, places: Places, listen: Callable[[int, Callable[[], None]], None], ignore: Callable[[int], None]
    ) -> None:
        self._places = places
        self.listen = listen  # these two are for the wards, too
        self.ignore = ignore
        self._wards: dict[bytes, tuple[Ward, int]] = {}  # by uid, with the bell's reading end

    def __iter__(self) -> Iterator[Ward]:
        return iter([ward for ward, _bell in self._wards.values()])

    def get(self, uid: bytes) -> Ward | None:
        """The ward `uid`, if there is one."""
        return self._wards[uid][0] if uid in self._wards else None

    def obey(self, order: bytes, descriptors: Sequence[int]) -> None:
        """Do what is told, if this is an order of this kind."""
        kind = order[:1]
        if kind == KEEP:
            uid, name, given = pickle.loads(order[1:])  # noqa: S301  # from our own program
            self._keep(uid, name, given, descriptors)
        elif kind == CATCH_UP:
            self._catch_up(pickle.loads(order[1:]))  # noqa: S301
        elif kind == GIVE:
            uid, what = pickle.loads(order[1:])  # noqa: S301
            ward = self.get(uid)
            if ward is None:
                for descriptor in descriptors:
                    os.close(descriptor)
            else:
                self.have(ward, lambda: ward.take(what, descriptors))

    def died(self, place: int) -> None:
        """Nothing runs at `place` any more."""
        self._bury({place: [*self]})

    def have(self, ward: Ward, see_to_it: Callable[[], None]) -> None:
        """Have a ward do something. If it fails, it is dropped; once it is, nothing is done."""
        if ward.dropped:
            return
        try:
            see_to_it()
        except Exception:
            _print_error()
            whole = None if ward.parts_of is None else self.get(ward.parts_of)
            self._drop(ward)
            if whole is not None:  # nobody can tell any more which parts of that are in use
                self._drop(whole)

    def _keep(self, uid: bytes, name: str, given: Any, descriptors: Sequence[int]) -> None:
        theirs, *rest = descriptors
        if uid in self._wards:  # another thread or process was quicker
            for descriptor in descriptors:
                os.close(descriptor)
            return
        module, _, kind = name.partition(":")
        try:
            make = getattr(import_module(module), kind)
            # Through an end for writing the system opens one for reading.
            bell = os.open(f"/proc/self/fd/{theirs}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except Exception:
            _print_error()
            for descriptor in descriptors:
                os.close(descriptor)
            return
        os.close(theirs)
        try:
            ward: Ward = make(uid, given, rest, self)
        except Exception:
            _print_error()
            os.close(bell)  # the others were the ward's already
            return
        self._wards[uid] = (ward, bell)
        self.listen(bell, lambda: self._hear(ward, bell))

    def _catch_up(self, uids: Sequence[bytes]) -> None:
        """See to those who have died before these were kept."""
        wards = [self._wards[uid][0] for uid in uids if uid in self._wards]
        gone: dict[int, list[Ward]] = {}
        for ward in wards:
            for place, pid in self._members_of(ward).items():
                if place not in self._places:
                    _await_end(pid)
                    gone.setdefault(place, []).append(ward)
        self._bury(gone)
        for ward in wards:
            self.have(ward, ward.rung)

    def _members_of(self, ward: Ward) -> Mapping[int, int]:
        members: dict[int, int] = {}
        self.have(ward, lambda: members.update(ward.members()))
        return members

    def _bury(self, gone: Mapping[int, Sequence[Ward]]) -> None:
        """Whoever was at these places is dead: have the wards see to that. All take back before any sweeps."""
        for place, concerned in gone.items():
            for ward in concerned:
                self.have(ward, partial(ward.requeue, place))
        for place, concerned in gone.items():
            for ward in concerned:
                self.have(ward, partial(ward.sweep, place))

    def _hear(self, ward: Ward, bell: int) -> None:
        try:
            rings = os.read(bell, BELL_SIZE)
        except BlockingIOError:
            return
        if rings:
            self.have(ward, ward.rung)
        else:
            self.have(ward, ward.end)
            if not ward.dropped:
                self._drop(ward)

    def _drop(self, ward: Ward) -> None:
        _ward, bell = self._wards.pop(ward.uid)
        self.ignore(bell)
        os.close(bell)
        with contextlib.suppress(Exception):
            ward.close()
        # Its parts go now: the zygote's collector is off, and a child's would close descriptors of its own.
        vars(ward).clear()
        ward.dropped = True


def _print_error() -> None:
    traceback.print_exc()
    sys.stderr.flush()


def keeping(uid: bytes, name: str, given: Any) -> bytes:
    """Look after this: `name` is module:class of its ward. With descriptors: its bell, and what the class wants."""
    return KEEP + pickle.dumps((uid, name, given))


def catching_up(uids: Sequence[bytes]) -> bytes:
    """All of these are kept now: see to what was before that. Together, for what is in one may lie in another."""
    return CATCH_UP + pickle.dumps(uids)


def giving(uid: bytes, what: bytes) -> bytes:
    """For the ward `uid`, with descriptors."""
    return GIVE + pickle.dumps((uid, what))


def _await_end(pid: int) -> None:
    """Wait until a process has ended that the system is killing, or has killed.

    Another one may have got its number since. So this takes its time, but not for ever.
    """
    try:
        watch = os.pidfd_open(pid)
    except OSError:
        return
    ended = select.poll()
    ended.register(watch, select.POLLIN)
    try:
        deadline = time.monotonic() + LAST_S
        while not ended.poll(max(0.0, deadline - time.monotonic()) * 1000) and time.monotonic() < deadline:
            pass
    finally:
        os.close(watch)
