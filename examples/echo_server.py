"""An echo server: python echo_server.py [port]. Whatever a client sends, it gets back."""

import sys

from computicle import Stream, listen, run, serve


def echo(stream: Stream) -> None:
    while data := stream.recv(65_536):  # b"" is the end: the client has sent its last
        stream.sendall(data)


def main(port: int = 9090) -> None:
    listener = listen(port)
    print(f"echoing on port {listener.port}", flush=True)
    serve(echo, listener)  # a fiber for each client, until Ctrl-C


run(main, *map(int, sys.argv[1:2]))
