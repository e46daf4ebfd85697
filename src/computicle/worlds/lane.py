"""Lane: one way to a computicle: packets go in here, and come out there in the same order.

Each computicle has two: one for messages, and one for what must get through
when the first is full (code, calls, answers, quit).

Rules:
  1. What is sent has left when `send` returns. A lane that is full makes its
     sender wait, fibers of one thread first come, first served; so what one
     of them sends stays in order.
  2. Where there is no fiber that could wait (a helper thread), the thread does.
  3. `push` never waits: what finds no room goes out later, in order, by a fiber
     of its own, and before anything that its thread sends after it. It is for
     answers and the like, whose number is bounded otherwise.
  4. Any thread. Those of its fibers who wait, and what they have pushed, are a
     crowd of the thread's own, which no other touches; so the socket is closed
     once no crowd is left. Between threads there is no order.

Not here: what is said (home.py, handle.py), how packets travel (engine/packets.py).
"""

import errno
import os
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from computicle.engine.op import ClosedError
from computicle.engine.packets import (
    SEND_FLAGS,
    Packet,
    PacketSocket,
    PacketWire,
    check_room,
    copies_of,
    send_packet,
    send_waiting,
)
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.deadlines import Shield
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.locks import Lock
from computicle.scheduler.log import log_error
from computicle.scheduler.park import look_around
from computicle.scheduler.scope import Scope
from computicle.worlds.codec import Parcel, carry_descriptors, take_descriptors

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel

__all__ = ["Lane"]


class Lane:
    """The sending end of one."""

    __slots__ = ("__weakref__", "_closed", "_crowds", "_label", "_send", "sock")

    def __init__(self, sock: PacketSocket, label: str) -> None:
        self.sock = sock
        self._send = sock.send
        self._label = label
        self._crowds: dict[Kernel, _Crowd] = {}  # of each thread whose fibers wait for room
        self._closed = False

    def send(self, head: bytes, parcel: Parcel) -> None:
        """Send `head` and the parcel behind it. Waits while the lane is full. The parcel is closed in any case.

        Raises:
            BrokenPipeError: nobody will receive it.
        """
        data, descriptors, own, _kept = parcel
        try:
            me = fiber_here()
            if me is not None:
                if me.credit <= 0:
                    look_around(me)
                me.credit -= 1
            if not self._crowds or me is None or me.kernel not in self._crowds:
                if descriptors:
                    if send_packet(self.sock, head + data, descriptors):
                        return
                else:  # send_packet, written out (bench/messages.py)
                    try:
                        self._send(head + data, SEND_FLAGS)
                        return
                    except OSError as error:
                        check_room(error)
            self._send_when_room(me, Packet(head + data, descriptors))
        finally:
            if own:
                parcel.close()

    def send_plain(self, data: bytes) -> None:
        """As `send`, for a small packet."""
        me = fiber_here()
        if me is not None:
            if me.credit <= 0:
                look_around(me)
            me.credit -= 1
        if not self._crowds:
            try:
                self._send(data, SEND_FLAGS)
                return
            except OSError as error:
                check_room(error)
        self._send_when_room(me, Packet(data, ()))

    def push(self, head: bytes, parcel: Parcel) -> None:
        """Send it now, or as soon as there is room. Never waits, where there is a fiber: else as `send` does.

        Does nothing if nobody will receive it.
        """
        me = fiber_here()
        crowd = None if me is None else self._crowds.get(me.kernel)
        try:
            data = head + parcel.data
            if crowd is None or not crowd.late:
                try:
                    if send_packet(self.sock, data, parcel.descriptors):
                        return
                except BrokenPipeError:
                    return
            packet = Packet(data, copies_of(parcel.descriptors))
        finally:
            parcel.close()
        if me is None:
            with suppress(OSError):
                send_waiting(self.sock, packet)
            _close_all(packet)
            return
        try:
            self._send_later(me, packet)
        except OSError as error:
            _close_all(packet)
            if not isinstance(error, BrokenPipeError):
                raise

    def end(self) -> None:
        """Nobody receives any more: whoever waits for room is told, in any thread and process."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Nothing more is sent by this process, but what waits for room already."""
        self._closed = True
        if not self._crowds:
            self.sock.close()

    def cut(self) -> None:
        """Nothing more is sent by this process, and who waits for room is told. If no other thread uses it."""
        for crowd in [*self._crowds.values()]:
            crowd.wire.close()
        self.sock.close()

    def __reduce__(self) -> Any:
        return _arrive, (self._label, carry_descriptors(self, [self.sock.fileno()]))

    def _send_when_room(self, me: Fiber | None, packet: Packet) -> None:
        # Copies: what they belong to may be closed while this waits.
        packet = Packet(packet.data, copies_of(packet.descriptors))
        try:
            if me is None:
                send_waiting(self.sock, packet)
                return
            crowd = self._join(me.kernel)
            try:
                with crowd.turn:
                    self._send_late(me, crowd)
                    self._send_waiting(me, crowd, packet)
            finally:
                self._leave(me.kernel, crowd)
        finally:
            _close_all(packet)

    def _send_later(self, me: Fiber, packet: Packet) -> None:
        """Leave it to a fiber of its own."""
        crowd = self._join(me.kernel)
        crowd.late.append(packet)
        if crowd.pushing:
            self._leave(me.kernel, crowd)
        else:
            crowd.pushing = True
            scope = me.kernel.run_scope or me.kernel.base
            attend(scope, Pusher(self, crowd, scope), f"sender of {self._label}")

    def _join(self, kernel: "Kernel") -> "_Crowd":
        crowd = self._crowds.get(kernel)
        if crowd is None:
            crowd = self._crowds[kernel] = _Crowd()  # first of all: from now on no other thread closes the socket
            try:
                crowd.wire = kernel.engine.packets(self.sock, f"room for {self._label}")
            except BaseException as error:
                del self._crowds[kernel]
                if isinstance(error, ValueError):  # one has, a moment ago
                    raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
                raise
        crowd.count += 1
        return crowd

    def _leave(self, kernel: "Kernel", crowd: "_Crowd") -> None:
        crowd.count -= 1
        if crowd.count == 0:
            self._crowds.pop(kernel, None)
            crowd.wire.close()
            if self._closed:
                self.close()

    def _send_waiting(self, me: Fiber, crowd: "_Crowd", packet: Packet) -> None:
        try:
            if not crowd.wire.send(packet):  # which also forgets an edge that came while nobody waited
                me.kernel.finish_op(me, crowd.wire.writing, crowd.wire.send, packet)
        except ClosedError:
            raise BrokenPipeError(errno.EPIPE, "it has ended") from None  # and the lane was cut for that

    def _send_late(self, me: Fiber, crowd: "_Crowd") -> None:
        """Send what was pushed, as whoever's turn it is."""
        while crowd.late:
            try:
                self._send_waiting(me, crowd, crowd.late[0])
            except BrokenPipeError:
                raise
            except OSError as error:
                log_error(error, "something could not be sent, as one of %s", self._label)
            _close_all(crowd.late.popleft())

    def push_on(self, me: Fiber, crowd: "_Crowd") -> None:
        """Send what was pushed. Shielded: it may be about the end of what is cancelled."""
        with suppress(BrokenPipeError), Shield(), crowd.turn:
            self._send_late(me, crowd)

    def stop_pushing(self, me: Fiber, crowd: "_Crowd") -> None:
        """The fiber that does ends."""
        while crowd.late:
            _close_all(crowd.late.popleft())
        crowd.pushing = False
        self._leave(me.kernel, crowd)


class _Crowd:
    """The fibers of one thread that wait for room."""

    wire: PacketWire

    def __init__(self) -> None:
        self.turn = Lock()
        self.count = 0
        self.late: deque[Packet] = deque()  # pushed, and not gone yet
        self.pushing = False  # a fiber sees to that


class Pusher(Attendant):
    """Sends what was pushed into a full lane: it may be what tells a computicle to quit."""

    aside = True

    __slots__ = ("_crowd", "_lane")

    def __init__(self, lane: Lane, crowd: _Crowd, scope: Scope) -> None:
        super().__init__(attendants_of(scope), self._work, lasting=False)
        self._lane = lane
        self._crowd = crowd

    def end(self) -> None:
        self._lane.stop_pushing(self.fiber, self._crowd)
        super().end()

    def _work(self) -> None:
        self._lane.push_on(self.fiber, self._crowd)


def _arrive(label: str, place: int) -> Lane:
    """As it is unpacked."""
    (descriptor,) = take_descriptors(place, 1)
    return Lane(PacketSocket(descriptor), label)


def _close_all(packet: Packet) -> None:
    for descriptor in packet.descriptors:
        os.close(descriptor)
