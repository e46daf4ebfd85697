"""Serving with no descriptor left: the server survives, and goes on once there are some.

In a process of its own, whose limit is lowered.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs RLIMIT_NOFILE")

HANG_S = 60  # bounds a hang; nothing takes this long

PROGRAM = textwrap.dedent(
    """
    import logging, os, resource, socket, sys
    from computicle import *

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stdout)

    def echo(stream):
        while data := stream.recv():
            stream.sendall(data)

    def main():
        listener = listen(0)
        server = spawn(serve, echo, listener)
        # Clients that are made before the limit is lowered, and connect after: they need no descriptor then.
        clients = [socket.socket() for _ in range(30)]
        limit = len(os.listdir("/dev/fd")) + 10
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        for client in clients:
            client.connect(("127.0.0.1", listener.port))
            client.sendall(b"x")
            client.setblocking(False)
        for _ in range(1000):
            yield_()
        answered = waiting(clients)
        print("answered while exhausted:", 0 < len(answered) < len(clients), flush=True)
        try:
            connect("127.0.0.1", listener.port)
        except OSError as error:
            print("connect:", error, flush=True)
        try:
            listen(0)
        except OSError as error:
            print("listen:", error, flush=True)
        while clients:
            # Each that is answered leaves, which makes room for the next.
            for client in answered:
                clients.remove(client)
                client.close()
            sleep(0.001)
            answered = waiting(clients)
        print("all answered in the end", flush=True)
        with connect("127.0.0.1", listener.port) as stream:
            stream.sendall(b"as before")
            print(stream.read_exactly(9).decode(), flush=True)
        print("server:", "done" if server.done else "serving", flush=True)
        server.cancel()

    def waiting(clients):
        answered = []
        for client in clients:
            try:
                if client.recv(1) == b"x":
                    answered.append(client)
            except BlockingIOError:
                pass
        return answered

    run(main)
    """
)


def test_the_server_survives() -> None:
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join(path for path in sys.path if path))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    warnings = [line for line in done.stdout.splitlines() if line.startswith("WARNING")]
    told = [line.partition(" files:")[0] for line in done.stdout.splitlines() if not line.startswith("WARNING")]
    assert told == [
        "answered while exhausted: True",
        "connect: [Errno 24] Too many open",
        "listen: [Errno 24] Too many open",
        "all answered in the end",
        "as before",
        "server: serving",
    ]
    assert warnings
    assert all("cannot accept on ('127.0.0.1'," in line and "Too many open files" in line for line in warnings)
    assert not done.stderr
