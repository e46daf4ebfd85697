"""Idle programs: a program full of waiters, on every library. `python -m bench.idle_programs LABEL` prints its port.

1,000 sleepers of an hour, 1,000 waiters for a signal, 1,000 for a predicate, and a server whose connections are silent.
A peer's nearest thing stands in for what it has not: its Event for the signal; for the predicate its Condition, with
wait_for where there is one; on gevent, which has no Condition, another Event.

Not here: watching that nothing happens (idle.py).
"""

import asyncio
import socket
import sys
from typing import Any

from bench.case import library_of

__all__ = ["CROWD", "PROGRAMS"]

CROWD = 1_000
BACKLOG = 1024
HOUR_S = 3600.0


def on_computicle(computicle: Any) -> None:
    items: list[int] = []

    def main() -> None:
        for _ in range(CROWD):
            computicle.spawn(computicle.sleep, HOUR_S)
            computicle.spawn(computicle.wait_signal, "go")
            computicle.spawn(computicle.wait_for, lambda: items)
        listener = computicle.listen(0)
        _announce(listener.port)
        computicle.serve(lambda stream: stream.recv(1), listener)

    computicle.run(main)


def on_gevent(gevent: Any) -> None:
    event, condition = gevent.event.Event(), gevent.event.Event()
    for _ in range(CROWD):
        gevent.spawn(gevent.sleep, HOUR_S)
        gevent.spawn(event.wait)
        gevent.spawn(condition.wait)
    server = gevent.server.StreamServer(("127.0.0.1", 0), lambda sock, _address: sock.recv(1), backlog=BACKLOG)
    server.start()
    _announce(server.server_port)
    server.serve_forever()


def on_asyncio(loop: Any) -> None:
    async def main() -> None:
        items: list[int] = []
        event, condition = asyncio.Event(), asyncio.Condition()

        async def waiter() -> None:
            async with condition:
                await condition.wait_for(lambda: items)

        async def handler(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
            await reader.read(1)

        tasks: list[asyncio.Task[Any]] = []
        for _ in range(CROWD):
            tasks.append(asyncio.create_task(asyncio.sleep(HOUR_S)))
            tasks.append(asyncio.create_task(event.wait()))
            tasks.append(asyncio.create_task(waiter()))
        server = await asyncio.start_server(handler, "127.0.0.1", 0, backlog=BACKLOG)
        _announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    loop.run(main())


def on_trio(trio: Any) -> None:
    async def main() -> None:
        event, condition = trio.Event(), trio.Condition()

        async def waiter() -> None:
            async with condition:
                await condition.wait()

        async with trio.open_nursery() as nursery:
            for _ in range(CROWD):
                nursery.start_soon(trio.sleep, HOUR_S)
                nursery.start_soon(event.wait)
                nursery.start_soon(waiter)
            listeners = await trio.open_tcp_listeners(0, host="127.0.0.1", backlog=BACKLOG)
            _announce(listeners[0].socket.getsockname()[1])
            await trio.serve_listeners(lambda stream: stream.receive_some(1), listeners)

    trio.run(main)


def on_tealetio(tealetio: Any) -> None:
    def main() -> None:
        items: list[int] = []
        scheduler = tealetio.get_running_scheduler()
        event, condition = tealetio.Event(), tealetio.Condition()

        def waiter() -> None:
            with condition:
                condition.swait_for(lambda: items)

        for _ in range(CROWD):
            scheduler.spawn(lambda: scheduler.sleep(HOUR_S))
            scheduler.spawn(event.swait)
            scheduler.spawn(waiter)
        with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listener:
            listener.setblocking(False)
            _announce(listener.getsockname()[1])
            while True:
                sock, _ = scheduler.sock_accept(listener)
                scheduler.spawn(lambda sock=sock: scheduler.sock_recv(sock, 1))

    tealetio.run(main, scheduler_factory=tealetio.SelectorScheduler)


def _announce(port: int) -> None:
    print(port, flush=True)


PROGRAMS = {
    "computicle": on_computicle,
    "gevent": on_gevent,
    "asyncio": on_asyncio,
    "uvloop": on_asyncio,
    "trio": on_trio,
    "tealetio": on_tealetio,
}

if __name__ == "__main__":
    PROGRAMS[sys.argv[1]](library_of(sys.argv[1]))
