"""Zygote: the warm process that all computicles of a program are forked from.

It has one thread and no kernel, has imported what computicles need, and does
nothing but fork, reap and tell. It is the parent of them all, whoever asked
for them, so it alone knows how each has ended, and no process id is used
again before it has looked.

Rules:
  1. It never waits for anybody: a packet that finds no room is one that nobody
     reads. It outlives nobody either: when the program it belongs to ends, by
     whatever cause, it kills all computicles and ends.
  2. A computicle that has ended takes along those it has made, and what is left of its
     process group.
  3. It runs no code of the program's but the modules it was told to preload, and
     those only once a child has tried them. Meanwhile nobody else waits: those
     that need none of them are started, and while it imports them itself, it
     goes on to kill, to reap and to tell.
  4. The next one is forked ahead, so that whoever starts one need not wait for
     the fork, nor for what each does first.
  5. What computicles share is put right when one has ended, before anybody is told of that.
  6. Should the zygote die, the system kills the computicles (PR_SET_PDEATHSIG).

Not here: what a forked child does (birth.py), who starts this (launcher.py), what
is said over the links (orders.py), when what is imported (preload.py), what
they share (wards.py).

Sources: pidfd_open(2), prctl(2), waitid(2).
"""

import contextlib
import gc
import os
import pickle
import resource
import select
import signal
import time
from collections.abc import Callable, Sequence

from computicle.engine.packets import (
    DescriptorsLost,
    Packet,
    PacketSocket,
    packet_buffer,
    packet_pair,
    receive_packet,
    send_packet,
)
from computicle.engine.pollers import TIMEOUT_S_MAX
from computicle.worlds.obituary import write_end
from computicle.worlds.orders import ALIVE, BE_BORN, KILL, OUTCOME, QUIT, START, Birth, Start
from computicle.worlds.places import Places
from computicle.worlds.preload import Preloads
from computicle.worlds.wards import Wards

__all__ = ["World", "Zygote"]

BREATH_S = 0.0005  # from a start to forking the next one ahead: first let those run whom the start concerns


class World:
    """One computicle, or what is to be one, seen from its parent."""

    uid: bytes  # these two once it has been told what it is
    start: Start

    def __init__(self, pid: int, place: int, watch: int, link: PacketSocket) -> None:
        self.pid = pid
        self.place = place
        self.watch = watch  # its pidfd
        self.link = link
        self.outcome: Packet | None = None
        self.why = ""  # why it was killed, if it was
        self.grace_s = 0.0
        self.deadline: float | None = None  # when it is killed, if it has not ended or got on until then


class Zygote:
    """The process."""

    def __init__(self, root: PacketSocket, watch: int) -> None:
        self._root = root
        self._watch = watch  # the root's pidfd
        self._worlds: dict[bytes, World] = {}
        self._events = select.epoll()
        self._handlers: dict[int, Callable[[], Birth | None]] = {}  # by descriptor. A Birth: this is a forked child now
        self._buffer = packet_buffer()
        self._soft, self._hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # the program's, which its computicles get
        self._blank: World | None = None  # the next one: forked already, and waiting to be told what it is
        self._started = False  # one was started just now, so the next one is to be forked
        self._preloads = Preloads(self)
        self._places = Places()
        self._wards = Wards(self._places, self._listen, self._ignore)
        self.ended = False

    def serve(self) -> Birth | None:
        """Until the program ends: None. In each computicle that is forked, this returns what it is given."""
        resource.setrlimit(resource.RLIMIT_NOFILE, (self._hard, self._hard))  # three for each computicle
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # where it is ignored, children leave no word how they ended
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        self.freeze()
        self._listen(self._root.fileno(), lambda: self._hear(self._root, None))
        self._listen(self._watch, self._end)
        while not self.ended:
            events = self._events.poll(self._until_deadline())
            birth = self._take_in(events)
            if birth is None and self._started and not events:
                self._started = False
                if self._blank is None:
                    with contextlib.suppress(OSError):  # whoever needs one will be told
                        birth = self._fork_blank()
            if birth is not None:
                return birth
        return None

    def look(self) -> None:
        """See to all that has happened, in the middle of an import: nobody is started meanwhile."""
        birth = self._take_in(self._events.poll(0))
        assert birth is None

    def _take_in(self, events: Sequence[tuple[int, int]]) -> Birth | None:
        for descriptor, _mask in events:
            handler = self._handlers.get(descriptor)
            birth = None if handler is None else handler()
            if birth is not None or self.ended:
                return birth
        self._kill_late()
        return None

    # Requests.

    def _hear(self, link: PacketSocket, world: World | None) -> Birth | None:
        """Read all that has come over a link."""
        while (packet := self._receive(link)) is not None:
            if not packet.data:
                if world is None:
                    self._end()
                else:
                    self._events.unregister(link)  # its death will follow
                    del self._handlers[link.fileno()]
                return None
            birth = self._obey(packet, world)
            if birth is not None:
                return birth
        return None

    def _receive(self, link: PacketSocket) -> Packet | None:
        while True:
            try:
                return receive_packet(link, self._buffer)
            except DescriptorsLost:
                continue  # whoever has asked is told: what came along for the answer ends

    def _obey(self, packet: Packet, world: World | None) -> Birth | None:
        kind, body = packet.data[:1], packet.data[1:]
        if kind == START:
            uid, modules = pickle.loads(body)  # noqa: S301  # from our own program
            *given, obituary, birth = packet.descriptors
            owner = b"" if world is None else world.uid
            start = Start(uid, modules, owner, given, PacketSocket(obituary), PacketSocket(birth))
            return self._preloads.wait(start) if self._preloads.concern(start) else self.begin(start)
        if kind == KILL:
            uid, why = pickle.loads(body)  # noqa: S301
            if uid in self._worlds:
                self.kill(self._worlds[uid], why)
            else:
                self._preloads.give_up(lambda start: start.uid == uid)
        elif kind == QUIT:
            uid, grace_s = pickle.loads(body)  # noqa: S301
            quitter = self._worlds.get(uid)
            if quitter is not None and quitter.deadline is None:
                quitter.grace_s = grace_s
                quitter.deadline = time.monotonic() + grace_s
        elif world is not None and kind == ALIVE and world.deadline is not None:
            world.deadline = time.monotonic() + world.grace_s
        elif world is not None and kind == OUTCOME:
            world.outcome = Packet(body, packet.descriptors)
        else:
            self._wards.obey(packet.data, packet.descriptors)
        return None

    # Birth.

    def begin(self, start: Start) -> Birth | None:
        """Have it live; if it cannot be, whoever has asked is told why."""
        try:
            world = self.use_blank(start.uid, start, BE_BORN, start.given)
        except Exception as error:
            start.refuse(error)
            return None
        if isinstance(world, Birth):
            return world
        start.answer(world.pid)
        start.close_given()
        self._started = True
        return None

    def use_blank(self, uid: bytes, start: Start, what: bytes, given: Sequence[int]) -> Birth | World:
        """Tell one what it is, forked already or now. Raises OSError if none can be forked or told."""
        if self._blank is None:
            birth = self._fork_blank()
            if birth is not None:
                return birth
        world, self._blank = self._blank, None
        assert world is not None
        world.uid = uid
        world.start = start
        try:
            send_packet(world.link, what, given)
        except BrokenPipeError:
            pass  # it has died meanwhile: that will be told
        except OSError:
            self._blank = world
            self.drop_blank()
            raise
        self._worlds[uid] = world
        return world

    def _fork_blank(self) -> Birth | None:
        """Have a child at hand that only has to be told what it is. Raises OSError."""
        theirs, ours = packet_pair()
        place = self._places.take()
        try:
            pid = os.fork()
        except BaseException:
            self._places.leave(place)
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            return Birth(theirs.detach(), place, (self._soft, self._hard))
        theirs.close()
        with contextlib.suppress(OSError):  # it does the same; whoever comes first
            os.setpgid(pid, pid)
        try:
            watch = os.pidfd_open(pid)
        except OSError:
            ours.close()
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            self._places.leave(place)
            raise
        world = self._blank = World(pid, place, watch, ours)
        self._listen(ours.fileno(), lambda: self._hear(ours, world))
        self._listen(watch, lambda: self._bury(world))
        return None

    def drop_blank(self) -> None:
        """It is of no use any more: it lacks what has been imported since."""
        blank, self._blank = self._blank, None
        if blank is not None:
            os.kill(blank.pid, signal.SIGKILL)
            os.waitpid(blank.pid, 0)
            self._forget(blank)

    def freeze(self) -> None:
        """What is here is here to stay: computicles' collectors need not look at it, nor copy its pages."""
        gc.collect()
        gc.freeze()
        gc.disable()

    # Death.

    def kill(self, world: World, why: str) -> None:
        """Kill it, because of `why`."""
        if not world.why:
            world.why = why
        with contextlib.suppress(ProcessLookupError):
            os.kill(world.pid, signal.SIGKILL)

    def _bury(self, world: World) -> Birth | None:
        """It has ended: reap it, tell everybody, and end what it leaves behind."""
        if os.waitid(os.P_PID, world.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            # It lives: the event was of another one's descriptor, closed a moment ago, that had this number.
            return None
        if world.link.fileno() in self._handlers:
            birth = self._hear(world.link, world)
            if birth is not None:
                return birth
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(world.pid, signal.SIGKILL)  # before it is reaped: until then the number is its own
        _pid, status = os.waitpid(world.pid, 0)
        self._wards.died(world.place)
        self._forget(world)
        if world is self._blank:
            self._blank = None
            return None
        del self._worlds[world.uid]
        if world is self._preloads.trial:
            return self._preloads.judge()
        for other in [*self._worlds.values()]:
            if other.start.owner == world.uid:
                self.kill(other, "was ended with the computicle that had made it")
        self._preloads.give_up(lambda start: start.owner == world.uid)
        outcome = world.outcome or Packet(b"", ())
        why = "" if outcome.data else world.why
        world.start.tell(write_end(status, why, outcome.data or None), outcome.descriptors)
        for descriptor in outcome.descriptors:
            os.close(descriptor)
        world.start.obituary.close()
        return None

    def _forget(self, world: World) -> None:
        self._places.leave(world.place)
        for descriptor in (world.link.fileno(), world.watch):
            self._ignore(descriptor)
        os.close(world.watch)
        world.link.close()

    def _kill_late(self) -> None:
        now = time.monotonic()
        for world in self._worlds.values():
            if world.deadline is not None and world.deadline <= now:
                world.deadline = None
                self.kill(world, f"was killed: it did not quit within its grace of {world.grace_s:g} s")

    def _until_deadline(self) -> float | None:
        deadlines = [world.deadline for world in self._worlds.values() if world.deadline is not None]
        now = time.monotonic()
        if self._started:
            deadlines.append(now + BREATH_S)
        return min(max(0.0, min(deadlines) - now), TIMEOUT_S_MAX) if deadlines else None

    def _end(self) -> None:
        """The program has ended: so does everything."""
        self.ended = True
        if self._blank is not None:
            self._worlds[b""] = self._blank
        for world in self._worlds.values():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(world.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(world.pid, signal.SIGKILL)
        for world in self._worlds.values():
            os.waitpid(world.pid, 0)

    # Small things.

    def _listen(self, descriptor: int, handler: Callable[[], Birth | None]) -> None:
        self._handlers[descriptor] = handler
        self._events.register(descriptor, select.EPOLLIN)

    def _ignore(self, descriptor: int) -> None:
        # Not by closing alone: a child that was forked just now may still have it, and its events would go on.
        if self._handlers.pop(descriptor, None) is not None:
            self._events.unregister(descriptor)
