"""When a computicle ends, and what it comes to."""

import pathlib
import pickle
import threading
from typing import Any

import pytest

from computicle import *


def test_it_ends_when_its_body_and_its_fibers_are_done() -> None:
    def body() -> str:
        def fiber() -> None:
            yield_()
            asker.post("the fiber is done")

        asker = receive()
        spawn(fiber)
        return "the body is done"

    def main() -> None:
        computicle = Computicle(body)
        computicle.post(self_())
        assert computicle.wait() == "the body is done"
        assert receive(timeout=0) == "the fiber is done"
        assert computicle.wait() == "the body is done"

    run(main)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Computicle(),
        lambda: Computicle("x = 1", stay=True),
        lambda: Computicle(abs, -1, stay=True),
        lambda: Computicle("def on_message(message): pass"),
        lambda: Computicle(abs, -1, on_message=print),
        lambda: Computicle(on_message=print),
    ],
    ids=["no target", "stay", "function, stay", "source with on_message", "function, on_message", "only on_message"],
)
def test_a_service_lives_until_it_is_told_to_quit(make: Any) -> None:
    def main() -> Any:
        computicle = make()
        for _ in range(3):
            assert computicle.exec("40 + 2").result() == 42
        with pytest.raises(TimeoutError):
            computicle.wait(timeout=0)
        assert computicle.alive
        computicle.quit()
        computicle.wait()
        assert not computicle.alive

    run(main)


def test_the_value_of_one_that_stayed_is_kept() -> None:
    def main() -> Any:
        computicle = Computicle(abs, -1, stay=True)
        computicle.quit()
        return computicle.wait()

    assert run(main) == 1


def test_an_on_message_defined_in_a_function_of_the_source_counts_as_soon_as_it_is_there() -> None:
    def main() -> None:
        computicle = Computicle("seen = []\ndef on_message(message):\n    seen.append(message)\n", name="late")
        computicle.post(1)
        computicle.post(2)
        computicle.quit()
        computicle.wait()

    run(main)


@pytest.mark.parametrize(
    ("source", "value"),
    [("1 + 1", 2), ("x = 1", None), ("", None), ("# nothing", None), ("'only a docstring'", "only a docstring")],
)
def test_the_value_of_source(source: str, value: object) -> None:
    assert run(lambda: Computicle(source).wait()) == value


def test_indented_source() -> None:
    source = """
        if True:
            y = x
        y
    """
    assert run(lambda: Computicle(source, x=5).wait()) == 5


def test_a_script_has_arguments_and_globals(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "script.py"
    (tmp_path / "beside.py").write_text("value = 'beside'")
    script.write_text("import sys, beside\n(sys.argv, __name__, __file__, extra, beside.value)")

    def main() -> Any:
        return Computicle(script, "a", 2, extra="more").wait(), Computicle(str(script), extra=None).wait()[0]

    assert run(main) == (([str(script), "a", "2"], "__main__", str(script), "more", "beside"), [str(script)])


def test_a_script_with_a_coding_line_and_a_future_import(tmp_path: pathlib.Path) -> None:
    script = tmp_path / "latin.py"
    script.write_bytes("# -*- coding: latin-1 -*-\nfrom __future__ import annotations\n'\xe4'".encode("latin-1"))
    assert run(lambda: Computicle(script).wait()) == "ä"


def test_a_missing_script_is_known_at_the_call() -> None:
    with pytest.raises(FileNotFoundError):
        run(lambda: Computicle("no/such/script.py"))


@pytest.mark.parametrize("target", [3, b"bytes", ["list"], object()])
def test_what_cannot_be_run_is_known_at_the_call(target: Any) -> None:
    with pytest.raises(TypeError):
        run(lambda: Computicle(target))


def test_what_cannot_be_carried_is_known_at_the_call_and_named() -> None:
    def main() -> None:
        lock = threading.Lock()
        with pytest.raises(TypeError, match=r"\['lock'\]"):
            Computicle(print, {"lock": lock})
        with pytest.raises(TypeError, match="variable 'lock'"):
            Computicle(lambda: lock)
        with pytest.raises(TypeError, match="lock"):
            Computicle(globals={"lock": lock})

    run(main)


@pytest.mark.parametrize("source", ["def", "x = = 1", "  x\n y", "\0", "return 1", "await x"])
def test_source_with_a_syntax_error_is_its_error(source: str) -> None:
    with pytest.raises((SyntaxError, ValueError)):
        run(lambda: Computicle(source).wait())


def test_a_syntax_error_says_where_in_the_source() -> None:
    with pytest.raises(SyntaxError) as caught:
        run(lambda: Computicle("x = 1\ny = = 2\n", name="bad").wait())
    error = caught.value
    assert (error.filename, error.lineno, error.text) == ("<computicle bad>", 2, "y = = 2\n")
    assert "y = = 2" in str(error.__cause__)


def test_a_value_that_cannot_be_carried_is_its_error() -> None:
    with pytest.raises(TypeError, match="carried"):
        run(lambda: Computicle("import threading; threading.Lock()").wait())


def test_the_error_of_a_fiber_ends_it() -> None:
    def body() -> None:
        def fail() -> None:
            raise LookupError("from a fiber")

        spawn(fail)
        sleep(3600)

    with pytest.raises(ExceptionGroup) as caught:
        run(lambda: Computicle(body).wait())
    assert caught.group_contains(LookupError, match="from a fiber")


def test_a_big_value_is_each_waiters_own() -> None:
    def change(computicle: Computicle) -> int:
        block = computicle.wait()
        block[0] += 1
        return block[0]  # type: ignore[no-any-return]

    def main() -> None:
        ending = Computicle(lambda: (receive(), pickle.PickleBuffer(bytearray(100_000)))[1])
        watchers = [Computicle(change, ending) for _ in range(2)]
        ending.post("go")
        assert [watcher.wait() for watcher in watchers] == [1, 1]

    run(main)


def test_waiting_for_oneself_is_refused() -> None:
    def body() -> str:
        with pytest.raises(RuntimeError) as caught:
            self_().wait()
        return str(caught.value)

    assert "its own end" in run(lambda: Computicle(body).wait())  # type: ignore[operator]


def test_a_timeout_of_wait_is_only_the_waiters() -> None:
    def main() -> int:
        computicle = Computicle(receive)
        with pytest.raises(TimeoutError):
            computicle.wait(timeout=0)
        with move_on_after(0):
            computicle.wait()
        computicle.post(7)
        waiters = [spawn(computicle.wait) for _ in range(3)]
        return sum(waiter.join() for waiter in waiters)

    assert run(main) == 21
