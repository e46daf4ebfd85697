"""Code and calls: what they see, how they end, and what they do to the world they run in (nothing)."""

import logging
import os
import signal
import sys
import threading
from typing import Any

import pytest

from computicle import *
from tests.worlds.conftest import descriptors
from tests.worlds.helpers import claim_end, linger, state_of


def test_many_calls_are_in_flight_at_once_each_a_fiber_there() -> None:
    def meet(number: int) -> tuple[int, int]:
        arrived.append(number)  # type: ignore[name-defined]
        wait_for(lambda: len(arrived) == 300)  # type: ignore[name-defined]
        return number, len(fibers())

    def main() -> None:
        with Computicle() as computicle:
            computicle["arrived"] = []
            replies = [computicle.exec(meet, number) for number in range(300)]
            results = [reply.result() for reply in replies]
            assert [number for number, _count in results] == [*range(300)]
            assert results[0][1] >= 300

    run(main)


def test_code_sees_what_earlier_code_has_defined() -> None:
    def main() -> None:
        with Computicle("base = 10", stay=True) as computicle:
            source = "def add(x, *, times=1):\n    global calls\n    calls += 1\n    return base + x * times"
            computicle.exec(source).result()
            computicle["calls"] = 0
            assert computicle.call("add", 5) == 15
            assert computicle.call("add", 5, times=3) == 25
            assert computicle["calls"] == 2
            computicle["base"] = 100
            assert computicle.call("add", 5) == 105
            assert computicle.exec("add(1)").result() == 101

    run(main)


def test_a_call_by_name_right_behind_the_code_that_defines_it() -> None:
    def main() -> None:
        with Computicle() as computicle:
            computicle.exec("def f(): return 5")
            assert computicle.call("f") == 5

    run(main)


def test_a_name_may_lead_to_a_method() -> None:
    source = """
class Counter:
    count = 0
    def up(self):
        self.count += 1
        return self.count
it = Counter()
"""

    def main() -> None:
        with Computicle(source, stay=True) as computicle:
            assert [computicle.call("it.up") for _ in range(3)] == [1, 2, 3]
            with pytest.raises(AttributeError):
                computicle.call("it.down")
            with pytest.raises(NameError):
                computicle.call("that.up")

    run(main)


def test_globals_that_are_missing_or_cannot_be_carried() -> None:
    def main() -> None:
        with Computicle("import threading\nlock = threading.Lock()", stay=True) as computicle:
            with pytest.raises(KeyError):
                computicle["nothing"]
            with pytest.raises(TypeError):
                computicle["lock"]
            with pytest.raises(TypeError):
                computicle["x"] = threading.Lock()
            with pytest.raises(TypeError):
                computicle[3] = 3  # type: ignore[index]
            assert computicle.exec("1").result() == 1

    run(main)


@pytest.mark.parametrize(
    "source",
    [
        "1 / 0",
        "def",
        "raise Exception",
        "raise ExceptionGroup('g', [KeyError(1)])",
        "from computicle import *; current().cancel(); sleep(1)",
    ],
)
def test_an_error_there_never_ends_that_world(source: str) -> None:
    def main() -> None:
        with Computicle() as computicle:
            for _ in range(3):
                with pytest.raises(Exception):
                    computicle.exec(source).result()
            assert computicle.alive
            assert computicle.exec("1 + 1").result() == 2

    run(main)


def test_a_fiber_spawned_by_code_fails_without_ending_that_world(capfd: pytest.CaptureFixture[str]) -> None:
    def main() -> None:
        with Computicle() as computicle:
            computicle.exec("from computicle import *\ndef fail(): 1 / 0\nspawn(fail); None").result()
            assert computicle.exec("yield_(); 1").result() == 1

    run(main)
    assert "ZeroDivisionError" in capfd.readouterr().err  # nobody could claim it: it is logged there


def test_an_unclaimed_error_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def main() -> None:
        with Computicle() as computicle:
            reply = computicle.exec("1 / 0")
            wait_for(lambda: reply.done)
            del reply

    with caplog.at_level(logging.ERROR):
        run(main)
    assert "ZeroDivisionError" in caplog.text


def test_what_code_came_to_and_cannot_be_carried() -> None:
    def main() -> None:
        with Computicle() as computicle:
            with pytest.raises(TypeError, match="carried"):
                computicle.exec("import threading; threading.Lock()").result()

    run(main)


def test_cancelling_the_caller_cancels_the_fiber_there() -> None:
    def main() -> None:
        with Computicle() as computicle:
            me = self_()
            caller = spawn(computicle.call, linger, me)
            assert receive() == "begun"
            caller.cancel()
            assert receive() == "finally"
            with pytest.raises(FiberCancelled):
                caller.join()
            with move_on_after(3600) as _scope, scope() as s:
                s.spawn(computicle.call, linger, me)
                assert receive() == "begun"
                s.cancel()
            assert receive() == "finally"
            with pytest.raises(TimeoutError):
                computicle.call(sleep, 3600, timeout=0.01)
            reply = computicle.exec(linger, me)
            assert receive() == "begun"
            with pytest.raises(TimeoutError):
                reply.result(timeout=0)
            assert not reply.done
            reply.cancel()
            assert receive() == "finally"
            with pytest.raises(FiberCancelled):
                reply.result()

    run(main)


def test_a_caller_cancelled_at_once() -> None:
    def main() -> None:
        computicle = Computicle(grace=2)
        assert computicle.call(abs, -1) == 1
        os.kill(computicle.pid, signal.SIGSTOP)  # so that it finds the requests and what calls them off together
        for _ in range(50):
            computicle.exec(sleep, 3600).cancel()
        os.kill(computicle.pid, signal.SIGCONT)
        assert computicle.call(abs, -1) == 1
        computicle.quit()
        computicle.wait(timeout=1)

    run(main)


def test_an_answer_that_nobody_waits_for_any_more_leaves_nothing_behind() -> None:
    def main() -> None:
        with Computicle() as computicle:
            assert computicle.call(abs, -1) == 1
            before = len(descriptors())
            reply = computicle.exec(bytearray, 100_000)  # which brings a descriptor
            stopping = computicle.exec(os.kill, computicle.pid, signal.SIGSTOP)
            while state_of(str(computicle.pid)) != "T":  # it has answered, and that has not been looked at
                os.sched_yield()
            reply.cancel()
            os.kill(computicle.pid, signal.SIGCONT)
            stopping.result()
            assert len(descriptors()) == before

    run(main)


def test_those_who_have_asked_and_ended_are_forgotten() -> None:
    def ask(service: Computicle) -> None:
        service.call(abs, -1)

    def main() -> None:
        with Computicle() as service:
            counts = []
            for _ in range(6):
                Computicle(ask, service).wait()
                counts.append(service.call(lambda: len(os.listdir("/proc/self/fd"))))
            assert len(set(counts[1:])) == 1

    run(main)


@pytest.mark.parametrize("end", ["kill", "quit", "exit"])
def test_calls_are_told_of_the_end(end: str) -> None:
    def call(computicle: Computicle) -> str:
        try:
            computicle.call(sleep, 3600)
        except (ComputicleDied, FiberCancelled) as error:
            return type(error).__name__
        return "nothing"

    def main() -> None:
        computicle = Computicle()
        claiming = claim_end(computicle, "status 3") if end == "exit" else None
        callers = [spawn(call, computicle) for _ in range(20)]
        assert computicle.call(abs, -1) == 1
        if end == "kill":
            computicle.kill()
        elif end == "quit":
            computicle.quit(drain=False)
        else:
            with pytest.raises(ComputicleDied, match="status 3"):
                computicle.call(os._exit, 3)
        assert {caller.join() for caller in callers} <= {"ComputicleDied", "FiberCancelled"}
        if claiming is not None:
            claiming.join()

    run(main)


def test_big_arguments_and_results_of_many_calls() -> None:
    def main() -> None:
        with Computicle() as computicle:
            block = bytes(3_000_000)
            callers = [spawn(computicle.call, bytes.__add__, block, b"x") for _ in range(20)]
            for caller in callers:
                assert len(caller.join()) == 3_000_001

    run(main)


def test_calls_both_ways_at_once() -> None:
    def ask_back(asker: Computicle, depth: int) -> int:
        return depth if depth == 0 else 1 + asker.call(ask_there, self_(), depth - 1)

    def ask_there(asker: Computicle, depth: int) -> int:
        return depth if depth == 0 else 1 + asker.call(ask_back, self_(), depth - 1)

    ask_there = ask_back  # noqa: F811  # each world has the one function

    def main() -> int:
        with Computicle() as computicle:
            return computicle.call(ask_back, self_(), 9)  # type: ignore[no-any-return]

    assert run(main) == 9


def test_a_reply_belongs_to_its_thread() -> None:
    def main() -> None:
        with Computicle() as computicle:
            reply = computicle.exec("1")

            def elsewhere() -> Any:
                with pytest.raises(RuntimeError, match="another thread"):
                    run(reply.result)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            offload(thread.join)
            assert reply.result() == 1

    run(main)


@pytest.mark.parametrize("end", [stop, lambda: sys.exit(3), lambda: os.kill(os.getpid(), signal.SIGTERM)])
def test_clean_up_that_is_shielded_may_ask_others_when_all_is_cancelled(end: Any) -> None:
    def answer(asker: Computicle) -> None:
        asker.post("answer")

    def body(store: Computicle, doomed: Computicle) -> None:
        spawn(end)
        try:
            sleep(3600)
        finally:
            with shield():
                store.call("kept.append", "called")
                with pytest.raises(ComputicleDied, match="status 3"):
                    doomed.call(os._exit, 3)
                store.call(answer, self_())
                store.call("kept.append", receive())
                store.call(answer, self_())
                store.call("kept.append", select(Channel(1), self_())[1])

    def main() -> None:
        with Computicle("kept = []", stay=True) as store:
            doomed = Computicle()
            claiming = claim_end(doomed, "status 3")
            ending = Computicle(body, store, doomed)
            try:
                ending.wait()
            except ComputicleDied as died:
                assert "SystemExit" in died.how
            assert store["kept"] == ["called", "answer", "answer"]
            claiming.join()

    run(main)
