"""Supervisors: who is started again, when, how often, and what its handles do meanwhile."""

import itertools
import os
import signal
from typing import Any

import pytest

from computicle import *
from computicle.worlds.launcher import launcher
from computicle.worlds.supervisor import _Child
from tests.worlds.conftest import await_gone, children


def serve_pids() -> None:
    while True:
        asker, tag = receive()
        if tag == "fail":
            raise ValueError("told to")
        asker.post((tag, os.getpid()))


def pids(supervisor: Supervisor) -> dict[str, int]:
    """Who runs in which process, as they say themselves."""
    for name in supervisor:
        supervisor[name].post((self_(), name))
    return dict(receive() for _ in supervisor)


def kill(supervisor: Supervisor, name: str) -> None:
    """End its process from outside, and wait until that is known."""
    dead = supervisor[name].present()
    os.kill(dead.pid, signal.SIGKILL)
    with pytest.raises(ComputicleDied):
        dead.wait()
    while supervisor[name].present() is dead:
        yield_()


@pytest.mark.parametrize(
    ("strategy", "same"),
    [
        ("one_for_one", {"a": True, "b": False, "c": True}),
        ("one_for_all", {"a": False, "b": False, "c": False}),
        ("rest_for_one", {"a": True, "b": False, "c": False}),
    ],
)
def test_the_strategy_says_who_is_started_again(strategy: Any, same: dict[str, bool]) -> None:
    def main() -> None:
        specs = [Spec(serve_pids, name=name) for name in "abc"]
        with Supervisor(specs, strategy) as supervisor:
            before = pids(supervisor)
            kill(supervisor, "b")
            after = pids(supervisor)
        assert {name: after[name] == before[name] for name in before} == same

    run(main)


def test_an_error_is_a_reason_too_and_a_good_end_is_none() -> None:
    def main() -> None:
        with Supervisor([Spec(serve_pids, name="server"), Spec(int, name="short")]) as supervisor:
            before = pids_of_server(supervisor)
            dead = supervisor["server"].present()
            supervisor["server"].post((self_(), "fail"))
            with pytest.raises(ValueError, match="told to"):
                dead.wait()
            assert pids_of_server(supervisor) != before
            with pytest.raises(ComputicleDied, match="has ended"):
                while True:
                    supervisor["short"].post("too late")

    run(main)


def pids_of_server(supervisor: Supervisor) -> Any:
    supervisor["server"].post((self_(), "pid"))
    return receive()[1]


def test_what_runs_always_is_started_again_after_a_good_end() -> None:
    def main() -> None:
        me = self_()
        with pytest.raises(GaveUp) as caught:
            supervise([Spec(me.post, "once more", name="short", restart="always")], max_restarts=2, backoff=0)
        assert [receive(timeout=0) for _ in range(3)] == ["once more"] * 3
        assert [entry.name for entry in caught.value.history] == ["short"] * 3

    run(main)


def test_it_gives_up_and_tells_the_history() -> None:
    def main() -> None:
        with pytest.raises(GaveUp, match="more after 3 restarts within 5 s") as caught:
            supervise(["1 / 0", Spec(serve_pids, name="other")], backoff=0)
        assert [type(entry.error) for entry in caught.value.history] == [ZeroDivisionError] * 4
        assert isinstance(caught.value.__cause__, ZeroDivisionError)

    run(main)


def test_only_restarts_within_the_last_seconds_count() -> None:
    def main() -> None:
        with Supervisor([Spec(serve_pids, name="server")], max_restarts=1, within=0) as supervisor:
            lives = {supervisor["server"].pid}
            for _ in range(4):
                kill(supervisor, "server")
                lives.add(supervisor["server"].pid)
            assert len(lives) == 5
        with pytest.raises(GaveUp), Supervisor([Spec(serve_pids, name="server")], max_restarts=1) as supervisor:
            for _ in range(2):
                kill(supervisor, "server")

    run(main)


def test_each_pause_is_twice_as_long_until_one_has_lived_for_a_while() -> None:
    child = _Child(Spec(), 0)
    assert [child.pause(now=9.0, backoff_s=0.5, within_s=10.0) for _ in range(6)] == [0.0, 0.5, 1.0, 2.0, 4.0, 5.0]
    assert [child.pause(now=10.0, backoff_s=0.5, within_s=10.0) for _ in range(2)] == [0.0, 0.0]


def test_the_pauses_are_made() -> None:
    def main() -> None:
        with pytest.raises(GaveUp) as caught:
            supervise(["1 / 0"], max_restarts=4, backoff=0.005)
        at = [entry.at for entry in caught.value.history]
        pauses = [later - earlier for earlier, later in itertools.pairwise(at)]
        assert all(pause >= least for pause, least in zip(pauses, [0.0, 0.005, 0.01, 0.02], strict=True))

    run(main)


def test_giving_up_ends_the_body() -> None:
    def main() -> list[str]:
        seen = []
        with pytest.raises(GaveUp), Supervisor(["1 / 0"], max_restarts=0):
            try:
                sleep(3600)
            finally:
                seen.append("ended")
        return seen

    assert run(main) == ["ended"]


def test_supervise_ends_when_all_have_ended_well() -> None:
    run(supervise, [Spec(int, name="one"), Spec("1 + 1", name="two"), Spec("1 / 0", name="never", restart="never")])


def test_supervise_can_be_cancelled() -> None:
    def main() -> None:
        me = self_()
        supervising = spawn(supervise, [Spec(on_idle=me.post, on_exit=lambda: me.post("on_exit"))])
        assert receive() == 1
        supervising.cancel()
        with pytest.raises(FiberCancelled):
            supervising.join()
        assert receive(timeout=0) == "on_exit"

    run(main)


def test_they_are_ended_in_reverse_order() -> None:
    def main() -> list[Any]:
        me = self_()
        with Supervisor([Spec(name=name, on_exit=lambda name=name: me.post(name)) for name in "abc"]):
            pass
        return [receive(timeout=0) for _ in range(3)]

    assert run(main) == ["c", "b", "a"]


def test_a_handle_that_follows_can_be_passed_along() -> None:
    def use(server: Any, asker: Any) -> None:
        server.post((asker, "first"))
        receive()
        server.post((asker, "second"))

    def main() -> None:
        with Supervisor([Spec(serve_pids, name="server")]) as supervisor:
            user = Computicle(use, supervisor["server"], self_())
            _tag, first = receive()
            kill(supervisor, "server")
            user.post("go on")
            _tag, second = receive()
            assert first != second
            user.wait()

    run(main)


def test_a_call_that_was_under_way_is_not_made_again() -> None:
    def main() -> None:
        with Supervisor([Spec(name="server")]) as supervisor:
            server = supervisor["server"]
            with pytest.raises(ComputicleDied):
                server.call(os.kill, server.pid, signal.SIGKILL)
            assert server.call(len, "abc") == 3

    run(main)


def test_a_tree_of_supervisors() -> None:
    def main() -> None:
        me = self_()
        leaf = Spec(
            "from computicle import *\nparent.post(os.getpid())\nsleep(3600)",
            name="leaf",
            globals={"parent": me, "os": os},
        )
        inner = Spec(supervise, [leaf], name="inner")
        with Supervisor([Spec(supervise, [inner], name="outer")]) as supervisor:
            first = receive()
            os.kill(first, signal.SIGKILL)
            second = receive()
            kill(supervisor, "outer")
            third = receive()
            assert len({first, second, third}) == 3
            await_gone(lambda: os.path.exists(f"/proc/{second}"))  # one after the other they end, down the old tree

    run(main)


def test_one_that_gives_up_is_a_failure_one_level_up() -> None:
    def level(spec: Any, name: str) -> Spec:
        return Spec(supervise, [spec], name=name, max_restarts=1, backoff=0)

    def main() -> None:
        with pytest.raises(GaveUp, match="'highest' failed once more") as caught:
            supervise([level(level(Spec("1 / 0", name="leaf"), "lowest"), "highest")], max_restarts=1, backoff=0)
        error: BaseException = caught.value
        for name in ("highest", "lowest", "leaf"):
            assert isinstance(error, GaveUp)
            assert [entry.name for entry in error.history] == [name] * 2
            error = error.history[-1].error
        assert isinstance(error, ZeroDivisionError)

    run(main)


def test_when_the_zygote_is_killed_all_are_started_again_from_a_new_one() -> None:
    def main() -> None:
        with Supervisor([Spec(serve_pids, name=name) for name in "ab"]) as supervisor:
            before = pids(supervisor)
            first = {name: supervisor[name].present() for name in supervisor}
            assert launcher._process is not None
            os.kill(launcher._process.pid, signal.SIGKILL)
            for name, dead in first.items():
                with pytest.raises(ComputicleDied, match="zygote lost"):
                    dead.wait()
                while supervisor[name].present() is dead:
                    yield_()
            after = pids(supervisor)
            assert not {*before.values()} & {*after.values()}
            assert {*after.values()} <= {*children()}

    run(main)


def test_what_is_posted_and_asked_in_the_gap_waits_for_the_next_one() -> None:
    def linger(maker: Computicle) -> None:
        maker.post("here")
        try:
            sleep(3600)
        finally:
            with shield():
                receive()

    def main() -> None:
        me = self_()
        specs = [Spec(serve_pids, name="server"), Spec(linger, me, name="slow", grace=3600)]
        with Supervisor(specs, "one_for_all") as supervisor:
            assert receive() == "here"
            server, slow = supervisor["server"], supervisor["slow"].present()
            first = server.pid
            server.kill()
            wait_for(lambda: slow._refuses)  # it has been told to quit, and lingers
            poster = spawn(server.post, (me, "posted"))
            caller = spawn(server.call, os.getpid)
            yield_()
            assert "the next start of 'server'" in (poster.waits_for or "")
            assert "the next start of 'server'" in (caller.waits_for or "")
            assert not server.alive
            slow.kill()
            poster.join()
            second = caller.join()
            assert second != first
            assert {receive(), receive()} == {"here", ("posted", second)}
            supervisor["slow"].kill()

    run(main)


def test_what_cannot_be_started_is_told_where_it_is_entered() -> None:
    def main() -> None:
        with pytest.raises(TypeError), Supervisor([Spec(serve_pids, name="good"), 42]):
            pass

    run(main)


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match="strategy"):
        Supervisor([], "one_for_two")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="same name"):
        Supervisor([Spec(int, name="a"), Spec(int, name="a")])
    with pytest.raises(ValueError, match="restart"):
        Spec(int, restart="sometimes")  # type: ignore[arg-type]
