"""Everything there is to wait for, each with what makes it come true: for the tests of wakes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from computicle import *
from tests.contract.helpers import turns


@dataclass
class Case:
    """Something to wait for.

    Attributes:
        wait: the word; what it returns is `value`.
        wake: makes it true. The fiber is ready then, and has not yet run.
        taken: whether the word has done its work, seen from outside.
    """

    wait: Callable[..., Any]
    wake: Callable[[], Any]
    taken: Callable[[], bool]
    value: Any = None


def pass_time() -> None:
    """Let time pass and timers fire, without anybody running."""
    kernel = current().kernel
    kernel.engine.time += 10  # type: ignore[attr-defined]
    kernel._collect(0.0)


def signal() -> Case:
    given: list[bool] = []
    return Case(
        lambda **timeout: wait_signal("s", **timeout),
        lambda: given.append(signal_one("s", "value")),
        lambda: given == [True],
        "value",
    )


def signal_to_all() -> Case:
    given: list[int] = []
    return Case(
        lambda **timeout: wait_signal("s", **timeout),
        lambda: given.append(signal_all("s", "value")),
        lambda: given == [1],
        "value",
    )


def receive_channel() -> Case:
    channel = Channel[str](1)
    return Case(channel.receive, lambda: channel.send("value"), lambda: len(channel) == 0, "value")


def send() -> Case:
    channel = Channel[str](1)
    channel.send("first")
    return Case(
        lambda **timeout: channel.send("second", **timeout),
        channel.receive,
        lambda: len(channel) == 1 and channel.receive() == "second",
    )


def hand_over() -> Case:
    channel = Channel[str](0)
    received: list[str] = []

    def wake() -> None:
        try:
            received.append(channel.receive(timeout=0))
        except TimeoutError:
            pass

    return Case(lambda **timeout: channel.send("value", **timeout), wake, lambda: received == ["value"])


def lock() -> Case:
    guard = Lock()
    guard.acquire()
    return Case(guard.acquire, guard.release, lambda: guard.locked)


def semaphore() -> Case:
    guard = Semaphore(1)
    guard.acquire()

    def taken() -> bool:
        try:
            guard.acquire(timeout=0)
        except TimeoutError:
            return True
        return False

    return Case(guard.acquire, guard.release, taken)


def join() -> Case:
    target = spawn(wait_signal, "t")
    yield_()

    def wake() -> None:
        signal_one("t", "value")
        yield_()  # it runs and ends; who joins it comes after us

    return Case(target.join, wake, lambda: True, "value")


def select_channel() -> Case:
    channel, other = Channel[str](1), Channel[str](1)
    return Case(
        lambda **timeout: select(other, channel, **timeout)[1],
        lambda: channel.send("value"),
        lambda: len(channel) == 0 and not other._receivers.fibers,
        "value",
    )


def select_fiber() -> Case:
    case, channel = join(), Channel[str](1)
    target = next(fiber for fiber in fibers() if fiber.waits_for == "signal 't'")
    case.wait = lambda **timeout: select(channel, target, **timeout)[1]
    return case


def truth() -> Case:
    items: list[str] = []
    kernel = current().kernel

    def wake() -> None:
        items.append("value")
        kernel.predicates.sweep(kernel.hub)
        kernel.hub.fiber = kernel.nobody

    return Case(lambda **timeout: wait_for(lambda: items and items[0], **timeout), wake, lambda: True, "value")


def time() -> Case:
    return Case(lambda: sleep(5), pass_time, lambda: True)


def call() -> Case:
    return Case(lambda: offload(lambda: "value"), pass_time, lambda: True, "value")


CASES = [
    signal,
    signal_to_all,
    receive_channel,
    send,
    hand_over,
    lock,
    semaphore,
    join,
    select_channel,
    select_fiber,
    truth,
]
UNTIMED = [time, call]


def waiting(case: Case, log: list[Any], **timeout: float) -> Fiber:
    """A fiber that waits for it, and then once more."""

    def body() -> None:
        try:
            log.append(case.wait(**timeout))
        except TimeoutError:
            log.append("timeout")
        sleep(1)
        log.append("unreached")

    fiber = spawn(body)
    turns(3)
    assert fiber.waits_for is not None
    return fiber
