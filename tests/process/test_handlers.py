"""SIGTERM, and handlers of the program's own."""

import signal

import pytest

from tests.process.children import Child, ended

TERMINATED = """
def other():
    try:
        sleep(3600)
    finally:
        with shield():
            yield_()
        say("cleaned up")
"""


def test_sigterm_ends_the_run_cleanly() -> None:
    with Child(f"""
{TERMINATED}
def main():
    spawn(other)
    spawn(lambda: say("ready"))
    sleep(3600)
run(main)
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGTERM)
        assert child.end() == (143, ["cleaned up"], "")


def test_sigterm_while_the_run_is_being_left() -> None:
    with Child(f"""
{TERMINATED}
def main():
    spawn(other)
    spawn(lambda: say("ready"))
run(main)
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGTERM)
        assert child.end() == (143, ["cleaned up"], "")


def test_sigterm_outside_run_cancels_the_fibers_at_the_exit() -> None:
    with Child("""
def other():
    try:
        wait_signal("go")
    finally:
        say("cancelled")

spawn(other)
spawn(lambda: say("ready"))
try:
    sleep(3600)
finally:
    say("the program's own clean-up")
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGTERM)
        assert child.end() == (143, ["the program's own clean-up", "cancelled"], "")


def test_sigterm_ends_a_run_whose_main_fiber_catches_everything() -> None:
    with Child(f"""
{TERMINATED}
def main():
    spawn(other)
    spawn(lambda: say("ready"))
    for _ in range(3):
        try:
            sleep(3600)
        except BaseException as error:
            say(type(error).__name__)
run(main)
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGTERM)
        status, lines, errors = child.end()
        assert (status, errors) == (143, "")
        assert sorted(lines) == ["Cancelled", "Cancelled", "SystemExit", "cleaned up"]


def test_a_second_sigterm_stops_a_busy_loop() -> None:
    assert ended("""
def main():
    signal.raise_signal(signal.SIGTERM)
    say("noted")
    signal.raise_signal(signal.SIGTERM)
    say("not reached")
run(main)
""") == (143, ["noted"], "")


def test_ctrl_c_and_sigterm_together() -> None:
    assert ended("""
def main():
    spawn(both)
    try:
        sleep(3600)
    except KeyboardInterrupt:
        say("interrupted")
        sleep(0)
        say("not reached")

def both():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)

run(main)
""") == (143, ["interrupted"], "")


@pytest.mark.parametrize("inside_run", [True, False])
@pytest.mark.parametrize(
    "wait",
    [
        "say(wait_signal('usr1'))",
        "on_signal(lambda value: say(value), 'usr1').join()",
        "wait_for(lambda: got); say(got[0])",
        "say(channel.receive())",
    ],
)
def test_a_handler_that_gives_a_signal_wakes_a_parked_kernel_at_once(wait: str, inside_run: bool) -> None:
    with Child(f"""
def handler(*_):
    got.append("woken")
    signal_all("usr1", "woken")

got = []
channel = Channel(1)
on_signal(lambda: None, "unused")
signal.signal(signal.SIGUSR1, handler)

def main():
    def hand_over():
        channel.send(wait_signal("usr1"))
    spawn(hand_over)
    spawn(lambda: say("ready"))
    spawn(sleep, 3600)
    with move_on_after(3600):
        {wait}
    say("main goes on")
    {"stop()" if inside_run else "os._exit(0)"}

{"run(main)" if inside_run else "main()"}
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGUSR1)
        assert child.end() == (0, ["woken", "main goes on"], "")


def test_a_handler_that_calls_stop() -> None:
    with Child("""
def main():
    spawn(lambda: say("ready"))
    try:
        sleep(3600)
    finally:
        say("cleaned up")

signal.signal(signal.SIGTERM, lambda *_: stop())
say(run(main))
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGTERM)
        assert child.end() == (0, ["cleaned up", "None"], "")


def test_a_handler_that_raises_reaches_a_parked_main() -> None:
    with Child("""
def handler(*_):
    raise ValueError("from the handler")

def main():
    spawn(lambda: say("ready"))
    try:
        sleep(3600)
    except ValueError as error:
        say(error)
    yield_()
    say("main goes on")

signal.signal(signal.SIGUSR1, handler)
run(main)
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGUSR1)
        assert child.end() == (0, ["from the handler", "main goes on"], "")


def test_a_handler_that_waits_is_told_that_it_may_not() -> None:
    with Child("""
def handler(*_):
    try:
        sleep(1)
    except RuntimeError as error:
        say(str(error)[:46])
    signal_all("go on")

def main():
    spawn(lambda: say("ready"))
    wait_signal("go on", timeout=3600)

signal.signal(signal.SIGUSR1, handler)
run(main)
""") as child:
        child.until("ready")
        child.until_asleep()
        child.send(signal.SIGUSR1)
        status, lines, errors = child.end()
    assert (status, errors) == (0, "")
    assert "may not wait" in lines[0]


@pytest.mark.parametrize(("number", "error"), [("SIGTERM", "SystemExit"), ("SIGINT", "KeyboardInterrupt")])
def test_a_signal_while_run_begins(number: str, error: str) -> None:
    assert ended(f"""
import computicle.scheduler.hosted as module
check_room = module.check_room
def strike(*_):
    module.check_room = check_room
    signal.raise_signal(signal.{number})
module.check_room = strike
try:
    run(lambda: sleep(3600))
except BaseException as error:
    say(type(error).__name__)
""").lines == [error]
