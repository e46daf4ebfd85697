"""Ctrl-C: it always gets through, it breaks nothing, and fibers clean up."""

import signal
import socket
import threading

import pytest

from computicle import *
from tests.process.children import Child, ended

PARKED = {
    "sleep": "sleep(3600)",
    "sleep for ever": "sleep(float('inf'))",
    "wait_signal": "wait_signal('never', timeout=3600)",
    "wait_for": "wait_for(lambda: False, timeout=3600)",
    "join": "spawn(sleep, 3600).join()",
    "receive": "Channel(0).receive(timeout=3600)",
    "recv": "listener = listen(0); stream = connect('127.0.0.1', listener.port); stream.recv(1)",
    "accept": "listen(0).accept()",
    "serve": "serve(lambda stream: None, 0)",
    "offload": "reader, writer = os.pipe(); offload(os.read, reader, 1)",
    "leaving a scope": "with scope() as s: s.spawn(sleep, 3600)",
    "gather": "gather(lambda: sleep(3600))",
    "leaving the run": "spawn(sleep, 3600)",
}


@pytest.mark.parametrize("wait", PARKED)
def test_a_parked_main_is_interrupted_at_once(wait: str) -> None:
    with Child(f"""
def other():
    try:
        say("parked")
        sleep(3600)
    finally:
        with shield():
            yield_()
            say("cleaned up")

def main():
    spawn(other)
    {PARKED[wait]}

try:
    run(main)
except KeyboardInterrupt:
    say("interrupted")
""") as child:
        child.until("parked")
        child.until_asleep()
        child.send(signal.SIGINT)
        assert child.end() == (0, ["cleaned up", "interrupted"], "")


def test_a_run_of_what_was_spawned_before_is_interrupted_at_once() -> None:
    with Child("""
def other():
    try:
        say("parked")
        sleep(3600)
    finally:
        say("cleaned up")

spawn(other)
try:
    run()
except KeyboardInterrupt:
    say("interrupted")
""") as child:
        child.until("parked")
        child.until_asleep()
        child.send(signal.SIGINT)
        assert child.end() == (0, ["cleaned up", "interrupted"], "")


@pytest.mark.parametrize("parked", ["sleep(3600)", "wait_signal('never', timeout=3600)"])
def test_outside_run_a_parked_flow_is_interrupted_at_once(parked: str) -> None:
    with Child(f"""
spawn(lambda: say("parked"))
try:
    {parked}
except KeyboardInterrupt:
    say("interrupted")
""") as child:
        child.until("parked")
        child.until_asleep()
        child.send(signal.SIGINT)
        assert child.end() == (0, ["interrupted"], "")


def test_uncaught_it_ends_the_program_as_it_ends_any() -> None:
    with Child("""
def main():
    spawn(lambda: say("parked"))
    sleep(3600)
run(main)
""") as child:
        child.until("parked")
        child.send(signal.SIGINT)
        status, _lines, errors = child.end()
    assert status == -signal.SIGINT
    assert errors.splitlines()[-1] == "KeyboardInterrupt"


# In the tests below the signal comes from inside, so that its moment is exact.


def strike() -> None:
    signal.raise_signal(signal.SIGINT)


def test_in_a_busy_main_the_first_is_noted_and_the_second_raises() -> None:
    struck = 0

    def main() -> None:
        nonlocal struck
        while struck < 100:
            struck += 1
            strike()

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert struck == 2


def test_in_another_busy_fiber_the_second_raises_there_and_main_is_told() -> None:
    seen: list[str] = []

    def busy() -> None:
        try:
            strike()
            seen.append("noted")
            strike()
            seen.append("not reached")
        except KeyboardInterrupt:
            seen.append("raised")
            raise

    def main() -> None:
        spawn(busy)
        try:
            sleep(3600)
        except KeyboardInterrupt:
            seen.append("main")
            sleep(0)  # once is enough: nothing more is to come
            seen.append("main goes on")
            raise

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert seen == ["noted", "raised", "main", "main goes on"]


def test_a_fiber_that_swallows_it_does_not_keep_it_from_main() -> None:
    def greedy() -> None:
        for _ in range(10):
            try:
                strike()
            except KeyboardInterrupt:
                pass

    def main() -> None:
        spawn(greedy)
        sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        run(main)


def test_main_may_catch_it_and_go_on_and_be_interrupted_again() -> None:
    caught = 0

    def main() -> None:
        nonlocal caught
        spawn(lambda: yield_forever())
        for _ in range(5):
            try:
                strike()  # noted each time: the one before has got through, though the kernel was never idle
                yield_()
                yield_()
            except KeyboardInterrupt:
                caught += 1
        stop()

    def yield_forever() -> None:
        while True:
            yield_()

    run(main)
    assert caught == 5


def test_it_is_not_lost_if_main_returns_without_waiting() -> None:
    with pytest.raises(KeyboardInterrupt):
        run(strike)


def test_it_is_not_lost_if_main_has_just_waited_for_the_last_time() -> None:
    def main() -> None:
        spawn(strike)
        yield_()
        yield_()

    with pytest.raises(KeyboardInterrupt):
        run(main)


def test_it_is_not_lost_if_main_raises() -> None:
    def main() -> None:
        strike()
        raise ValueError("mine")

    with pytest.raises(KeyboardInterrupt) as caught:
        run(main)
    assert isinstance(caught.value.__context__, ValueError)


def test_it_reaches_a_main_that_is_shielded() -> None:
    def main() -> None:
        spawn(strike)
        with shield():
            sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        run(main)


@pytest.mark.parametrize("inside_run", [True, False])
def test_a_loop_of_words_that_never_wait_can_be_stopped(inside_run: bool) -> None:
    # Most of its time passes inside the library, where nothing may raise.
    with Child(f"""
def main():
    noted = current().kernel.interrupts._interrupts[signal.SIGINT]
    say("busy")
    while not noted.noted:
        signal_all("x")
    say("noted")
    while True:
        signal_all("x")

try:
    {"run(main)" if inside_run else "main()"}
except KeyboardInterrupt:
    say("interrupted")
""") as child:
        child.until("busy")
        child.send(signal.SIGINT)
        if inside_run:
            child.until("noted")
            child.send(signal.SIGINT)
        ended = child.end()
        assert (ended.status, ended.lines[-1], ended.errors) == (0, "interrupted", "")


def test_in_a_predicate_it_reaches_the_waiter() -> None:
    def predicate() -> bool:
        strike()
        return False

    asked = 0

    def asking() -> bool:
        nonlocal asked
        asked += 1
        if asked > 1:  # by the kernel, on its own stack
            strike()
            strike()
        return False

    def main() -> None:
        with pytest.raises(KeyboardInterrupt):
            wait_for(asking, every=0.001)
        raise KeyError

    with pytest.raises((KeyError, KeyboardInterrupt)):
        run(main)
    assert asked == 2


def test_in_a_predicate_of_another_fiber_it_ends_the_run() -> None:
    asked = 0

    def asking() -> bool:
        nonlocal asked
        asked += 1
        if asked > 1:
            strike()
            strike()
        return False

    def main() -> None:
        spawn(wait_for, asking)
        sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert asked == 2


def test_in_a_finally_block() -> None:
    seen: list[str] = []

    def stubborn() -> None:
        try:
            sleep(3600)
        finally:
            try:
                strike()  # the run is ending already: raised on the spot
                seen.append("not reached")
            finally:
                with shield():
                    yield_()
                seen.append("cleaned up")

    def main() -> None:
        spawn(stubborn)
        yield_()
        stop()

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert seen == ["cleaned up"]


def test_in_a_handler_of_serve() -> None:
    seen: list[str] = []

    def handler(stream: Stream) -> None:
        try:
            strike()
            strike()
        finally:
            seen.append("handler")

    def main() -> None:
        listener = listen(0)
        spawn(serve, handler, listener)
        connect("127.0.0.1", listener.port).recv(1)
        sleep(3600)

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert seen == ["handler"]


def test_it_never_strikes_inside_the_library() -> None:
    # A hash is computed in the middle of a word: the program's code, but called by ours.
    seen: list[str] = []

    class Name:
        def __hash__(self) -> int:
            strike()
            strike()
            seen.append("hashed")
            return 1

    def main() -> None:
        wait_signal(Name())

    with pytest.raises(KeyboardInterrupt):
        run(main)
    assert seen[0] == "hashed"


def test_a_second_one_ends_the_grace_of_serve() -> None:
    with Child("""
def handler(stream):
    try:
        say("handling")
        stream.recv(1)
        sleep(3600)
    finally:
        say("handler ended")

def main():
    listener = listen(0)
    spawn(client, listener.port)
    when(lambda: listener.closed, lambda: say("draining"))
    serve(handler, listener, grace=3600)

def client(port):
    with connect("127.0.0.1", port) as stream:
        stream.recv(1)

try:
    run(main)
except KeyboardInterrupt:
    say("interrupted")
""") as child:
        child.until("handling")
        child.until_asleep()
        child.send(signal.SIGINT)
        child.until("draining")
        child.until_asleep()
        child.send(signal.SIGINT)
        child.until("handler ended")
        assert child.end() == (0, ["interrupted"], "")


STORM = """
import random

left = 0

def strike(*_):
    global left
    if left:
        left -= 1
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGALRM, strike)

def work(depth):
    try:
        if depth:
            for _ in range(3):
                spawn(work, depth - 1)
        with move_on_after(0.002):  # those who were to receive may be gone
            channel.send(depth)
            wait_signal("x")
        yield_()
        with move_on_after(0.001):
            channel.receive()
        signal_all("x")
        wait_for(lambda: sum(range(50)) and chance.random() < 0.3)
    finally:
        with shield():
            yield_()

def storm():
    global channel, left
    channel = Channel(10)
    left = chance.randrange(1, 8)
    signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.0001, 0.003), 0.0003)
    while True:
        with scope() as s:
            s.spawn(work, 3)
            work(2)
            s.cancel()

chance = random.Random(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
interrupted = 0
for _ in range(60):
    try:
        try:
            run(storm)
        finally:
            left = 0
    except KeyboardInterrupt:
        interrupted += 1
signal.setitimer(signal.ITIMER_REAL, 0)
say(interrupted)
"""


def test_a_storm_of_them_under_load_ends_every_run_with_keyboard_interrupt() -> None:
    assert ended(STORM) == (0, ["60"], "")


def installed() -> tuple[object, ...]:
    descriptor = signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(descriptor)
    return signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM), descriptor


def test_the_handlers_are_put_back() -> None:
    before = installed()
    during = run(installed)
    assert during is not None
    assert all(mine is not theirs for mine, theirs in zip(during, before, strict=True))
    assert installed() == before


def test_handlers_of_the_program_are_left_alone() -> None:
    def mine(*_: object) -> None:
        pass

    before = signal.signal(signal.SIGINT, mine)
    try:
        assert run(lambda: signal.getsignal(signal.SIGINT)) is mine
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_handler_installed_meanwhile_stays() -> None:
    def mine(*_: object) -> None:
        pass

    before = signal.getsignal(signal.SIGINT)
    try:
        run(lambda: signal.signal(signal.SIGINT, mine))
        assert signal.getsignal(signal.SIGINT) is mine
    finally:
        signal.signal(signal.SIGINT, before)


def test_somebody_elses_wakeup_descriptor_stays() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        run(lambda: signal.set_wakeup_fd(ours.fileno(), warn_on_full_buffer=False))
        assert signal.set_wakeup_fd(-1) == ours.fileno()


def test_in_another_thread_nothing_is_installed() -> None:
    found: list[object] = []

    def main() -> None:
        found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run, args=(main,))
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


def test_a_simulation_can_be_interrupted_even_beside_another_kernel() -> None:
    assert ended("""
from computicle.testing import simulate
spawn(lambda: None)  # gives the thread a kernel

def busy():
    signal.raise_signal(signal.SIGINT)
    say("noted")
    signal.raise_signal(signal.SIGINT)
    say("not reached")

def main():
    spawn(busy)
    sleep(3600)

try:
    simulate(main)
except KeyboardInterrupt:
    say("interrupted")
""") == (0, ["noted", "interrupted"], "")


def test_outside_run_it_is_plain_python() -> None:
    assert ended("""
spawn(lambda: say("spawned before"))  # gives the thread a kernel
try:
    signal.raise_signal(signal.SIGINT)
    say("not reached")
except KeyboardInterrupt:
    say("at once")
sleep(0)
sleep(0)
say("nothing more to come")
""") == (0, ["at once", "spawned before", "nothing more to come"], "")
