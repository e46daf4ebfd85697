"""A server that speaks in lines: python line_server.py [port].

It knows ADD 1 2 3, TIME and QUIT.
"""

import sys
import time

from computicle import Stream, listen, move_on_after, run, serve


def talk(stream: Stream) -> None:
    stream.sendall(b"hello\n")
    while True:
        line = b"QUIT"  # what a minute of silence means
        with move_on_after(60):
            line = stream.readline(limit=1000)  # a longer line is an error, and ends this conversation only
        match line.decode().split():
            case ["ADD", *numbers]:
                answer = str(sum(map(int, numbers)))
            case ["TIME"]:
                answer = time.strftime("%H:%M:%S")
            case ["QUIT"] | []:
                break
            case _:
                answer = "pardon?"
        stream.sendall(answer.encode() + b"\n")
    stream.sendall(b"bye\n")


def main(port: int = 8080) -> None:
    listener = listen(port)
    print(f"listening on port {listener.port}", flush=True)
    serve(talk, listener)


run(main, *map(int, sys.argv[1:2]))
