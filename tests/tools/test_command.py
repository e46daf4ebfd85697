"""The command line, used as people use it: in a process of its own."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from computicle.tools.version import __version__

HANG_S = 40  # only bounds a hang


def computicle(*args: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "computicle", *map(str, args)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


@pytest.fixture
def script(tmp_path: Path) -> Path:
    return tmp_path / "script.py"


def test_version() -> None:
    done = computicle("--version")
    assert done.stdout == f"computicle, version {__version__}\n"
    assert done.returncode == 0


def test_help_names_the_commands() -> None:
    done = computicle("-h")
    assert done.returncode == 0
    assert "run " in done.stdout
    assert "demo " in done.stdout


def test_the_installed_command() -> None:
    command = Path(sys.executable).with_name("computicle")
    if not command.exists():
        pytest.skip("computicle is not installed in this Python, but found on its path")
    done = subprocess.run([command, "--version"], capture_output=True, text=True, timeout=HANG_S, check=False)
    assert done.stdout == f"computicle, version {__version__}\n"


def test_what_follows_the_script_is_the_scripts(script: Path) -> None:
    script.write_text("import sys; print(sys.argv)")
    args = ["--version", "-h", "plain", "--full", "--", "-x=1", ""]
    done = computicle("run", script, *args)
    assert done.stdout == f"{[str(script), *args]}\n"
    assert done.returncode == 0


def test_the_top_level_is_the_main_fiber(script: Path) -> None:
    script.write_text("""
from computicle import *
print(current().name)
on_signal(lambda value: print(value), "said")
signal_one("said", "heard")
spawn(lambda: (sleep(0.001), stop()))
sleep(3600)
print("not printed")
""")
    done = computicle("run", script)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "script.py\nheard\n"


def test_fibers_that_outlive_the_top_level(script: Path) -> None:
    script.write_text("""
import sys, __main__
from computicle import *

def later():
    sleep(0.001)
    print(sys.modules["__main__"] is __main__, __main__.word, sys.argv)

spawn(later)
word = "still here"
""")
    done = computicle("run", script, "arg")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"True still here {[str(script), 'arg']}\n"


def test_modules_beside_the_script_are_found(script: Path) -> None:
    script.write_text("import beside_it, __main__; print(beside_it.x, __file__, __name__)")
    script.with_name("beside_it.py").write_text("x = 7")
    assert computicle("run", script).stdout == f"7 {script} __main__\n"


def test_a_missing_script() -> None:
    done = computicle("run", "no-such-file.py")
    assert done.returncode == 2
    assert "no-such-file.py" in done.stderr
    assert "does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_is_no_script(tmp_path: Path) -> None:
    done = computicle("run", tmp_path)
    assert done.returncode == 2
    assert "is a directory" in done.stderr


def test_an_option_the_command_does_not_know(script: Path) -> None:
    script.write_text("")
    done = computicle("run", "--no-such-option", script)
    assert done.returncode == 2
    assert "--no-such-option" in done.stderr


@pytest.mark.parametrize(
    ("code", "status", "printed"),
    [("0", 0, ""), ("None", 0, ""), ("7", 7, ""), ("'a last word'", 1, "a last word\n")],
)
@pytest.mark.parametrize("where", ["{}", "from computicle import *\nspawn(lambda: {})\nsleep(3600)"])
def test_sys_exit(script: Path, code: str, status: int, printed: str, where: str) -> None:
    script.write_text("import sys\n" + where.format(f"sys.exit({code})"))
    done = computicle("run", script)
    assert (done.returncode, done.stderr) == (status, printed)


def test_an_uncaught_error(script: Path) -> None:
    script.write_text("print('before')\ndef f(): return {}['key']\nf()\n")
    done = computicle("run", script)
    assert done.returncode == 1
    assert done.stdout == "before\n"
    lines = done.stderr.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1] == f'  File "{script}", line 3, in <module>'
    assert lines[-1] == "KeyError: 'key'"
    assert "computicle" not in done.stderr


def test_an_error_in_a_word_ends_where_the_script_used_it(script: Path) -> None:
    script.write_text("from computicle import *\nspawn(3)\n")
    done = computicle("run", script)
    assert done.returncode == 1
    assert done.stderr.count("File ") == 1
    assert f'File "{script}", line 2' in done.stderr
    assert "spawn: fn must be callable" in done.stderr


def test_a_script_may_report_its_errors_itself(script: Path) -> None:
    script.write_text("""
import sys
sys.excepthook = lambda kind, error, trace: print(kind.__name__, error, trace is error.__traceback__ is not None)
raise LookupError("mine")
""")
    done = computicle("run", script)
    assert (done.returncode, done.stdout, done.stderr) == (1, "LookupError mine True\n", "")


def test_a_script_has_the_builtins_of_any_program(script: Path) -> None:
    script.write_text("import builtins; print(__builtins__ is builtins)")
    assert computicle("run", script).stdout == "True\n"


GROUP = """
from computicle import *

def broken(text):
    sleep(0)
    try:
        int(text)
    except ValueError as error:
        raise LookupError(text) from error

with scope():
    spawn(broken, "one")
    spawn(broken, "two")
"""


def test_grouped_errors_are_readable(script: Path) -> None:
    script.write_text(GROUP)
    done = computicle("run", script)
    assert done.returncode == 1
    said = done.stderr
    assert "ExceptionGroup: 2 errors in a scope" in said
    for text in ("one", "two"):
        assert f"LookupError: {text}" in said
        assert f"invalid literal for int() with base 10: '{text}'" in said
    files = [line for line in said.splitlines() if "File " in line]
    assert all(str(script) in line for line in files), said
    assert len(files) == 5  # the scope, and two lines of each fiber: the error and its cause


def test_a_group_made_by_the_run_itself(script: Path) -> None:
    script.write_text("from computicle import *\nspawn(int, 'x')\n")
    done = computicle("run", script)
    assert done.returncode == 1
    assert "ExceptionGroup: 1 error in a scope" in done.stderr
    assert "ValueError: invalid literal" in done.stderr
    assert "File " not in done.stderr


def test_full_tracebacks_on_demand(script: Path) -> None:
    script.write_text(GROUP)
    done = computicle("run", "--full", script)
    assert done.returncode == 1
    assert "scope.py" in done.stderr


def test_a_script_that_does_not_compile(script: Path) -> None:
    script.write_text("print('never')\nspawn(\n")
    done = computicle("run", script)
    assert (done.returncode, done.stdout) == (1, "")
    assert "SyntaxError" in done.stderr
    assert str(script) in done.stderr


def test_exit_beside_errors_keeps_its_status_and_shows_the_errors(script: Path) -> None:
    script.write_text("""
import sys
from computicle import *

def unclean():
    try:
        sleep(3600)
    finally:
        int("x")

spawn(unclean)
sleep(0)
sys.exit(3)
""")
    done = computicle("run", script)
    assert done.returncode == 3
    assert "ValueError" in done.stderr
    assert "SystemExit" not in done.stderr


def interrupted(script: Path, number: signal.Signals) -> tuple[int, str, str]:
    """Run it until it has printed its first line, then send it a signal."""
    command = [sys.executable, "-m", "computicle", "run", str(script)]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.send_signal(number)
            out, err = process.communicate(timeout=HANG_S)
        finally:
            process.kill()
    return process.returncode, out, err


WAITING = """
from computicle import *

def other():
    try:
        sleep(3600)
    finally:
        print("cleaned up")

spawn(other)
sleep(0)
print("ready")
sleep(3600)
"""


def test_ctrl_c(script: Path) -> None:
    script.write_text(WAITING)
    assert interrupted(script, signal.SIGINT) == (130, "cleaned up\n", "Interrupted.\n")


def test_sigterm(script: Path) -> None:
    script.write_text(WAITING)
    assert interrupted(script, signal.SIGTERM) == (143, "cleaned up\n", "")
