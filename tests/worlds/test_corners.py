"""Corners: what two things at once, or one at its limit, must not bring down."""

import gc
import logging
import os
import signal
import sys
import textwrap
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from weakref import ref

import pytest

from computicle import *
from computicle.engine.packets import Packet, copies_of
from computicle.scheduler.flows import running
from computicle.scheduler.scope import Scope
from computicle.worlds import computicle as making
from computicle.worlds.codec import pack
from computicle.worlds.home import HEAD, _requests, home_of
from computicle.worlds.requests import CALL, EXEC, Asked
from tests.process.children import ended
from tests.worlds.helpers import Bomb, claim_end, told

# The zygote, which is everybody's parent.


def test_a_very_long_grace_is_no_end_of_the_zygote() -> None:
    def main() -> None:
        other = Computicle()
        patient = Computicle(grace=1e9)
        patient.quit()
        assert patient.wait() is None
        assert other.call(abs, -1) == 1

    run(main)


def test_a_program_that_ignores_its_children() -> None:
    program = """
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        def main():
            other = Computicle()
            say(Computicle("1 + 1").wait(), other.call(abs, -1))
        run(main)
    """
    assert ended(textwrap.dedent(program)) == (0, ["2 1"], "")


def test_a_program_without_standard_descriptors(tmp_path: Path) -> None:
    out = tmp_path / "out"
    program = f"""
        for number in (0, 1, 2):
            os.close(number)
        def main():
            answers = [Computicle(str(number)).wait() for number in range(4)]
            with open({str(out)!r}, "w") as file:
                file.write(repr(answers))
        run(main)
    """
    ended(textwrap.dedent(program))
    assert out.read_text() == "[0, 1, 2, 3]"


# Supervisors.


def linger() -> None:
    try:
        sleep(3600)
    finally:
        with shield():
            receive()


def test_leaving_a_supervisor_while_it_restarts_a_group() -> None:
    def main() -> None:
        with Supervisor(
            [Spec(name="a"), Spec(name="b"), Spec(linger, name="c", grace=0.2)], "one_for_all"
        ) as supervisor:
            c = supervisor["c"].present()
            c.call(sleep, 0)
            dead = supervisor["a"].present()
            dead.kill()
            with pytest.raises(ComputicleDied):
                dead.wait()
            while supervisor["b"]._slot.computicle is not None:  # type: ignore[union-attr]
                yield_()  # c is being waited for
        assert not c.alive

    run(main)


def test_a_child_that_dies_at_once_is_the_supervisors_and_not_the_scopes() -> None:
    def main() -> None:
        with pytest.raises(GaveUp):
            supervise(["1 / 0", *[Spec(name=str(number)) for number in range(5)]], max_restarts=2, backoff=0)

    run(main)


def test_handles_of_a_supervisor_that_was_left() -> None:
    def main() -> None:
        with Supervisor([Spec(name="a")]) as supervisor:
            a = supervisor["a"]
        with pytest.raises(ComputicleDied, match="has been left"):
            a.post(1)

    run(main)


def test_a_handle_that_follows_kills_from_elsewhere() -> None:
    def main() -> None:
        with Supervisor([Spec(name="a")]) as supervisor, Computicle() as other:
            first = supervisor["a"].pid
            other.call(kill_it, supervisor["a"])
            assert supervisor["a"].pid != first

    run(main)


def kill_it(following: Any) -> None:
    dead = following.present()
    following.kill()
    with pytest.raises(ComputicleDied):
        dead.wait()


# Requests.


def test_more_calls_than_may_be_under_way_to_one_that_dies() -> None:
    def main() -> None:
        victim = Computicle(grace=0.1)
        askers = [spawn(told, lambda: victim.call(sleep, 3600)) for _ in range(1005)]
        wait_for(lambda: "fewer requests" in (askers[-1].waits_for or ""))
        assert sum("fewer requests" in (asker.waits_for or "") for asker in askers) == 5
        victim.kill()
        assert {asker.join() for asker in askers} == {"was killed"}

    run(main)


def test_one_that_is_stuck_is_not_in_the_way_of_calls_to_others() -> None:
    def main() -> None:
        stuck, other = Computicle(), Computicle()
        stuck.exec("import time; time.sleep(3600)")
        for _ in range(1100):
            with pytest.raises(TimeoutError):
                stuck.call(abs, -1, timeout=0)
        assert other.call(abs, -1) == 1
        stuck.kill()

    run(main)


def test_leaving_a_scope_whose_computicle_is_stuck_with_a_full_lane() -> None:
    def main() -> None:
        stuck = Computicle(grace=0.1)
        stuck.exec("import time; time.sleep(3600)")
        filling = "x" * 40_000
        while not any(crowd.late for crowd in stuck._lane._senders.waiting.values()):
            with move_on_after(0.001):
                stuck.call(len, filling)

    run(main)


# Errors.


def test_an_error_of_a_hook_is_kept_beside_that_of_on_exit() -> None:
    def bad(_message: Any) -> None:
        raise ValueError("the message was bad")

    def worse() -> None:
        raise KeyError("at exit")

    def main() -> None:
        computicle = Computicle(on_message=bad, on_exit=worse)
        computicle.post(1)
        with pytest.raises(ValueError, match="the message was bad"):
            computicle.wait()

    run(main)


def test_an_error_after_it_was_asked_to_end_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    def bad(_message: Any) -> None:
        raise ValueError("not lost")

    def main() -> None:
        computicle = Computicle(on_message=bad)
        computicle.post(1)

    with caplog.at_level(logging.ERROR, "computicle"):
        try:
            run(main)
        except ExceptionGroup as error:  # it was quicker than the end of main
            assert "not lost" in str(error.exceptions)
        else:
            assert "not lost" in caplog.text


def test_a_message_that_cannot_be_rebuilt_is_for_whoever_would_have_got_it() -> None:
    def main() -> None:
        me = self_()
        seen: list[Any] = []

        def take() -> None:
            try:
                seen.append(receive())
            except ValueError as error:
                seen.append(type(error))

        with scope() as s:
            for _ in range(3):
                s.spawn(take)
            yield_()
            for message in (1, Bomb(), 3):
                me.post(message)
        assert seen == [1, ValueError, 3]

    run(main)


def test_a_watcher_that_is_stopped_is_not_the_end_it_watched_for() -> None:
    def main() -> None:
        computicle = Computicle()

        def elsewhere() -> None:
            def watch() -> None:
                with shield(), pytest.raises(TimeoutError):
                    computicle.wait(timeout=0.01)
                stop()

            run(watch)

        thread = threading.Thread(target=elsewhere)
        thread.start()
        offload(thread.join)
        assert computicle.call(os.getpid) == computicle.pid

    run(main)


# Making one.


def test_one_that_is_quicker_than_its_maker_is_dismissed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It says that it stays before its maker has gone on."""
    await_birth = making._await_birth

    def await_more(handle: Any, birth: Any, me: Any) -> int:
        pid = await_birth(handle, birth, me)
        while not handle.stays:
            yield_()
        return pid

    monkeypatch.setattr(making, "_await_birth", await_more)
    run(lambda: Computicle("def on_message(message): pass"))


def test_others_have_the_handle_before_its_maker_has_heard_of_its_birth(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they look at then says nothing yet."""
    from computicle.worlds import computicle as making

    await_birth = making._await_birth

    def met(main_program: Computicle) -> tuple[bool, int]:
        newborn = receive()
        answer = newborn.alive, newborn.call(len, "abc")
        main_program.post("met")
        return answer

    def show_itself(friend: Computicle) -> Any:
        friend.post(self_())
        return receive()

    def main() -> None:
        friend = Computicle(met, self_())

        def await_friend(handle: Any, birth: Any, me: Any) -> int:
            assert receive(timeout=30) == "met"
            return await_birth(handle, birth, me)

        monkeypatch.setattr(making, "_await_birth", await_friend)
        newborn = Computicle(show_itself, friend)
        assert friend.wait() == (True, 3)
        newborn.post("go on")
        assert newborn.wait() == "go on"

    run(main)


def test_one_that_fails_by_the_death_of_another_is_not_taken_for_that_one() -> None:
    def main() -> None:
        first = Computicle(name="first")
        second = Computicle(lambda: first.wait(), name="second")
        second.call(abs, -1)
        claim = claim_end(second)
        first.kill()
        claim.join()
        assert told(lambda: second.post("late")) == "failed: ComputicleDied('first', 'was killed')"

    run(main)


# Messages.


@pytest.mark.parametrize("bits", [63, 64, 65, 800_000])
def test_numbers_of_any_size(bits: int) -> None:
    def main() -> None:
        me = self_()
        for number in (1 << bits, -(1 << bits)):
            for message in (number, (number, "beside")):
                me.post(message)
                assert receive(timeout=30) == message

    run(main)


# The main program.


def ask_to_quit(other: Computicle) -> None:
    other.quit()


def test_a_main_program_in_no_run_takes_no_notice_of_being_asked_to_quit() -> None:
    with Computicle() as computicle:
        computicle.call(ask_to_quit, self_())
        assert spawn(computicle.call, abs, -1).join() == 1  # which comes after it over the same lane
        assert spawn(sleep, 0).join() is None


def test_a_run_is_stopped_by_being_asked_to_quit() -> None:
    def main() -> None:
        with Computicle() as computicle:
            computicle.call(ask_to_quit, self_())
            sleep(3600)

    assert run(main) is None


def end_of(other: Computicle) -> str:
    try:
        return str(other.wait())
    except ComputicleDied as died:
        return died.how


def test_a_main_program_that_dies_is_not_taken_for_the_zygote() -> None:
    def main() -> None:
        home = home_of(running())
        computicle = Computicle(end_of, self_())
        obituary, home._obituary = home._obituary, None
        assert obituary is not None
        obituary.close()  # as the system does when it is killed
        assert computicle.wait() == "died in the middle of its run"

    run(main)


def test_a_forked_child_closes_the_place_where_the_end_of_the_run_is_told() -> None:
    program = """
        from computicle.scheduler.flows import running
        from computicle.worlds.home import home_of
        def main():
            self_()
            obituary = home_of(running())._obituary
            pid = os.fork()
            if pid == 0:
                os._exit(obituary.fileno() >= 0)
            say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        run(main)
    """
    assert ended(textwrap.dedent(program)).lines == ["0"]


def test_a_computicle_outside_runs_does_not_keep_what_belongs_to_runs() -> None:
    homes: list[Any] = []

    def main() -> None:
        assert computicle.call(abs, -1) == 1
        computicle.monitor()
        computicle._link_here(running())
        homes.append(ref(home_of(running())))

    computicle = Computicle()
    for _ in range(2):
        run(main)
        gc.collect()
    assert [home() for home in homes] == [None, None]
    os.kill(computicle.pid, signal.SIGKILL)
    with pytest.raises(ComputicleDied, match="SIGKILL"):
        computicle.wait()


@pytest.mark.parametrize("kind", [EXEC, CALL])
def test_a_request_that_comes_too_late_leaves_nothing_open(kind: int) -> None:
    """The pump may still read when the scope that would run it has been left."""
    parcel = pack("x" * 100_000 if kind == EXEC else Asked(len, ("x" * 100_000,), {}))
    descriptors = copies_of(parcel.descriptors)
    parcel.close()
    assert descriptors
    home: Any = SimpleNamespace(name="a test", life=SimpleNamespace(guests=Scope()))
    _requests[kind](home, 1, bytes(8), Packet(bytes(HEAD.size) + parcel.data, descriptors))
    for descriptor in descriptors:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(descriptor)
