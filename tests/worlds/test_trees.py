"""Computicles that make computicles, and processes that fork."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import textwrap
from typing import Any

import pytest

from computicle import *
from tests.process.children import ended
from tests.worlds.conftest import await_gone
from tests.worlds.helpers import is_running


def grow(to: Computicle, depth: int) -> None:
    to.post((depth, os.getpid()))
    if depth:
        Computicle(grow, to, depth - 1)
        Computicle(grow, to, depth - 1)
    sleep(3600)


def test_each_level_can_talk_to_all_others() -> None:
    def level(to: Computicle, depth: int) -> Any:
        to.post(depth)
        return [depth] + (Computicle(level, to, depth - 1).wait() if depth else [])

    def main() -> None:
        assert Computicle(level, self_(), 3).wait() == [3, 2, 1, 0]
        assert [receive() for _ in range(4)] == [3, 2, 1, 0]

    run(main)


@pytest.mark.parametrize("way", ["kill", "SIGKILL", "quit"])
def test_with_the_top_all_below_end(way: str) -> None:
    def main() -> None:
        top = Computicle(grow, self_(), 2)
        pids = [receive()[1] for _ in range(7)]
        assert all(map(is_running, pids))
        if way == "kill":
            top.kill()
        elif way == "quit":
            top.quit(drain=False)
        else:
            os.kill(top.pid, signal.SIGKILL)
        try:
            top.wait()
        except ComputicleDied:
            pass
        await_gone(lambda: [pid for pid in pids if is_running(pid)])

    run(main)


def test_the_middle_one_killed() -> None:
    def middle(to: Computicle) -> None:
        leaf = Computicle(on_message=print)
        to.post(leaf)
        sleep(3600)

    def top(to: Computicle) -> str:
        with pytest.raises(ComputicleDied, match="killed"):
            made = Computicle(middle, to)
            to.post(made)
            made.wait()
        return "told"

    def main() -> None:
        highest = Computicle(top, self_())
        them = sorted((receive() for _ in range(2)), key=lambda it: it.pid)
        made, leaf = them
        made.kill()
        with pytest.raises(ComputicleDied, match="the computicle that had made it"):
            leaf.wait()
        assert highest.wait() == "told"

    run(main)


def test_a_leaf_may_be_handed_up_and_outlives_nobody() -> None:
    def make() -> Computicle:
        return Computicle("5")

    def main() -> None:
        maker = Computicle(make)
        leaf = maker.wait()
        assert leaf.wait() == 5

    run(main)


def test_a_fork_in_the_maker_leaves_handles_behind_and_disturbs_nobody() -> None:
    program = """
        def main():
            me = self_()
            with Computicle() as c:
                c["x"] = 1
                pid = os.fork()
                if pid == 0:
                    status = 0
                    to_it = (lambda: c.post(1), lambda: c.call(abs, 1), c.wait, c.quit, c.kill, lambda: c.alive)
                    for word in (*to_it, lambda: me.post(1)):
                        try:
                            word()
                        except RuntimeError as error:
                            assert "fork" in str(error), error
                        else:
                            status = 1
                    os._exit(status)
                say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
                say(c.exec("x").result(), c["x"])
        run(main)
        say("end")
    """
    said = ended(textwrap.dedent(program))
    assert said.lines == ["0", "1 1", "end"], said.errors


def test_a_forked_child_may_have_computicles_of_its_own() -> None:
    program = """
        def main():
            with Computicle() as c:
                c["x"] = 1
                pid = os.fork()
                if pid == 0:
                    status = 1
                    try:
                        with Computicle() as own:
                            own["y"] = 3
                            assert own["y"] == 3
                        status = 0
                    finally:
                        os._exit(status)
                say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        run(main)
    """
    assert ended(textwrap.dedent(program)).lines == ["0"]


def test_a_fork_inside_a_world_disturbs_nobody() -> None:
    def forks(way: str) -> Any:
        pid = os.fork()
        if pid == 0:
            if way == "returns":
                return "from the child"
            os._exit(3)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def main() -> None:
        assert Computicle(forks, "exits").wait() == 3
        assert Computicle(forks, "returns").wait() in (0, 1)
        with Computicle() as service:
            assert service.call(forks, "exits") == 3
            assert service.call(abs, -1) == 1

    run(main)


def test_a_child_that_gets_to_the_end_of_the_program_does_not_speak_for_its_parent() -> None:
    program = """
        def forks(how):
            import atexit
            atexit.register(say, "hook")
            pid = os.fork()
            if pid == 0:
                sys.stdout.write("child ")
                if how == "exits":
                    sys.exit(3)
                assert how != "fails", "said by the child"
                return "child"
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        def main():
            for how in ("returns", "exits", "fails"):
                say(Computicle(forks, how, on_exit=lambda: say("on_exit")).wait())
            with Computicle(forks, "returns", stay=True) as staying:
                while not staying.stays:
                    yield_()
            say(staying.wait())
        run(main)
    """
    said = ended(textwrap.dedent(program))
    each = ["child on_exit", "hook"]
    assert said.lines == [*each, "0", *each, "3", *each, "1", "child hook", "0"]
    assert said.errors.count("Traceback") == 1
    assert "AssertionError: said by the child" in said.errors


def test_a_forked_child_that_stays_does_not_hide_the_death_of_a_world() -> None:
    def forks(to: Computicle) -> None:
        if os.fork() == 0:
            signal.pause()
        to.post("forked")
        sleep(3600)

    def main() -> None:
        computicle = Computicle(forks, self_())
        assert receive() == "forked"
        os.kill(computicle.pid, signal.SIGKILL)
        with pytest.raises(ComputicleDied, match="SIGKILL"):
            computicle.wait(timeout=5)
        with pytest.raises(ComputicleDied):
            computicle.post(1)

    run(main)


def test_modules_of_other_libraries_that_make_processes(tmp_path: pathlib.Path) -> None:
    def use() -> Any:
        with tempfile.TemporaryFile() as file:
            subprocess.run([sys.executable, "-c", "print(6)"], stdout=file, check=True)
            file.seek(0)
            return file.read()

    assert run(lambda: Computicle(use).wait()) == b"6\n"
