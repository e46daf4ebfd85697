"""Arrays: 100 MiB of numbers to another process, as a message.

Wall time from sending it until the receiver has confirmed that it has looked at the first number, or that it has added
up all of them; the middle one of 5 each, after one of each that is not counted. Before each the receiver has let go of
the last. What it takes to read memory that others have written is therefore in the second number, not in the first.

Peers: multiprocessing's Pipe, which pickles it into a stream.
"""

from collections.abc import Callable
from importlib import import_module
from statistics import median
from time import perf_counter
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]

TIMES = 5
TOUCHED, READ = "first number", "sum of all"


def on_computicle(mebibytes: int, computicle: Any) -> dict[str, float]:
    def look(maker: Any) -> None:
        while True:
            array, what = computicle.receive()
            maker.post(_looked_at(array, what))
            del array
            maker.post("ready")

    def main() -> dict[str, float]:
        world = computicle.Computicle(look, computicle.self_())
        numbers = _middle(mebibytes, world.post, computicle.receive)
        world.kill()
        return numbers

    return dict(computicle.run(main))


def on_pipe(mebibytes: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_look, args=(there,))
    process.start()
    numbers = _middle(mebibytes, here.send, here.recv)
    here.send(None)
    process.join()
    return numbers


def _look(connection: Any) -> None:
    while (message := connection.recv()) is not None:
        array, what = message
        connection.send(_looked_at(array, what))
        del array, message
        connection.send("ready")


def _looked_at(array: Any, what: str) -> float:
    return float(array[0] if what == TOUCHED else array.sum())


def _middle(mebibytes: int, send: Callable[[Any], None], receive: Callable[[], Any]) -> dict[str, float]:
    array = import_module("numpy").ones(mebibytes * 2**20 // 8)
    expected = {TOUCHED: 1.0, READ: float(len(array))}

    def once(what: str) -> float:
        start = perf_counter()
        send((array, what))
        answer = receive()
        seconds = perf_counter() - start
        assert answer == expected[what]
        assert receive() == "ready"
        return seconds

    for what in expected:
        once(what)
    return {what: median(once(what) for _ in range(TIMES)) * 1e3 for what in expected}


PIPE = "multiprocessing Pipe"
CASES = [
    Case(
        "an array of 100 MiB",
        100,
        {"computicle": on_computicle, PIPE: on_pipe},
        {TOUCHED: "ms", READ: "ms"},
        (Target(TOUCHED, 0.35, PIPE),),
        rounds=5,
        rounds_quick=2,
    )
]
