"""A daytime server (RFC 867): python daytime_server.py [port]. Port 0 picks a free one."""

import sys
import time

from computicle import Stream, listen, run, serve


def tell_time(stream: Stream) -> None:
    # One client. `serve` calls this in a fiber of its own, and closes the stream after it.
    stream.sendall(time.strftime("%A, %B %d, %Y %H:%M:%S-%Z\r\n").encode())


def main(port: int = 9091) -> None:
    listener = listen(port)
    print(f"serving the time on port {listener.port}", flush=True)
    serve(tell_time, listener)  # until Ctrl-C


run(main, *map(int, sys.argv[1:2]))
