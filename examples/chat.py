"""A chat room, a line at a time: python chat.py [port]. Join it with `nc localhost 8080`."""

import sys

from computicle import Stream, fail_after, listen, on_signal, run, scope, serve, signal_all


def welcome(stream: Stream) -> None:
    stream.sendall(b"Your name?\n")
    name = stream.readline().strip()

    def show(line: bytes) -> None:
        with fail_after(10):  # a guest who cannot take a line in that time is shown out
            stream.sendall(line)

    try:
        with scope() as guest:
            on_signal(show, "said", every=True)  # one fiber shows what is said, while this one listens
            signal_all("said", b"* %s is here\n" % name)
            for line in stream:
                signal_all("said", b"%s: %s" % (name, line))
            guest.cancel()
    finally:
        signal_all("said", b"* %s has left\n" % name)


def main(port: int = 8080) -> None:
    listener = listen(port)
    print(f"the room is on port {listener.port}", flush=True)
    serve(welcome, listener)


run(main, *map(int, sys.argv[1:2]))
