"""Messages: a small one to a computicle, and its answer.

Wall time of one, the middle one of 3,000, after 300 that are not counted. The two processes are put on a core each,
which is the promise, or both on one: then nothing is done at the same time, and no sleeping core has to be woken.

The limit is a socket pair between two forked processes, both blocking, with bytes as long as a small pickle.

Peers: multiprocessing's Pipe, and a pair of its Queues; a pair of queues between two interpreters of one process
(CPython 3.14), whose `get` looks every 10 ms; an actor of Ray, and one of Dask, both wherever they choose to run.
"""

import os
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from bench.case import Case, Target, Variant
from bench.outside import put_apart, ray_up

__all__ = ["CASES"]

TRIPS = 3_000
TRIPS_SLOW = 100  # where one takes milliseconds
MESSAGE = ("ping", 7)
BYTES = b"x" * 20
LIMIT = "socket pair"


def on_computicle(cores: int, computicle: Any) -> dict[str, float]:
    def echo() -> None:
        asker = computicle.receive()
        while True:
            asker.post(computicle.receive())

    def main() -> dict[str, float]:
        world = computicle.Computicle(echo)
        world.post(computicle.self_())
        put_apart(world.pid, cores)

        numbers = _middle(partial(_there_and_back, world.post, computicle.receive))
        world.kill()
        return numbers

    return dict(computicle.run(main))


def on_socket_pair(cores: int, socket: Any) -> dict[str, float]:
    here, there = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        here.close()
        while some := there.recv(64):
            there.sendall(some)
        os._exit(0)
    there.close()
    put_apart(pid, cores)

    def once() -> Any:
        here.sendall(BYTES)
        return here.recv(64)

    numbers = _middle(once, BYTES)
    here.close()
    os.waitpid(pid, 0)
    return numbers


def on_pipe(cores: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    return _by_process(context.Process(target=_echo, args=(there.recv, there.send)), cores, here.send, here.recv)


def on_queues(cores: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("fork")
    there, back = context.Queue(), context.Queue()
    return _by_process(context.Process(target=_echo, args=(there.get, back.put)), cores, there.put, back.get)


def on_interpreters(_cores: int, interpreters: Any) -> dict[str, float]:
    interpreter = interpreters.create()
    there, back = interpreters.create_queue(), interpreters.create_queue()
    thread = interpreter.call_in_thread(_echo_in_queue, there, back)
    numbers = _middle(partial(_there_and_back, there.put, back.get), trips=TRIPS_SLOW)
    there.put(None)
    thread.join()
    return numbers


def on_ray(_cores: int, ray: Any) -> dict[str, float]:
    with ray_up(ray):
        actor = ray.remote(Echo).remote()
        return _middle(lambda: ray.get(actor.echo.remote(MESSAGE)))


def on_dask(_cores: int, distributed: Any) -> dict[str, float]:
    with distributed.Client(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as client:
        actor = client.submit(Echo, actor=True).result()
        return _middle(lambda: actor.echo(MESSAGE).result())


class Echo:
    """An actor."""

    def echo(self, message: Any) -> Any:
        """Give it back."""
        return message


def _by_process(process: Any, cores: int, send: Callable[[Any], Any], receive: Callable[[], Any]) -> dict[str, float]:
    process.start()
    put_apart(process.pid, cores)
    numbers = _middle(partial(_there_and_back, send, receive))
    send(None)
    process.join()
    return numbers


def _there_and_back(send: Callable[[Any], Any], receive: Callable[[], Any]) -> Any:
    send(MESSAGE)
    return receive()


def _echo(receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    while (message := receive()) is not None:
        send(message)


def _echo_in_queue(there: Any, back: Any) -> None:
    _echo(there.get, back.put)


def _middle(once: Callable[[], Any], expected: Any = MESSAGE, trips: int = TRIPS) -> dict[str, float]:
    for _ in range(trips // 10):
        assert once() == expected
    return {"round trip": median(_timed(once) for _ in range(trips)) * 1e6}


def _timed(once: Callable[[], Any]) -> float:
    start = perf_counter()
    once()
    return perf_counter() - start


PINNED: dict[str, Variant] = {
    "computicle": on_computicle,
    LIMIT: on_socket_pair,
    "multiprocessing Pipe": on_pipe,
    "multiprocessing Queues": on_queues,
}
CHOOSING: dict[str, Variant] = {  # their cores themselves
    "concurrent.interpreters queues": on_interpreters,
    "ray actor": on_ray,
    "distributed actor": on_dask,
}
UNITS = {"round trip": "us"}
CASES = [
    Case("there and back, two cores", 2, PINNED | CHOOSING, UNITS, (Target("round trip", 2.0, LIMIT),)),
    Case("there and back, one core", 1, PINNED, UNITS),
]
