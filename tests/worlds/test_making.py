"""Making one: its options, and what may be wrong with them."""

import os
import pathlib
import signal
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from computicle import *
from computicle.worlds.launcher import launcher
from tests.process.children import ended


def test_environment_and_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINE", "inherited")

    def look() -> Any:
        return os.environ.get("MINE"), os.environ.get("OTHER"), os.getcwd()

    def main() -> None:
        assert Computicle(look).wait() == ("inherited", None, os.getcwd())
        assert Computicle(look, env={"OTHER": "x"}).wait()[:2] == (None, "x")
        assert Computicle(lambda: dict(os.environ), env={"OTHER": "x"}).wait() == {"OTHER": "x"}
        assert Computicle(look, cwd=tmp_path).wait()[2] == str(tmp_path)
        monkeypatch.chdir(tmp_path)
        os.environ["MINE"] = "changed"
        assert Computicle(look).wait() == ("changed", None, str(tmp_path))

    run(main)


def test_an_environment_that_is_not_the_process_s_own() -> None:
    body = """
        os.environ.clear()  # without a locale, CPython sets one
        os.putenv("UNSEEN", "by Python")
        say(run(lambda: Computicle(lambda: dict(os.environ)).wait()))
    """
    said = ended(textwrap.dedent(body))
    assert said.lines == ["{}"], said.errors


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"cwd": "/no/such/folder"}, OSError),
        ({"env": {"a": 1}}, (TypeError, ValueError)),
        ({"env": {"a=b\0": "x"}}, (TypeError, ValueError, OSError)),
        ({"grace": -1}, (TypeError, ValueError)),
        ({"grace": "long"}, (TypeError, ValueError)),
        ({"idle_timeout": -1}, (TypeError, ValueError)),
        ({"preload": "json"}, TypeError),
        ({"preload": ["no_such_module"]}, ImportError),
    ],
    ids=repr,
)
def test_wrong_options_are_told(options: Any, kind: Any) -> None:
    def main() -> None:
        with pytest.raises(kind):
            Computicle(abs, -1, **options).wait()

    run(main)


def test_preloads(tmp_path: pathlib.Path) -> None:
    (tmp_path / "starts_a_thread.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), daemon=True).start()"
    )
    (tmp_path / "fails.py").write_text("raise RuntimeError('at import')")
    (tmp_path / "exits.py").write_text("import os; os._exit(3)")
    (tmp_path / "quits.py").write_text("raise SystemExit(3)")
    (tmp_path / "counts.py").write_text("import os\npid = os.getpid()")
    program = """
        import sys
        sys.path.insert(0, {path!r})
        from computicle import *
        def main():
            for module in ("starts_a_thread", "fails", "exits", "quits", "no_such_module"):
                try:
                    Computicle(abs, -1, preload=[module])
                except ImportError as error:
                    print(module, module in str(error))
            one = Computicle("import counts, os; (counts.pid, os.getpid())", preload=["counts"])
            pid, own = one.wait()
            assert pid != own
            print(Computicle("import counts; counts.pid").wait() == pid)
        run(main)
    """
    code = textwrap.dedent(program.format(path=str(tmp_path)))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    expected = [f"{name} True" for name in ("starts_a_thread", "fails", "exits", "quits", "no_such_module")]
    assert said.stdout.splitlines() == [*expected, "True"], said.stderr


def test_globals_that_are_named_like_options() -> None:
    def main() -> None:
        value = Computicle("(name, env, x)", globals={"name": 1, "env": 2}, x=3).wait()
        assert value == (1, 2, 3)
        computicle = Computicle(lambda: answer, globals={"answer": 42})  # type: ignore[name-defined]  # noqa: F821
        assert computicle.wait() == 42

    run(main)


def test_arguments_of_functions_named_like_options() -> None:
    def main() -> None:
        with pytest.raises(TypeError):
            Computicle(None, 1)
        with pytest.raises(TypeError):
            Computicle("1", 2)
        assert Computicle(dict, a=1, target=2, self=3).wait() == {"a": 1, "target": 2, "self": 3}

    run(main)


def test_nothing_of_the_maker_is_shared() -> None:
    here = ["mine"]

    def change() -> Any:
        here.append("theirs")
        return here

    def main() -> None:
        assert Computicle(change).wait() == ["mine", "theirs"]
        assert here == ["mine"]

    run(main)


def test_it_has_no_descriptors_but_its_own() -> None:
    def look() -> list[str]:
        return os.listdir("/proc/self/fd")

    def main() -> None:
        kept = [Computicle() for _ in range(20)]
        with open(os.devnull) as _file:
            assert len(Computicle(look).wait()) < 20
        for computicle in kept:
            computicle.quit()

    run(main)


def test_its_collector_works_as_anywhere() -> None:
    assert run(lambda: Computicle("import gc\ngc.isenabled()").wait()) is True


def test_random_numbers_differ() -> None:
    source = "import random\nrandom.random()"

    def main() -> None:
        assert len({Computicle(source).wait() for _ in range(5)}) == 5

    run(main)


def test_standard_input_is_empty() -> None:
    assert run(lambda: Computicle("import sys\nsys.stdin.read()").wait()) == ""


def test_names() -> None:
    def main() -> None:
        assert Computicle(abs, -1, name="mine").name == "mine"
        assert Computicle(abs, -1).name.startswith("abs-")
        assert Computicle("from computicle import *\nself_().name", name="ä'\n").wait() == "ä'\n"
        assert "mine" in repr(Computicle(abs, 1, name="mine"))

    run(main)


def test_signals_are_as_a_program_finds_them_at_first() -> None:
    """Whatever its maker does with them. (SIGINT and SIGTERM are what `run` sees to.)"""
    program = """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGUSR1, print)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])

        def look():
            found = {number: signal.getsignal(number) for number in signal.valid_signals()}
            ignored = [number.name for number in found if found[number] is signal.SIG_IGN]
            handled = [number.name for number in found if callable(found[number])]
            return ignored, handled, signal.pthread_sigmask(signal.SIG_BLOCK, ())

        def main():
            say(*Computicle(look).wait())
            for number in (signal.SIGUSR1, signal.SIGHUP):
                try:
                    Computicle(os.kill, 0, number).wait()
                except ComputicleDied as died:
                    say(died.how)
        run(main)
    """
    said = ended(textwrap.dedent(program))
    assert said.lines == [
        "['SIGPIPE', 'SIGXFSZ'] ['SIGINT', 'SIGTERM'] set()",
        "was killed by SIGUSR1",
        "was killed by SIGHUP",
    ], said.errors


@pytest.mark.parametrize("end", ["cancelled", "zygote killed"])
def test_one_that_never_comes_to_be(end: str) -> None:
    def main() -> None:
        Computicle(abs, -1).wait()
        assert launcher._process is not None
        zygote = launcher._process.pid
        os.kill(zygote, signal.SIGSTOP)
        try:
            making = spawn(Computicle, sleep, 3600)
            wait_for(lambda: "the birth of" in (making.waits_for or ""))
            if end == "cancelled":
                making.cancel()
                with pytest.raises(FiberCancelled):
                    making.join()
            else:
                os.kill(zygote, signal.SIGKILL)
                with pytest.raises(ComputicleDied, match="zygote lost"):
                    making.join()
        finally:
            os.kill(zygote, signal.SIGCONT)
        assert Computicle(abs, -2).wait() == 2

    run(main)


def test_made_in_a_folder_that_is_gone(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(OSError):
        run(lambda: Computicle(abs, -1).wait())
    assert run(lambda: Computicle(abs, -1, cwd=tmp_path).wait()) == 1


def test_what_modules_want_done_at_a_fork_is_done_at_those_of_a_computicle() -> None:
    def look() -> tuple[bool, list[str]]:
        in_order = threading.main_thread().native_id == os.getpid()
        end = threading.Event()
        threading.Thread(target=end.wait, daemon=True).start()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, ",".join(thread.name for thread in threading.enumerate()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        end.set()
        return in_order, os.read(reading, 1000).decode().split(",")

    def main() -> None:
        assert Computicle(look).wait() == (True, ["MainThread"])

    run(main)
