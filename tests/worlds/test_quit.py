"""Quitting: what was accepted is handled first, and nothing takes for ever."""

from typing import Any

import pytest

from computicle import *
from tests.worlds.helpers import linger, parked_sender


def one_at_a_time(to: Computicle) -> Computicle:
    def on_message(message: Any) -> None:
        yield_()
        to.post(message)

    return Computicle(on_message=on_message, grace=3600)


def in_a_loop(to: Computicle) -> Computicle:
    def loop() -> None:
        while True:
            message = receive()
            sleep(0.0001)
            to.post(message)

    return Computicle(loop, grace=3600)


def several_at_once(to: Computicle) -> Computicle:
    def work() -> None:
        while True:
            message = receive()
            for _ in range(message % 7):
                yield_()
            to.post(message)

    def workers() -> None:
        for _ in range(5):
            spawn(work)

    return Computicle(workers, grace=3600)


def drained(count: int) -> list[Any]:
    return [receive(timeout=10) for _ in range(count)]


@pytest.mark.parametrize("count", [0, 1, 100])
@pytest.mark.parametrize("handling", [one_at_a_time, in_a_loop, several_at_once])
def test_what_was_accepted_is_handled_first(handling: Any, count: int) -> None:
    """Within no time: half of the grace would go by if it were not seen that all is done."""

    def main() -> None:
        computicle = handling(self_())
        computicle.post_many(range(count // 2))
        for number in range(count // 2, count):
            computicle.post(number)
        computicle.quit()
        computicle.wait()
        handled = drained(count)
        assert (sorted(handled) if handling is several_at_once else handled) == [*range(count)]

    run(main)


def test_calls_that_were_accepted_are_answered_first() -> None:
    def main() -> None:
        computicle = Computicle()
        callers = [spawn(computicle.call, sleep, 0.01) for _ in range(10)]
        assert computicle.call(abs, -1) == 1
        computicle.quit()
        assert [caller.join() for caller in callers] == [None] * 10
        computicle.wait()

    run(main)


def test_without_drain_nothing_more_is_handled() -> None:
    def on_message(message: Any) -> None:
        if message == "first":
            asker.post("busy")  # type: ignore[name-defined]
            sleep(3600)
        asker.post("not skipped")  # type: ignore[name-defined]

    def main() -> None:
        me = self_()
        computicle = Computicle(on_message=on_message, globals={"asker": me})
        computicle.post("first")
        assert receive() == "busy"
        computicle.post("second")
        computicle.quit(drain=False)
        computicle.wait()
        with pytest.raises(TimeoutError):
            receive(timeout=0)

    run(main)


def test_a_quit_without_drain_overtakes_one_with() -> None:
    def main() -> None:
        computicle = Computicle(on_message=lambda message: sleep(3600))
        computicle.post(1)
        assert computicle.exec("1").result() == 1
        computicle.quit()
        computicle.quit(drain=False)
        computicle.wait()

    run(main)


def test_new_posts_are_refused() -> None:
    def main() -> None:
        computicle = Computicle(on_message=print)
        computicle.quit()
        for word in (computicle.post, lambda it: computicle.post_many([it]), computicle.exec, computicle.call):
            with pytest.raises(ComputicleDied):
                word("1")
        computicle.wait()
        with pytest.raises(ComputicleDied):
            computicle.post(1)

    run(main)


def test_others_are_refused_too() -> None:
    def post_until_refused(to: Computicle) -> str:
        try:
            while True:
                to.post(1)
                yield_()
        except ComputicleDied as died:
            return died.how

    def main() -> None:
        computicle = Computicle(on_message=lambda message: None)
        poster = Computicle(post_until_refused, computicle)
        assert computicle.exec("1").result() == 1
        computicle.quit()
        computicle.wait()
        assert isinstance(poster.wait(), str)

    run(main)


def test_a_sender_parked_at_a_full_mailbox_is_told() -> None:
    def main() -> None:
        computicle = Computicle()
        sender = parked_sender(computicle, 5000)
        computicle.quit(drain=False)
        with pytest.raises(ComputicleDied):
            sender.join()
        computicle.wait()

    run(main)


def test_a_full_mailbox_can_still_be_told_to_quit_and_is_drained() -> None:
    def main() -> None:
        me = self_()
        computicle = Computicle(
            "from computicle import *\nwait_signal('go')\ndef on_message(message): to.post(message)", to=me
        )
        posted = 0
        with move_on_after(0.05):
            while True:
                computicle.post(posted)
                posted += 1
        computicle.exec("signal_all('go')").result()
        computicle.quit()
        assert drained(posted) == [*range(posted)]
        computicle.wait()

    run(main)


def test_finally_blocks_and_on_exit_run() -> None:
    def main() -> None:
        me = self_()
        computicle = Computicle(linger, me, on_exit=lambda: me.post("on_exit"))
        assert receive() == "begun"
        computicle.quit(drain=False)
        assert computicle.wait() is None
        assert drained(2) == ["finally", "on_exit"]

    run(main)


@pytest.mark.parametrize(
    "source",
    ["while True: pass", "import time; time.sleep(3600)", "import signal; signal.pause()",
     "from computicle import *\nwhile True:\n    try:\n        sleep(3600)\n    except BaseException: pass",
     "import threading, time\nthreading.Thread(target=time.sleep, args=(3600,)).start()",
     "import atexit, time\natexit.register(time.sleep, 3600)",
     "def on_exit():\n    import time\n    time.sleep(3600)"],
    ids=["busy", "sleeping", "pausing", "swallowing", "thread left", "atexit", "on_exit"],
)  # fmt: skip
def test_one_that_ignores_it_is_killed_after_its_grace(source: str) -> None:
    def main() -> None:
        computicle = Computicle(source, grace=0.1, stay=True)
        computicle.quit()
        with pytest.raises(ComputicleDied, match=r"grace of 0\.1 s"):
            computicle.wait(timeout=20)

    run(main)


def test_grace_is_for_each_thing_not_for_the_whole() -> None:
    def main() -> None:
        me = self_()
        work = lambda message: (sleep(0.05), me.post(message))  # type: ignore[func-returns-value]
        computicle = Computicle(on_message=work, grace=0.4)
        computicle.post_many(range(12))
        computicle.quit()
        computicle.wait()
        assert drained(12) == [*range(12)]

    run(main)


def test_quitting_again_and_after_the_end_does_nothing() -> None:
    def main() -> None:
        computicle = Computicle()
        for _ in range(3):
            computicle.quit()
        computicle.wait()
        computicle.quit()
        computicle.kill()
        assert computicle.wait() is None

    run(main)


def test_one_quits_itself() -> None:
    def main() -> Any:
        return Computicle("from computicle import *\nself_().quit()\n'value'", stay=True).wait()

    assert run(main) == "value"


def test_a_message_that_nobody_will_take_is_in_nobodys_way() -> None:
    def main() -> None:
        me = self_()
        computicle = Computicle(on_exit=lambda: me.post("on_exit"), grace=2)
        computicle.post("for nobody")
        computicle.quit()
        computicle.wait(timeout=1)
        assert receive(timeout=0) == "on_exit"

    run(main)


def test_one_stuck_in_its_work_is_cancelled_before_it_is_killed() -> None:
    def main() -> None:
        me = self_()
        computicle = Computicle(grace=0.5)
        computicle.exec(linger, me)
        assert receive() == "begun"
        computicle.quit()
        computicle.wait()
        assert receive(timeout=0) == "finally"

    run(main)
