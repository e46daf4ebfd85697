"""Programs with computicles, watched from outside: their ends, and what they leave behind (nothing)."""

import os
import signal
import tempfile
import textwrap
import time

import pytest

from tests.process.children import Child, ended
from tests.worlds.conftest import await_gone
from tests.worlds.helpers import is_running


PROMISED_S = 1.0  # how soon all descendants are gone
ATTEMPTS = 5  # a machine with much else to do may be late now and then


def gone(pids: list[int]) -> None:
    await_gone(lambda: [pid for pid in pids if is_running(pid)])


def descendants(pid: int) -> list[int]:
    """The zygote, all computicles, and the one that is forked ahead."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        made = [int(child) for child in file.read().split()]
    return made + [further for child in made for further in descendants(child)]


TREE = """
import resource
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

def grow(depth, to):
    made = [Computicle(grow, depth - 1, to), Computicle(grow, depth - 1, to)] if depth else []
    to.post("grown")
    sleep(3600)

def main():
    Computicle(grow, 2, self_())
    for _ in range(7):
        receive()
    say("grown")
    sleep(3600)

run(main)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_with_the_program_all_its_descendants_end(number: signal.Signals) -> None:
    with Child(TREE) as child:
        assert child.line() == "grown"
        pids = descendants(child.pid)
        assert len(pids) >= 8
        child.send(number)
        child._process.wait()
        gone(pids)


def test_after_a_sigkill_all_descendants_are_gone_within_a_second() -> None:
    def seconds() -> float:
        with Child(TREE) as child:
            assert child.line() == "grown"
            pids = descendants(child.pid)
            begun = time.monotonic()
            child.send(signal.SIGKILL)
            gone(pids)
            return time.monotonic() - begun

    assert any(seconds() < PROMISED_S for _ in range(ATTEMPTS))


def test_nothing_has_a_name_that_others_could_find() -> None:
    """No port, no path, no file: what is open leads to those who were given it, and to nobody else."""
    program = """
        import glob

        def opened(pid):
            links = []
            for path in glob.glob(f"/proc/{pid}/fd/*"):
                try:
                    links.append(os.readlink(path))
                except OSError:
                    pass
            return links

        def listed(table):
            with open(f"/proc/net/{table}") as file:
                return [line.split() for line in file.readlines()[1:]]

        def use(other):
            other.post(bytearray(100_000))
            return other.call(len, bytearray(10_000_000))

        def main():
            from computicle.worlds.launcher import launcher
            zygote = launcher._process.pid
            kept = [Computicle() for _ in range(3)]
            me = self_()
            me.post(bytearray(3_000_000))
            Computicle(use, kept[0]).wait()
            with open(f"/proc/{zygote}/task/{zygote}/children") as file:
                pids = [os.getpid(), zygote, *map(int, file.read().split())]
            assert len(pids) >= 5
            links = [link for pid in pids for link in opened(pid)]
            sockets = {link[8:-1] for link in links if link.startswith("socket:[")}
            assert len(sockets) > 12
            for table in ("tcp", "tcp6", "udp", "udp6"):
                assert not [line for line in listed(table) if line[9] in sockets], table
            ours = [line for line in listed("unix") if line[6] in sockets]
            assert len(ours) > 12
            assert not [line for line in ours if len(line) > 7 or line[3] != "00000000"], ours
            files = {link for link in links if link.startswith("/") and not link.startswith(("/dev/null", "/memfd:"))}
            say(*(file for file in files - BEFORE if ".so" not in file))  # libffi keeps itself open

        run(lambda: Computicle().quit())
        BEFORE = set(opened(os.getpid()))
        run(main)
        say(*os.listdir())
    """
    with tempfile.TemporaryDirectory() as folder:
        begin = f"os.chdir({folder!r})\nos.environ['TMPDIR'] = os.environ['HOME'] = {folder!r}\n"
        said = ended(begin + textwrap.dedent(program))
    assert said == (0, ["", ""], "")


def test_ctrl_c_for_the_whole_process_group_is_a_clean_end() -> None:
    program = """
        def linger():
            try:
                sleep(3600)
            finally:
                say("cleaned up")
        def main():
            Computicle(linger).call(sleep, 0)
            Computicle(on_message=print, on_exit=lambda: say("on_exit")).call(sleep, 0)
            say("begun")
            sleep(3600)
        try:
            run(main)
        except KeyboardInterrupt:
            say("interrupted")
    """
    with Child(textwrap.dedent(program)) as child:
        assert child.line() == "begun"
        child.until_asleep()
        os.killpg(child.pid, signal.SIGINT)
        said = child.end()
    assert said.status == 0
    assert sorted(said.lines[:-1]) == ["cleaned up", "on_exit"]
    assert said.lines[-1] == "interrupted"
    assert "KeyboardInterrupt" not in said.errors


def test_at_interpreter_exit_without_run() -> None:
    program = """
        c = Computicle(lambda: (sleep(0.01), say("has ended by itself")))
        s = Computicle(on_message=lambda m: say("got", m), on_exit=lambda: say("on_exit"))
        s.post(1)
        say("end of the program")
    """
    said = ended(textwrap.dedent(program))
    assert said.status == 0, said.errors
    assert set(said.lines) == {"end of the program", "got 1", "on_exit", "has ended by itself"}


def test_at_interpreter_exit_after_an_uncaught_error() -> None:
    program = """
        c = Computicle("from computicle import *\\nsleep(3600)")
        s = Computicle(on_exit=lambda: say("on_exit"))
        1 / 0
    """
    said = ended(textwrap.dedent(program))
    assert said.status == 1
    assert "ZeroDivisionError" in said.errors


def test_an_unclaimed_error_without_run_is_logged() -> None:
    said = ended("c = Computicle('1 / 0', name='the one')\nwait_for(lambda: not c.alive, every=0.001)\nsleep(0)\n")
    assert "ZeroDivisionError" in said.errors


def test_sys_exit_and_os_exit_with_worlds_alive() -> None:
    for end in ("sys.exit(3)", "os._exit(3)"):
        with Child(f"c = Computicle()\nsay(c.pid)\n{end}") as child:
            pid = int(child.line())
            assert child.end().status == 3
            gone([pid])


def test_what_worlds_print_is_kept_and_may_have_a_prefix() -> None:
    program = """
        import ctypes
        run(lambda: Computicle("print('out'); import sys; print('err', file=sys.stderr); print('no newline', end='')"))
        say()
        code = "import sys; print('a\\\\nb'); print('c', end=''); print('d'); print('e', end=''); print('f', file=sys.stderr)"
        run(lambda: Computicle(code, prefix=True, name="n"))
        run(lambda: Computicle("import os; os.write(1, b'raw\\\\n'); import subprocess; subprocess.run(['echo', 'sub'])"))
        try:
            run(lambda: Computicle("print('before the end'); import os; os._exit(1)").wait())
        except ComputicleDied:
            pass
    """
    said = ended(textwrap.dedent(program))
    assert said.lines == ["out", "no newline", "n: a", "n: b", "n: cd", "n: e", "raw", "sub", "before the end"]
    assert said.errors.splitlines() == ["err", "n: f"]


def test_a_reader_who_leaves_kills_nobody() -> None:
    program = """
        r, w = os.pipe()
        saved = os.dup(1)
        os.dup2(w, 1); os.close(w)
        c = Computicle("from computicle import *\\nreceive()\\nprint('into nothing')\\n5")
        os.dup2(saved, 1); os.close(r)
        c.post(1)
        try:
            say(c.wait())
        except BrokenPipeError:
            say("broken pipe")
    """
    assert ended(textwrap.dedent(program)).lines in (["5"], ["broken pipe"])


def test_with_standard_descriptors_closed() -> None:
    program = """
        saved = os.dup(2)
        os.close(0); os.close(1); os.close(2)
        value = Computicle("print('x'); import os; sorted(map(int, os.listdir('/proc/self/fd')))[:3]").wait()
        os.write(saved, repr(value).encode())
        os._exit(0)
    """
    assert "[0, 1, 2]" in ended(textwrap.dedent(program)).errors


def test_nothing_is_said_with_all_warnings_on() -> None:
    said = ended(
        "Computicle(abs, -1).wait()\nwith Computicle() as c: c.call(abs, 1)\nrun(lambda: Computicle('1').wait())"
    )
    assert said.errors == ""


def test_daemon_threads_and_helpers_at_the_end_of_a_world() -> None:
    program = """
        def body():
            import time
            threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()
            offload(abs, -1)
            t = threading.Thread(target=lambda: say("a thread has ended behind", threading.main_thread().join()))
            t.start()
            return "value"
        say(run(lambda: Computicle(body).wait()))
    """
    assert sorted(ended(textwrap.dedent(program)).lines) == ["a thread has ended behind None", "value"]
