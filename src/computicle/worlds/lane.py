"""Lane: a way to a computicle for what must get through when its mailbox is full: code, calls, answers, quit.

Packets go in here, and come out there in the same order.

Rules:
  1. What is sent has left when `send` returns. A lane that is full makes its
     sender wait (senders.py).
  2. Where there is no fiber that could wait (a helper thread), the thread does.
  3. `push` never waits: what finds no room goes out later, in order, by a fiber
     of its own, and before anything that its thread sends after it. It is for
     answers and the like, whose number is bounded otherwise.
  4. Any thread. What was pushed belongs to the thread that did. Between threads
     there is no order.

Not here: messages (mail.py), who waits for room (senders.py), what is said (home.py,
requests.py, orders.py), how packets travel (engine/packets.py).
"""

import socket
from contextlib import suppress
from typing import Any

from computicle.engine.packets import Packet, PacketSocket, copies_of, send_packet, send_waiting
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.deadlines import Shield
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.flows import outermost
from computicle.scheduler.log import log_error
from computicle.scheduler.scope import Scope
from computicle.worlds.codec import take_descriptors
from computicle.worlds.parcel import Parcel, carry_descriptors
from computicle.worlds.senders import Crowd, Senders, send_through, sender_here

__all__ = ["Lane"]


class Lane:
    """The sending end of one."""

    __slots__ = ("__weakref__", "_label", "_senders", "sock")

    def __init__(self, sock: PacketSocket, label: str) -> None:
        self.sock = sock
        self._label = label
        self._senders = Senders(lambda kernel: (kernel.engine.packets(sock, f"room for {label}"),), sock.close)

    def send(self, head: bytes, parcel: Parcel) -> None:
        """Send `head` and the parcel behind it. Waits while the lane is full. The parcel is closed in any case.

        Raises:
            BrokenPipeError: nobody will receive it.
        """
        data, descriptors, own, _kept, moving = parcel
        try:
            me = sender_here()
            if self._senders.waiting or not send_packet(self.sock, head + data, descriptors):
                self._send_when_room(me, Packet(head + data, descriptors))
        except BaseException:
            parcel.unsent()
            raise
        else:
            if moving:
                parcel.sent()
        finally:
            if own:
                parcel.close()

    def push(self, head: bytes, parcel: Parcel) -> None:
        """Send it now, or as soon as there is room. Never waits, where there is a fiber: else as `send` does.

        Does nothing if nobody will receive it.
        """
        me = fiber_here()
        crowd = None if me is None else self._senders.waiting.get(me.kernel)
        try:
            data = head + parcel.data
            if crowd is None or not crowd.late:
                try:
                    if send_packet(self.sock, data, parcel.descriptors):
                        parcel.sent()
                        return
                except BrokenPipeError:
                    parcel.unsent()
                    return
            packet = Packet(data, copies_of(parcel.descriptors))
            parcel.sent()  # if it does not get there after all, what moved is nobody's
        except BaseException:
            parcel.unsent()
            raise
        finally:
            parcel.close()
        if me is None:
            with suppress(OSError):
                send_waiting(self.sock, packet)
            packet.close()
            return
        try:
            self._send_later(me, packet)
        except OSError as error:
            packet.close()
            if not isinstance(error, BrokenPipeError):
                raise

    def end(self) -> None:
        """Nobody receives any more: whoever waits for room is told, in any thread and process."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        """Nothing more is sent by this process, but what waits for room already."""
        self._senders.close()

    def cut(self) -> None:
        """Nothing more is sent by this process, and who waits for room is told. If no other thread uses it."""
        self._senders.cut()

    def __reduce__(self) -> Any:
        return _arrive, (self._label, carry_descriptors(self, [self.sock.fileno()]))

    def _send_when_room(self, me: Fiber | None, packet: Packet) -> None:
        # Copies: what they belong to may be closed while this waits.
        packet = Packet(packet.data, copies_of(packet.descriptors))
        try:
            if me is None:
                send_waiting(self.sock, packet)
                return
            with self._senders.turn(me) as crowd:
                self._send_late(me, crowd)
                self._send_in_turn(me, crowd, packet)
        finally:
            packet.close()

    def _send_later(self, me: Fiber, packet: Packet) -> None:
        """Leave it to a fiber of its own."""
        crowd = self._senders.join(me.kernel)
        crowd.late.append(packet)
        if crowd.pushing:
            self._senders.leave(me.kernel, crowd)
        else:
            crowd.pushing = True
            scope = outermost(me)
            attend(scope, Pusher(self, crowd, scope), f"sender of {self._label}")

    def _send_in_turn(self, me: Fiber, crowd: Crowd, packet: Packet) -> None:
        (wire,) = crowd.wires
        send_through(me, wire.writing, wire.send, packet)

    def _send_late(self, me: Fiber, crowd: Crowd) -> None:
        """Send what was pushed, as whoever's turn it is."""
        while crowd.late:
            try:
                self._send_in_turn(me, crowd, crowd.late[0])
            except BrokenPipeError:
                raise
            except OSError as error:
                log_error(error, "something could not be sent, as one of %s", self._label)
            crowd.late.popleft().close()

    # For the pusher.

    def push_on(self, me: Fiber, crowd: Crowd) -> None:
        """Send what was pushed. Shielded: it may be about the end of what is cancelled. Waits."""
        with suppress(BrokenPipeError), Shield(), crowd.turn:
            self._send_late(me, crowd)

    def stop_pushing(self, me: Fiber, crowd: Crowd) -> None:
        """The fiber that did so ends: what it has not sent is dropped."""
        while crowd.late:
            crowd.late.popleft().close()
        crowd.pushing = False
        self._senders.leave(me.kernel, crowd)


class Pusher(Attendant):
    """Sends what was pushed into a full lane: it may be what tells a computicle to quit."""

    aside = True

    __slots__ = ("_crowd", "_lane")

    def __init__(self, lane: Lane, crowd: Crowd, scope: Scope) -> None:
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
