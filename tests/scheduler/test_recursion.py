"""A recursion of the program's that ends in the middle of a word: at each depth, the word is done or has not begun."""

import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate

ROOM = 150  # frames between the scene and the limit; the words need some forty
OTHERS = 3


def in_a_scope() -> None:
    with scope() as s:
        s.spawn(int)


def in_a_scope_that_fails() -> None:
    with contextlib.suppress(KeyError), scope() as s:
        s.spawn(sleep, 3600)
        yield_()
        raise KeyError


def within(region: Any) -> None:
    with region:
        yield_()


def send(channel: Channel[int], value: int) -> None:
    with move_on_after(1):  # the receiver may have been cut short
        channel.send(value)


def through_a_channel() -> None:
    channel = Channel[int](0)
    spawn(send, channel, 1)
    assert channel.receive(timeout=1) == 1


def through_a_full_channel() -> None:
    channel = Channel[int](1)
    channel.send(1)
    spawn(send, channel, 2)
    yield_()
    assert [channel.receive(), channel.receive()] == [1, 2]


def locked(lock: Lock) -> None:
    with lock:
        yield_()


def on_a_signal() -> None:
    delay(lambda: signal_all("s"), 0.01)
    wait_signal("s", timeout=1)


def on_both_sides_of_a_signal() -> None:
    for every in (False, True):
        fiber = on_signal(int, "s", every=every)
        assert signal_one("s") and signal_all("s") == every
        yield_()
        fiber.cancel()


def until_true() -> None:
    seen: list[int] = []
    spawn(seen.append, 1)
    wait_for(lambda: seen, timeout=1, every=0.5)


def on_predicates() -> None:
    for word in (when, whenever):
        word(lambda: True, int, every=0.5).cancel()


def on_a_beat() -> None:
    periodic(int, 0.5).cancel()


def over_a_connection() -> None:
    with listen(0) as listener, connect("127.0.0.1", listener.port) as near, listener.accept() as far:
        near.sendall(b"line\n")
        assert far.readline() == b"line\n"


WORDS: dict[str, Callable[[], Any]] = {
    "yield_": yield_,
    "sleep(0)": lambda: sleep(0),
    "sleep": lambda: sleep(0.01),
    "spawn and join": lambda: spawn(int).join(),
    "join with a timeout": lambda: spawn(sleep, 0.01).join(timeout=1),
    "scope": in_a_scope,
    "scope that fails": in_a_scope_that_fails,
    "fail_after": lambda: within(fail_after(1)),
    "move_on_after": lambda: within(move_on_after(1)),
    "shield": lambda: within(shield()),
    "channel": through_a_channel,
    "full channel": through_a_full_channel,
    "lock": lambda: locked(Lock()),
    "signal": on_a_signal,
    "on_signal": on_both_sides_of_a_signal,
    "wait_for": until_true,
    "when": on_predicates,
    "periodic": on_a_beat,
    "race": lambda: race(int, int),
    "gather": lambda: gather(int, int),
    "select": lambda: select(spawn(int), Channel[int](1), timeout=1),
    "offload": lambda: offload(int),
    "network": over_a_connection,
}


@pytest.fixture
def _little_room() -> Iterator[None]:
    before = sys.getrecursionlimit()
    frame, depth = sys._getframe(), 0
    while frame.f_back is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + ROOM)
    yield
    sys.setrecursionlimit(before)


def deep(depth: int, word: Callable[[], Any]) -> None:
    if depth:
        deep(depth - 1, word)
    else:
        word()


def scene(word: Callable[[], Any], depth: int) -> bool:
    """True: the word was cut short. Others go on around it, whose turns and timers must not suffer."""
    done: list[int] = []

    def other(number: int) -> None:
        sleep(0.001)
        yield_()
        done.append(number)

    def main() -> bool:
        cut_short = False
        for _ in range(40):
            yield_()  # from here on the kernel lets many run before it looks around
        with scope() as s:
            for number in range(OTHERS):
                s.spawn(other, number)
            try:
                deep(depth, word)
            except RecursionError:
                cut_short = True
            assert s.open and current().region is s and current().why is None
        me, kernel = current(), current().kernel
        assert sorted(done) == [*range(OTHERS)]
        assert fibers() == [me]
        assert not kernel.ready
        for part in (kernel.timers, kernel.signals, kernel.predicates):
            part.check()
        return cut_short

    return simulate(main) is True


@pytest.mark.usefixtures("_little_room")
@pytest.mark.parametrize("word", WORDS)
def test_a_word_without_room_has_not_begun(word: str) -> None:
    cut_short = [scene(WORDS[word], depth) for depth in range(40, ROOM)]
    assert False in cut_short
    assert True in cut_short


class Nest:
    """Recursions through scopes, which nothing ends but the lack of room."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.begun = 0
        self.ended = 0

    def worker(self) -> None:
        self.begun += 1
        try:
            sleep(3600)
        finally:
            self.ended += 1

    def without_fibers(self) -> None:
        with scope() as s:
            self.scopes.append(s)
            self.without_fibers()

    def with_fibers(self) -> None:
        with scope() as s:
            self.scopes.append(s)
            s.spawn(self.worker)
            yield_()
            self.with_fibers()

    def with_fibers_that_have_not_begun(self) -> None:
        with scope() as s:
            self.scopes.append(s)
            s.spawn(self.worker)
            self.with_fibers_that_have_not_begun()

    def with_deadlines(self) -> None:
        with move_on_after(3600), scope() as s, shield():
            self.scopes.append(s)
            s.spawn(self.worker)
            yield_()
            self.with_deadlines()


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in it that are no groups."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


@pytest.mark.usefixtures("_little_room")
@pytest.mark.parametrize(
    "recurse", [Nest.without_fibers, Nest.with_fibers, Nest.with_fibers_that_have_not_begun, Nest.with_deadlines]
)
def test_a_recursion_through_scopes_leaves_them_all(recurse: Callable[[Nest], None]) -> None:
    """Wherever in a scope's entering, body or leaving there is no more room."""

    def main(depth: int) -> None:
        nest = Nest()
        region = current().region
        with pytest.raises((RecursionError, ExceptionGroup)) as caught:
            deep(depth, lambda: recurse(nest))
        assert {type(error) for error in leaves(caught.value)} == {RecursionError}
        assert nest.scopes
        assert not any(s.open or s.fibers for s in nest.scopes)
        assert nest.begun == nest.ended
        me, kernel = current(), current().kernel
        assert fibers() == [me]
        assert me.region is region and me.why is None
        assert not kernel.ready
        assert kernel.timers.next_deadline() is None

    for depth in range(40):
        simulate(main, depth)
