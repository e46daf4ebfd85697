"""A chat room, a line at a time: python chat.py [port]. Join it with `nc localhost 8080`."""

import sys

from computicle import Channel, Scope, Stream, listen, run, scope, serve, shield, spawn

room: dict[Channel[bytes], Scope] = {}  # what each guest is still to be shown, and the visit


def say(line: bytes) -> None:
    for outbox, visit in [*room.items()]:
        # A guest who does not read is shown out.
        outbox.send(line) if len(outbox) < outbox.capacity else visit.cancel()


def show(outbox: Channel[bytes], stream: Stream) -> None:
    for line in outbox:
        stream.sendall(line)


def welcome(stream: Stream) -> None:
    stream.sendall(b"Your name?\n")
    name = stream.readline().strip()
    outbox = Channel[bytes](1_000)
    try:
        with scope() as room[outbox]:
            spawn(show, outbox, stream)  # while this fiber listens
            say(b"* %s is here\n" % name)
            for line in stream:
                say(b"%s: %s" % (name, line))
            room[outbox].cancel()
    finally:
        del room[outbox]
        with shield():
            say(b"* %s has left\n" % name)


listener = listen(int(sys.argv[1]) if sys.argv[1:] else 8080)
print(f"the room is on port {listener.port}", flush=True)
run(serve, welcome, listener)
