"""How runs and programs end: stop, SystemExit, the interpreter's exit."""

import signal

import pytest

from computicle import *
from tests.process.children import Child, ended


def test_stop_in_main_cancels_its_next_wait() -> None:
    seen: list[str] = []

    def main() -> str:
        stop()
        seen.append("stop does not wait")
        try:
            sleep(0)
        finally:
            seen.append("the next wait does not return")
        return "not reached"

    assert run(main) is None
    assert seen == ["stop does not wait", "the next wait does not return"]


def test_stop_in_a_main_that_returns_without_waiting() -> None:
    def main() -> str:
        spawn(sleep, 3600)
        stop()
        return "mine"

    assert run(main) == "mine"


def test_stop_in_any_fiber() -> None:
    cleaned_up: list[int] = []

    def other(number: int) -> None:
        try:
            sleep(3600)
        finally:
            cleaned_up.append(number)

    def nest() -> None:
        with scope() as s:
            s.spawn(other, 2)

    def main() -> None:
        spawn(other, 1)
        spawn(nest)
        delay(stop, 0.001)
        sleep(3600)

    assert run(main) is None
    assert sorted(cleaned_up) == [1, 2]


def test_stop_in_a_predicate() -> None:
    def stopping() -> bool:
        stop()
        return True

    def main() -> None:
        spawn(sleep, 3600)
        spawn(wait_for, lambda: asked and stopping())
        yield_()
        asked.append(1)
        sleep(3600)

    asked: list[int] = []
    assert run(main) is None


def test_stop_in_mains_own_predicate() -> None:
    def stopping() -> bool:
        stop()
        return True

    def main() -> str:
        wait_for(stopping)
        sleep(1)
        return "not reached"

    assert run(main) is None


def test_stop_after_main_has_returned() -> None:
    def main() -> str:
        delay(stop, 0.001)
        spawn(sleep, 3600)
        return "mine"

    assert run(main) == "mine"


def test_stop_ends_a_run_of_what_was_spawned_before() -> None:
    assert ended("""
def other():
    try:
        sleep(3600)
    finally:
        say("cleaned up")
spawn(other)
delay(stop, 0)
say(run())
""") == (0, ["cleaned up", "None"], "")


def test_stop_without_a_run() -> None:
    with pytest.raises(RuntimeError, match="no run to stop"):
        stop()


@pytest.mark.parametrize("code", [0, 3, None, "a message"])
def test_system_exit_in_any_fiber_ends_the_program_with_its_code(code: object) -> None:
    status, lines, errors = ended(f"""
def other():
    try:
        sleep(3600)
    finally:
        say("cleaned up")

def main():
    spawn(other)
    yield_()
    with scope() as s:
        s.spawn(sys.exit, {code!r})
run(main)
say("not reached")
""")
    assert (status, lines) == (1 if code == "a message" else code or 0, ["cleaned up"])
    assert errors == ("a message\n" if code == "a message" else "")


def test_system_exit_in_a_fiber_that_is_joined() -> None:
    def main() -> None:
        spawn(exit_with, 3).join()

    def exit_with(code: int) -> None:
        raise SystemExit(code)

    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 3


def test_run_without_main_raises_what_nobody_waited_for() -> None:
    assert ended("""
def fail():
    raise ValueError("mine")
def other():
    try:
        sleep(3600)
    finally:
        say("cancelled")
spawn(other)
spawn(fail)
try:
    run()
except ExceptionGroup as group:
    say(group.exceptions)
""") == (0, ["cancelled", "(ValueError('mine'),)"], "")


def test_run_without_main_tells_a_deadlock() -> None:
    assert ended("""
spawn(Channel(0).receive, name="stuck")
try:
    run()
except Deadlock as error:
    say("stuck" in str(error))
""") == (0, ["True"], "")


def test_run_without_main_waits_for_what_the_fibers_spawn_later() -> None:
    assert ended("""
def first():
    with scope() as s:
        s.spawn(sleep, 0.001)
    spawn(second)
def second():
    sleep(0.001)
    say("second")
spawn(first)
spawn(lambda: None)
sleep(0)
run()
say("run has returned")
""") == (0, ["second", "run has returned"], "")


def test_at_exit_fibers_spawned_outside_run_finish() -> None:
    assert ended("""
def other():
    sleep(0.001)
    say("finished")
spawn(other)
say("the program's text has ended")
""") == (0, ["the program's text has ended", "finished"], "")


def test_at_exit_after_sys_exit_they_finish_too() -> None:
    assert ended("""
def other():
    sleep(0.001)
    say("finished")
spawn(other)
sys.exit(3)
""") == (3, ["finished"], "")


def test_at_exit_waiters_for_signals_are_called_off() -> None:
    assert ended("""
on_signal(lambda: say("never"), "never")
def other():
    try:
        wait_for(lambda: False)
    finally:
        say("called off")
spawn(other)
""") == (0, ["called off"], "")


def test_at_exit_after_an_uncaught_error_they_are_cancelled() -> None:
    status, lines, errors = ended("""
def other():
    try:
        sleep(3600)
    finally:
        say("cancelled")
spawn(other)
sleep(0)
raise ValueError("uncaught")
""")
    assert (status, lines) == (1, ["cancelled"])
    assert errors.splitlines()[-1] == "ValueError: uncaught"


def test_at_exit_what_interrupts_the_wait_decides_the_status() -> None:
    assert ended("""
import atexit
atexit.register(lambda: say("an exit handler from before a word was used"))
class Torn:
    def __del__(self):
        print("a finaliser")
torn = Torn()
def forever():
    try:
        sleep(3600)
    finally:
        say("cancelled")
spawn(forever)
spawn(sys.exit, 9)
""") == (9, ["an exit handler from before a word was used", "cancelled", "a finaliser"], "")


def test_at_exit_a_deadlock_is_told_and_fails_the_program() -> None:
    status, lines, errors = ended("spawn(Channel(0).receive, name='stuck')")
    assert (status, lines) == (1, [])
    assert "Deadlock: nothing can happen any more" in errors
    assert "stuck" in errors


@pytest.mark.parametrize("text_has_ended", [True, False])
def test_sigterm_ends_a_program_whose_fibers_never_end(text_has_ended: bool) -> None:
    with Child(f"""
def forever():
    say("beating")
    try:
        sleep(3600)
    finally:
        say("cancelled")
spawn(forever)
if not {text_has_ended}:
    sleep(3600)
""") as child:
        child.until("beating")
        child.until_asleep()
        child.send(signal.SIGTERM)
        assert child.end() == (143, ["cancelled"], "")


def test_ctrl_c_ends_the_wait_at_the_exit() -> None:
    with Child("""
def forever():
    say("beating")
    try:
        sleep(3600)
    finally:
        say("cancelled")
spawn(forever)
""") as child:
        child.until("beating")
        child.until_asleep()
        child.send(signal.SIGINT)
        assert child.end() == (130, ["cancelled"], "")


def test_at_exit_the_helper_threads_still_work() -> None:
    assert ended("""
def other():
    sleep(0.001)
    say(offload(lambda: "from a helper thread"))
offload(int)
spawn(other)
""") == (0, ["from a helper thread"], "")


def test_at_exit_the_programs_exit_handlers_may_use_words() -> None:
    assert ended("""
import atexit
def last():
    spawn(lambda: say("a fiber")).join()
    say("an exit handler")
atexit.register(last)
""") == (0, ["a fiber", "an exit handler"], "")


def test_an_unclaimed_error_outside_run_is_logged_with_its_traceback() -> None:
    status, lines, errors = ended("""
def fail():
    raise ValueError("mine")
spawn(fail)
sleep(0)
say("going on")
""")
    assert (status, lines) == (0, ["going on"])
    assert "fiber 'fail' failed, and nobody waits for it" in errors
    assert ", in fail" in errors
    assert errors.splitlines()[-1] == "ValueError: mine"


def test_a_log_handler_that_waits_hurts_nobody() -> None:
    """It may not wait where the kernel logs; what was to be logged is printed instead, and all goes on."""
    status, lines, errors = ended("""
import logging
class Waiting(logging.Handler):
    def emit(self, record):
        sleep(0.01)
logging.getLogger("computicle").addHandler(Waiting())
def fail(number):
    raise ValueError(number)
for number in range(3):
    spawn(fail, number)
spawn(sleep, 0.01)
sleep(0)
say("going on")
""")
    assert (status, lines) == (0, ["going on"])
    for number in range(3):
        assert f"ValueError: {number}" in errors
    assert "may not wait" in errors
