"""Many fibers, deep stacks, and what is left of them."""

import gc
import sys

import pytest

from computicle import *
from tests.process.children import ended


def test_deep_recursion_in_a_fiber_is_an_error_like_any() -> None:
    def deep(level: int) -> int:
        return 0 if level == 0 else 1 + deep(level - 1)

    def main() -> None:
        with pytest.raises(RecursionError):
            spawn(deep, sys.getrecursionlimit() * 2).join()
        assert spawn(deep, sys.getrecursionlimit() // 2).join() == sys.getrecursionlimit() // 2

    run(main)


def test_switching_deep_down() -> None:
    def deep(level: int) -> int:
        if level == 0:
            yield_()
            sleep(0)
            return 0
        return 1 + deep(level - 1)

    assert run(lambda: gather(*[lambda: deep(300)] * 20)) == [300] * 20


def test_a_hundred_thousand_fibers_parked_and_cancelled() -> None:
    count = 100_000
    ends = 0

    def wait() -> None:
        nonlocal ends
        try:
            sleep(3600)
        finally:
            ends += 1

    def main() -> None:
        with scope() as s:
            for _ in range(count):
                s.spawn(wait)
            yield_()
            s.cancel()

    run(main)
    assert ends == count


def test_a_chain_of_fibers_each_spawned_by_the_one_before() -> None:
    # Each needs a carrier of its own. Were those made on top of each other, the stack would not last.
    length = 20_000
    deepest = 0

    def link(number: int) -> None:
        nonlocal deepest
        deepest = number
        if number < length:
            spawn(link, number + 1)
        wait_signal("end")

    def main() -> None:
        spawn(link, 1)
        wait_for(lambda: deepest == length)
        assert signal_all("end") == length

    run(main)
    assert deepest == length


CYCLES = """
import gc

def value():
    return 42

def waits(channel):
    with move_on_after(1):
        channel.send(1)
    return wait_signal("go", timeout=1)

def fails():
    raise ValueError("mine")

def spawn_and_join(fn, *args):
    spawn(fn, *args).join()

def joins_a_failure():
    try:
        spawn(fails).join()
    except ValueError as error:
        del error

def scopes():
    with scope() as s:
        s.spawn(value)
    with fail_after(1), shield():
        yield_()

def cancels():
    fiber = spawn(sleep, 3600)
    yield_()
    fiber.cancel()
    yield_()

def signals():
    channel = Channel(0)
    fiber = spawn(waits, channel)
    channel.receive()
    yield_()
    signal_all("go")
    fiber.join()

def predicates():
    done = []
    fiber = spawn(wait_for, lambda: done)
    yield_()
    done.append(1)
    fiber.join()

def crowds():
    gather(value, value)
    race(value, lambda: sleep(3600))
    select(spawn(value))

def streams():
    with listen(0) as listener, connect("127.0.0.1", listener.port) as stream, listener.accept() as other:
        other.sendall(b"x")
        stream.recv(1)

def main():
    for turn in range(2):
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        for _ in range(TIMES):
            BODY
        yield_()
        gc.collect()
        gc.set_debug(0)
        if turn:  # the first time things are made that stay
            say(sorted({type(found).__name__ for found in gc.garbage}))
        gc.garbage.clear()

run(main)
"""


@pytest.mark.parametrize(
    "body",
    [
        "spawn_and_join(value)",
        "scopes()",
        "cancels()",
        "signals()",
        "predicates()",
        "crowds()",
        "streams()",
        "offload(value)",
        "joins_a_failure()",
    ],
)
def test_nothing_is_left_for_the_collector(body: str) -> None:
    times = 1000 if body == "spawn_and_join(value)" else 100
    assert ended(CYCLES.replace("TIMES", str(times)).replace("BODY", body)) == (0, ["[]"], "")
