"""Supervisors: who is started again, when, how often, and what its handles do meanwhile."""

import os
import signal
from typing import Any

import pytest

from computicle import *
from tests.worlds.conftest import await_gone


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
        with move_on_after(0.2) as deadline:
            supervise([serve_pids])
        assert deadline.expired

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
