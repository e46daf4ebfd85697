"""Lane: one way to a computicle: packets go in here, and come out there in the same order.

Each computicle has two: one for messages, and one for what must get through
when the first is full (code, calls, answers, quit).

Rules:
  1. What is sent has left when `send` returns. A lane that is full makes its
     sender wait, fibers of one thread first come, first served; so what one
     of them sends stays in order.
  2. Where there is no fiber that could wait (a helper thread), the thread does.
  3. `push` never waits: what finds no room goes out later, in order, by a fiber
     of its own. It is for answers and the like, whose number is bounded otherwise.

Not here: what is said (home.py, handle.py), how packets travel (engine/packets.py).
"""

import os
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from computicle.engine.packets import (
    Packet,
    PacketSocket,
    send_packet,
    send_waiting,
)
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.deadlines import Shield
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.park import look_around
from computicle.scheduler.scope import Scope
from computicle.worlds.codec import Parcel, carry_descriptors, take_descriptors
from computicle.worlds.senders import Senders, send_through

if TYPE_CHECKING:
    pass

__all__ = ["Lane"]


class Lane:
    """The sending end of one."""

    __slots__ = ("__weakref__", "_label", "_late", "_pushing", "_senders", "sock")

    def __init__(self, sock: PacketSocket, label: str) -> None:
        self.sock = sock
        self._label = label
        self._senders = Senders(
            lambda kernel: (kernel.engine.packets(sock, f"room for {label}"),), lambda: sock.fileno() < 0
        )
        self._late: deque[Packet] = deque()  # pushed, and not gone yet
        self._pushing = False  # a fiber sees to that

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
            if not self._senders.waiting and send_packet(self.sock, head + data, descriptors):
                return
            self._send_when_room(me, Packet(head + data, descriptors))
        finally:
            if own:
                parcel.close()

    def push(self, head: bytes, parcel: Parcel) -> None:
        """Send it now, or as soon as there is room. Never waits, where there is a fiber: else as `send` does.

        Does nothing if nobody will receive it.
        """
        try:
            data = head + parcel.data
            if not self._late:
                try:
                    if send_packet(self.sock, data, parcel.descriptors):
                        return
                except OSError:
                    return  # nobody will receive it, or this end is closed
            packet = Packet(data, [os.dup(descriptor) for descriptor in parcel.descriptors])
        finally:
            parcel.close()
        me = fiber_here()
        if me is None:
            with suppress(OSError):
                send_waiting(self.sock, packet)
            _close_all(packet)
            return
        self._late.append(packet)
        if not self._pushing:
            self._pushing = True
            scope = me.kernel.run_scope or me.kernel.base
            attend(scope, Pusher(self, scope), f"sender of {self._label}")

    def __reduce__(self) -> Any:
        return _arrive, (self._label, carry_descriptors(self, [self.sock.fileno()]))

    def close(self) -> None:
        """Nothing more is sent by this process."""
        self._senders.close()
        self.sock.close()
        if not self._pushing:
            self._drop_late()

    def _send_when_room(self, me: Fiber | None, packet: Packet) -> None:
        # Copies: what they belong to may be closed while this waits.
        packet = Packet(packet.data, [os.dup(descriptor) for descriptor in packet.descriptors])
        try:
            if me is None:
                send_waiting(self.sock, packet)
            else:
                self._send_later(me, packet)
        finally:
            _close_all(packet)

    def _send_later(self, me: Fiber, packet: Packet) -> None:
        with self._senders.turn(me) as (wire,):
            send_through(me, wire.writing, wire.send, packet)

    def flush_late(self, me: Fiber) -> None:
        """Send what was pushed, as the fiber that sees to it. Shielded: it may be about the end of what is cancelled."""
        try:
            with Shield():
                while self._late:
                    self._send_later(me, self._late[0])
                    _close_all(self._late.popleft())
        except OSError:
            self._drop_late()  # nobody will receive it
        finally:
            self._pushing = False

    def _drop_late(self) -> None:
        while self._late:
            _close_all(self._late.popleft())


class Pusher(Attendant):
    """Sends what was pushed into a full lane: it may be what tells a computicle to quit."""

    aside = True

    __slots__ = ("_lane",)

    def __init__(self, lane: Lane, scope: Scope) -> None:
        super().__init__(attendants_of(scope), self._work, lasting=False)
        self._lane = lane

    def _work(self) -> None:
        self._lane.flush_late(self.fiber)


def _arrive(label: str, place: int) -> Lane:
    """As it is unpacked."""
    (descriptor,) = take_descriptors(place, 1)
    return Lane(PacketSocket(descriptor), label)


def _close_all(packet: Packet) -> None:
    for descriptor in packet.descriptors:
        os.close(descriptor)
