"""Echo servers: the same server on every library. `python -m bench.echo_servers LABEL` prints its port and serves.

Each is written as that library's manual would: a handler that receives and sends until the other side has closed. Two
things are set alike for all:
  1. The backlog, so that 1,000 connections can arrive at once.
  2. The allocator is in the state of a program that has run for a while. asyncio receives into 256 KiB, which glibc maps
     and unmaps for every message until the program has once freed something larger; that alone would double its cost.

Not here: the load, the measuring (echo.py), the server in C (echo_epoll.c).
"""

import asyncio
import socket
import sys
from typing import Any

from bench.case import library_of

__all__ = ["SERVERS"]

BACKLOG = 1024
BYTES = 65536
AGED_BYTES = 1 << 20  # more than anybody receives into


def on_computicle(computicle: Any) -> None:
    def handler(stream: Any) -> None:
        while data := stream.recv(BYTES):
            stream.sendall(data)

    def main() -> None:
        listener = computicle.listen(0)
        _announce(listener.port)
        computicle.serve(handler, listener)

    computicle.run(main)


def on_gevent(gevent: Any) -> None:
    def handler(sock: Any, _address: object) -> None:
        while data := sock.recv(BYTES):
            sock.sendall(data)

    server = gevent.server.StreamServer(("127.0.0.1", 0), handler, backlog=BACKLOG)
    server.start()
    _announce(server.server_port)
    server.serve_forever()


def on_streams(loop: Any) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(BYTES):
            writer.write(data)
            await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(handler, "127.0.0.1", 0, backlog=BACKLOG)
        _announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    loop.run(main())


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: Any) -> None:
        self._write = transport.write

    def data_received(self, data: bytes) -> None:
        self._write(data)


def on_protocols(loop: Any) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Echo, "127.0.0.1", 0, backlog=BACKLOG)
        _announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    loop.run(main())


def on_trio(trio: Any) -> None:
    async def handler(stream: Any) -> None:
        while data := await stream.receive_some(BYTES):
            await stream.send_all(data)

    async def main() -> None:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=BACKLOG)
        _announce(listeners[0].socket.getsockname()[1])
        await trio.serve_listeners(handler, listeners)

    trio.run(main)


def on_tealetio(tealetio: Any) -> None:
    def main() -> None:
        scheduler = tealetio.get_running_scheduler()

        def handler(sock: socket.socket) -> None:
            with sock:
                while data := scheduler.sock_recv(sock, BYTES):
                    scheduler.sock_sendall(sock, data)

        with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
            listener.setblocking(False)
            _announce(listener.getsockname()[1])
            while True:
                sock, _ = scheduler.sock_accept(listener)
                scheduler.spawn(lambda sock=sock: handler(sock))

    tealetio.run(main, scheduler_factory=tealetio.SelectorScheduler)


def _announce(port: int) -> None:
    print(port, flush=True)


SERVERS = {
    "computicle": on_computicle,
    "gevent": on_gevent,
    "asyncio streams": on_streams,
    "uvloop streams": on_streams,
    "uvloop protocols": on_protocols,
    "trio": on_trio,
    "tealetio": on_tealetio,
}

if __name__ == "__main__":
    bytearray(AGED_BYTES)  # and freed at once
    SERVERS[sys.argv[1]](library_of(sys.argv[1]))
