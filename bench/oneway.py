"""One way: small messages to a computicle that does nothing but count them.

51,200 of them; wall time from the first until it has said that it has the last, for each message. 3,200 go before,
which are not counted. The two processes are put on a core each. A turn is what a fiber does until it lets the others
run: one post, or 32 of them, or one `post_many` of 32.

Peers: multiprocessing's Queue, its `put` called for each message, which has a thread of its own to send them, and no
bound; a list of 32 put into it at once; its Pipe; and a queue between two interpreters (CPython 3.14).
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

from bench.case import Case, Target
from bench.outside import put_apart

__all__ = ["CASES"]

COUNT = 51_200
WARM = 3_200
MESSAGES = [("job", number) for number in range(32)]  # no two are one object: a pickle would have that only once


def on_computicle(way: str, batch: int, computicle: Any) -> dict[str, float]:
    def count_them(maker: Any) -> None:
        for count in (WARM, COUNT):
            for _ in range(count):
                computicle.receive()
            maker.post("done")

    def send(world: Any, count: int) -> None:
        together = MESSAGES[:batch]
        for _ in range(count // batch):
            if way == "post_many":
                world.post_many(together)
            else:
                for message in together:
                    world.post(message)
            computicle.yield_()

    def main() -> dict[str, float]:
        world = computicle.Computicle(count_them, computicle.self_())
        put_apart(world.pid)
        return _each(partial(send, world), computicle.receive)

    return dict(computicle.run(main))


def on_queue(_batch: int, multiprocessing: Any) -> dict[str, float]:
    return _through_queues(multiprocessing, 1)


def on_queue_of_lists(batch: int, multiprocessing: Any) -> dict[str, float]:
    return _through_queues(multiprocessing, batch)


def on_pipe(_batch: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()

    def send(count: int) -> None:
        for _ in range(count):
            here.send(MESSAGES[0])

    process = context.Process(target=_count_them, args=(there.recv, there.send))
    process.start()
    put_apart(process.pid)
    numbers = _each(send, here.recv)
    process.join()
    return numbers


def on_interpreters(_batch: int, interpreters: Any) -> dict[str, float]:
    there, back = interpreters.create_queue(), interpreters.create_queue()
    thread = interpreters.create().call_in_thread(_count_in_queue, there, back)

    def send(count: int) -> None:
        for _ in range(count):
            there.put(MESSAGES[0])

    numbers = _each(send, back.get)
    thread.join()
    return numbers


def _through_queues(multiprocessing: Any, size: int) -> dict[str, float]:
    context = multiprocessing.get_context("fork")
    there, back = context.Queue(), context.Queue()
    what = MESSAGES[0] if size == 1 else MESSAGES[:size]

    def send(count: int) -> None:
        for _ in range(count // size):
            there.put(what)

    process = context.Process(target=_count_in_queue, args=(there, back, size))
    process.start()
    put_apart(process.pid)
    numbers = _each(send, back.get)
    process.join()
    return numbers


def _count_in_queue(there: Any, back: Any, size: int = 1) -> None:
    _count_them(there.get, back.put, size)


def _count_them(receive: Callable[[], Any], answer: Callable[[str], Any], size: int = 1) -> None:
    for count in (WARM, COUNT):
        for _ in range(count // size):
            receive()
        answer("done")


def _each(send: Callable[[int], None], confirmed: Callable[[], Any]) -> dict[str, float]:
    send(WARM)
    confirmed()
    start = perf_counter()
    send(COUNT)
    confirmed()
    return {"each": (perf_counter() - start) / COUNT * 1e6}


UNITS = {"each": "us"}
QUEUE = "multiprocessing Queue"
CASES = [
    Case(
        "one way, one message a turn",
        1,
        {
            "computicle": partial(on_computicle, "post"),
            QUEUE: on_queue,
            "multiprocessing Pipe": on_pipe,
            "concurrent.interpreters queue": on_interpreters,
        },
        UNITS,
        (Target("each", 1 / 1.6, QUEUE),),
    ),
    Case(
        "one way, post_many of 32 a turn",
        32,
        {
            "computicle": partial(on_computicle, "post_many"),
            "computicle 32 posts": partial(on_computicle, "post"),
            QUEUE: on_queue,
            "multiprocessing Queue of lists": on_queue_of_lists,
        },
        UNITS,
        (Target("each", 1 / 5, QUEUE),),
    ),
]
