"""Functions that are carried: from scripts, from the command line, from a prompt, and of every other kind."""

import functools
import pathlib
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from computicle import *
from tests.process.children import ended


class Account:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def added(self, more: int) -> int:
        return self.amount + more

    def __call__(self) -> int:
        return self.amount

    @classmethod
    def named(cls) -> str:
        return cls.__name__

    @staticmethod
    def plain() -> str:
        return "plain"


def test_callables_of_every_kind() -> None:
    factor = 3
    account = Account(5)

    class Local(Account):
        def added(self, more: int) -> int:
            return super().added(more) * factor

    targets: list[tuple[Any, Any]] = [
        (lambda: factor, 3),
        (functools.partial(max, 1, key=lambda number: -number), None),
        (account, 5),
        (functools.partial(account.added, 2), 7),
        (Account.named, "Account"),
        (Account.plain, "plain"),
        (functools.partial(Local(5).added, 2), 21),
        (functools.partial(Account.added, account, 1), 6),
        (functools.partial("ab".join, ["1", "2"]), "1ab2"),
        (dict, {}),
    ]

    def main() -> None:
        for target, value in targets:
            if value is None:
                assert Computicle(target, 2).wait() == 1
                continue
            assert Computicle(target).wait() == value
        with Computicle() as computicle:
            for target, value in targets:
                if value is not None:
                    assert computicle.call(target) == value

    run(main)


def test_functions_carried_by_value_store_to_the_worlds_globals() -> None:
    def count() -> int:
        global counted
        counted = globals().get("counted", 0) + 1  # type: ignore[name-defined]
        return counted  # type: ignore[name-defined, no-any-return]

    def main() -> None:
        with Computicle() as computicle:
            assert [computicle.call(count) for _ in range(3)] == [1, 2, 3]
            assert computicle["counted"] == 3
            computicle["counted"] = 10
            assert computicle.call(count) == 11
            assert computicle.exec("counted").result() == 11

    run(main)


def test_a_closure_keeps_its_own_cells() -> None:
    def counter() -> Any:
        count = 0

        def up() -> int:
            nonlocal count
            count += 1
            return count

        return up

    def main() -> None:
        up = counter()
        with Computicle() as computicle:
            assert computicle.call(up) == 1
            assert computicle.call(up) == 1  # carried anew
            assert up() == 1

    run(main)


def test_a_recursive_closure() -> None:
    def main() -> int:
        def factorial(n: int) -> int:
            return 1 if n == 0 else n * factorial(n - 1)

        return Computicle(factorial, 10).wait()  # type: ignore[no-any-return]

    assert run(main) == 3628800


PROGRAM = """
from computicle import *

total = 0
BASE = 100

class Thing:
    def __init__(self, x):
        self.x = x
    def __eq__(self, other):
        return type(other) is Thing and other.x == self.x

def helper(x):
    return BASE + x

def add(x):
    global total
    total += helper(x)
    return total

def adder(more):
    def added(x):
        return helper(x) + more
    return added

def roundtrip(thing):
    assert isinstance(thing, Thing)
    return Thing(thing.x + 1)

def boom():
    raise KeyError("boom")

def main():
    with Computicle() as c:
        print(c.call(add, 1), c.call(add, 2), c["total"], total)
        print(c.call(roundtrip, Thing(1)) == Thing(2))
        print(c.call(lambda: helper(5)), c.call(adder(10), 5))
        c["BASE"] = 0
        print(c.call(helper, 7))
        c.post(Thing(3))
        print(c.exec("from computicle import receive\\nreceive().x").result())
        try:
            c.call(boom)
        except KeyError as error:
            print("KeyError", "boom" in str(error.__cause__))
    w = Computicle(add, 5)
    print(w.wait(), total)

run(main)
"""
SAID = ["101 203 203 0", "True", "105 115", "7", "3", "KeyError True", "105 0"]


def output(*command: str, given: str | None = None) -> list[str]:
    ended = subprocess.run(
        [sys.executable, *command], input=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout.splitlines()


def test_functions_of_a_script(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    assert output(str(script)) == SAID


def test_functions_of_the_command_line() -> None:
    assert output("-c", PROGRAM) == SAID


def test_functions_of_a_program_read_from_standard_input() -> None:
    assert output("-", given=PROGRAM) == SAID


def test_functions_of_a_prompt() -> None:
    typed = textwrap.dedent("""
        from computicle import *
        base = 5
        def add(x):
            return base + x

        c = Computicle()
        c.call(add, 1)
        c.call(lambda: add(2))
        Computicle(add, 3).wait()
        Computicle("1 / 0")
        c.quit(); c.wait()
    """)
    said = output("-i", "-q", "-c", "", given=typed)
    assert [line for line in said if line in ("6", "7", "8")] == ["6", "7", "8"]


NOTEBOOK = """
import asyncio, linecache, sys, types

user = types.ModuleType("__main__")  # as notebooks have it: not that of the program itself
sys.modules["__main__"] = user

CELLS = [
    "from computicle import *\\nbase = 5\\ndef add(x):\\n    return base + x",
    "c = Computicle()\\nprint(c.call(add, 1), c.call(lambda: add(2)))",
    "def add(x):\\n    return base - x",
    "print(c.call(add, 1), Computicle(add, 2).wait())",
    "def main():\\n    with Computicle(on_message=self_().post) as echo:\\n        echo.post(add(3))\\n    print(receive())",
    "run(main)",
    "def fail():\\n    return 1 / 0",
    "Computicle(fail).wait()",
    "c.quit(); c.wait()",
]

async def kernel():
    for number, cell in enumerate(CELLS, 1):
        name = f"<ipython-input-{number}>"
        linecache.cache[name] = (len(cell), None, cell.splitlines(keepends=True), name)
        try:
            exec(compile(cell, name, "exec"), vars(user))
        except ZeroDivisionError as error:
            print('File "<ipython-input-7>", line 2, in fail' in str(error.__cause__))
        await asyncio.sleep(0)

asyncio.run(kernel())
"""


def test_functions_of_a_notebook() -> None:
    """Cells are executed one by one, within an event loop of the notebook's own."""
    assert output("-c", NOTEBOOK) == ["6 7", "4 3", "2", "True"]


def test_functions_of_a_module_run_as_main(tmp_path: pathlib.Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").write_text("")
    (tmp_path / "package" / "beside.py").write_text("def f(): return 'beside'")
    (tmp_path / "package" / "__main__.py").write_text(
        "from package import beside\nfrom computicle import *\nprint(Computicle(beside.f).wait())\n"
        "def mine(): return beside.f() + ' mine'\nprint(Computicle(mine).wait())"
    )
    code = (
        f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); "
        "runpy.run_module('package', run_name='__main__', alter_sys=True)"
    )
    assert output("-c", code) == ["beside", "beside mine"]


def test_no_guard_is_needed_and_nothing_of_the_program_runs_twice() -> None:
    program = "say('top level')\ndef f(): return __name__\nsay(Computicle(f).wait())"
    assert ended(program).lines == ["top level", "__main__"]


def test_modules_that_only_the_maker_can_find(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_by_path.py").write_text("def f():\n    return 'found'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    import found_by_path  # type: ignore[import-not-found]

    assert run(lambda: Computicle(found_by_path.f).wait()) == "found"
