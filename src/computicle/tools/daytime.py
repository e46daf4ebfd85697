"""Daytime: the oldest of small services (RFC 867), as a process of its own.

A client connects, gets a line with the date and the time, and that is all.
`python -m computicle.tools.daytime` serves it on a free port of the loopback
interface and prints the number of the port.

Rules:
  1. It ends when its standard input does: so it never outlives its starter.

Not here: the client, and who starts this (demo.py).
"""

import os
import time

from computicle.words import Stream, listen, offload, run, serve, spawn, stop

__all__ = ["main"]


def main() -> None:
    """Serve until standard input ends."""
    listener = listen(0)
    print(listener.port, flush=True)  # noqa: T201
    spawn(end_with_starter)
    serve(tell_time, listener)


def tell_time(stream: Stream) -> None:
    """One conversation, from the server's side."""
    stream.sendall(time.strftime("%A, %B %d, %Y %H:%M:%S-%Z\r\n").encode())


def end_with_starter() -> None:
    """Wait for the end of standard input, and stop."""
    while offload(os.read, 0, 1):
        pass
    stop()


if __name__ == "__main__":
    run(main)
