"""A tale of two schedulers: the essay's program.

Two computicles are made from one template of source text. Each runs a plain
daytime client in a process of its own; the parent waits for both. Inside each
process fibers take turns, and the system runs the processes side by side.
The daytime server is a fiber of the parent here, so no network is needed.
"""

import time

from computicle import Computicle, Stream, listen, run, serve, spawn

CODE_TEMPLATE = """
import os
from computicle import connect

def get_date_and_time(host, port):
    with connect(host, port) as stream:
        return stream.readline().decode().strip()

os.getpid(), get_date_and_time("127.0.0.1", port)
"""


def tell_time(stream: Stream) -> None:
    stream.sendall(time.strftime("%A, %B %d, %Y %H:%M:%S-%Z\r\n").encode())


def main() -> None:
    listener = listen(0)
    server = spawn(serve, tell_time, listener)

    comp1 = Computicle(CODE_TEMPLATE, port=listener.port)
    comp2 = Computicle(CODE_TEMPLATE, port=listener.port)
    for pid, answer in (comp1.wait(), comp2.wait()):
        print(f"process {pid} says it is {answer}")
    server.cancel()


run(main)
