"""Preloading: nobody but those who need the module waits for it, whatever it does while it is imported."""

import os
import textwrap
from pathlib import Path

import pytest

from tests.process.children import Child, ended

GATED = """\
import os
folder = os.path.dirname(__file__)
gate = next(gate for number in "12" if os.path.exists(gate := os.path.join(folder, "gate" + number)))
with open(gate) as file:  # until the test opens it, too
    os.unlink(gate)
    file.read()  # until the test closes it
"""  # the first import goes through one gate, the second through the other

QUIET = "import warnings\nwarnings.simplefilter('ignore', ResourceWarning)\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where modules lie that a program preloads."""
    (tmp_path / "gated.py").write_text(GATED)
    for number in "12":
        os.mkfifo(tmp_path / f"gate{number}")
    (tmp_path / "harmless.py").write_text("")
    (tmp_path / "fails_at_length.py").write_text("raise ValueError('x' + 'ä' * 10_000)")
    (tmp_path / "hasty.py").write_text("import computicle.worlds.preload as it\nit.PRELOAD_S_MAX = 0.05")
    (tmp_path / "slow_at_reaping.py").write_text(
        "import os, time\nreap = os.waitpid\nos.waitpid = lambda *which: (time.sleep(0.1), reap(*which))[1]"
    )
    (tmp_path / "stuck.py").write_text("import signal\nwhile True:\n    signal.pause()")
    (tmp_path / "stuck_later.py").write_text(
        "import os, signal\n"
        "try:\n    os.mkdir(__file__ + '.tried')\n"
        "except FileExistsError:\n    while True:\n        signal.pause()"
    )
    return tmp_path


def program(folder: Path, body: str) -> str:
    begin = f"{QUIET}FOLDER = {str(folder)!r}\nsys.path.insert(0, FOLDER)\n"
    return begin + textwrap.dedent(body)


GATE = """
    def enter(number):  # wait until the module is being imported
        return offload(open, os.path.join(FOLDER, f"gate{number}"), "w")
"""


def test_others_live_and_die_while_a_module_is_imported(folder: Path) -> None:
    body = """
        def main():
            bystander, victim, slow = Computicle(), Computicle(), Computicle(grace=0.01)
            slow.exec("while True: pass")
            fiber = spawn(Computicle, "'gated' in __import__('sys').modules", preload=["gated"])
            with enter(1):  # on trial
                say(Computicle(abs, -1).wait())
                victim.kill()
                try:
                    victim.wait()
                except ComputicleDied as error:
                    say(error.how)
            with enter(2):  # in the zygote
                late = spawn(Computicle, abs, -2)
                slow.quit()
                try:
                    slow.wait()
                except ComputicleDied as error:
                    say(error.how)
                say(late.done, bystander.call(abs, -3))
            say(fiber.join().wait(), late.join().wait())
        run(main)
    """
    said = ended(program(folder, textwrap.dedent(GATE) + textwrap.dedent(body)))
    assert said.lines == [
        "1",
        "was killed",
        "was killed: it did not quit within its grace of 0.01 s",
        "False 3",
        "True 2",
    ], said.errors


def test_the_zygote_looks_aside_for_longer_than_until_the_next_look(folder: Path) -> None:
    body = """
        def main():
            bystander, victim = Computicle(preload=["slow_at_reaping"]), Computicle()
            fiber = spawn(Computicle, abs, -1, preload=["gated"])
            enter(1).close()
            with enter(2):
                victim.kill()
                try:
                    victim.wait()
                except ComputicleDied as error:
                    say(error.how)
            say(fiber.join().wait(), bystander.call(abs, -2))
        run(main)
    """
    said = ended(program(folder, textwrap.dedent(GATE) + textwrap.dedent(body)))
    assert said.lines == ["was killed", "1 2"], said.errors


@pytest.mark.parametrize("number", [1, 2], ids=["on trial", "in the zygote"])
def test_a_program_that_is_killed_while_a_module_is_imported(folder: Path, number: int) -> None:
    body = """
        def main():
            spawn(Computicle, preload=["gated"])
            for number in range(1, NUMBER):
                enter(number).close()
            gate = enter(NUMBER)
            os.kill(os.getpid(), signal.SIGKILL)
        run(main)
    """
    text = textwrap.dedent(GATE) + textwrap.dedent(body.replace("NUMBER", str(number)))
    with Child(program(folder, text)) as child:
        assert child._process.stdout is not None
        assert child._process.stdout.read() == ""  # its end: nobody is left who could write there


@pytest.mark.parametrize(
    ("begin", "give_up"),
    [
        pytest.param("fiber = spawn(Computicle, preload=['gated'])", "fiber.cancel()", id="given up"),
        pytest.param(
            "maker = Computicle(); maker.exec('from computicle import *; Computicle(preload=[\"gated\"])')",
            "maker.kill()",
            id="its maker dies",
        ),
    ],
)
def test_one_that_nobody_wants_any_more_while_its_module_is_tried(folder: Path, begin: str, give_up: str) -> None:
    body = f"""
        def main():
            {begin}
            gate = enter(1)
            {give_up}
            say(Computicle(abs, -1, preload=["harmless"]).wait())
        run(main)
    """
    said = ended(program(folder, textwrap.dedent(GATE) + textwrap.dedent(body)))
    assert said.lines == ["1"], said.errors


def test_several_wait_for_one_module_and_all_get_it(folder: Path) -> None:
    body = """
        def main():
            makers = [spawn(Computicle, abs, -1, preload=["gated"]) for _ in range(3)]
            enter(1).close()
            enter(2).close()
            say(*[maker.join().wait() for maker in makers])
        run(main)
    """
    said = ended(program(folder, textwrap.dedent(GATE) + textwrap.dedent(body)))
    assert said.lines == ["1 1 1"], said.errors


@pytest.mark.parametrize("module", ["stuck", "stuck_later"])
def test_a_module_that_is_never_done(folder: Path, module: str) -> None:
    body = """
        def main():
            say(Computicle(abs, -1, preload=["hasty"]).wait())
            try:
                Computicle(preload=["MODULE"])
            except ImportError as error:
                say(error)
            say(Computicle(abs, -2).wait())
        run(main)
    """
    said = ended(program(folder, body.replace("MODULE", module)))
    assert said.lines[0] == "1"
    assert module in said.lines[1]
    assert "takes more than 0.05 s" in said.lines[1]
    assert said.lines[2:] == ["2"], said.errors


def test_a_module_that_fails_at_length(folder: Path) -> None:
    body = """
        def main():
            other = Computicle()
            try:
                Computicle(preload=["fails_at_length"])
            except ImportError as error:
                say(str(error)[:52], len(str(error)) > 1000)
            say(other.call(abs, -1))
        run(main)
    """
    said = ended(program(folder, body))
    assert said.lines == ["cannot preload 'fails_at_length': ValueError: xäääää True", "1"], said.errors
