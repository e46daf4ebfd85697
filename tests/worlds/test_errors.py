"""How errors arrive from other computicles."""

import pickle
import subprocess
import sys
import textwrap
from typing import Any

import pytest

from computicle import *
from tests.process.children import ended
from tests.worlds.helpers import claim_end


class Odd(Exception):
    """Its constructor takes something else than it passes on."""

    def __init__(self, code: int, *, where: str) -> None:
        super().__init__(f"{code} at {where}")


class Apart(Exception):
    """Carries something that cannot be carried."""

    def __init__(self) -> None:
        super().__init__("apart")
        self.file = sys.stdout


class Liar(Exception):
    """Cannot even be shown."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


class Sly(Exception):
    """Comes back as something else."""

    def __reduce__(self) -> Any:
        return int, (3,)


def raised(error_of: Any) -> BaseException:
    """What arrives of the error that `error_of()` makes, by both ways."""

    def fail() -> None:
        raise error_of()

    def main() -> BaseException:
        with pytest.raises(BaseException) as caught:
            Computicle(fail).wait()
        with Computicle() as computicle:
            with pytest.raises(BaseException) as called:
                computicle.call(fail)
        assert type(called.value) is type(caught.value)
        return caught.value

    error = run(main)
    assert isinstance(error, BaseException)
    return error


@pytest.mark.parametrize(
    "kind", [ValueError, OSError, KeyError, StopIteration, GeneratorExit, RecursionError, MemoryError, TimeoutError]
)
def test_an_error_arrives_as_what_it_was(kind: type[BaseException]) -> None:
    error = raised(lambda: kind("why"))
    assert type(error) is kind
    assert error.args == ("why",)
    assert "raise error_of()" in str(error.__cause__)


def test_an_error_with_a_code_arrives_whole() -> None:
    error = raised(lambda: FileNotFoundError(2, "gone", "the-file"))
    assert isinstance(error, FileNotFoundError)
    assert (error.errno, error.filename) == (2, "the-file")


def test_subprocess_errors_arrive_whole() -> None:
    error = raised(lambda: subprocess.CalledProcessError(3, ["false"], b"out"))
    assert isinstance(error, subprocess.CalledProcessError)
    assert (error.returncode, error.output) == (3, b"out")


@pytest.mark.parametrize(
    ("error_of", "kind"),
    [(lambda: Odd(5, where="home"), "Odd"), (Apart, "Apart"), (Liar, "Liar"), (Sly, "Sly")],
    ids=["odd constructor", "unpicklable attribute", "no words", "comes back as something else"],
)
def test_one_that_cannot_be_carried_is_named(error_of: Any, kind: str) -> None:
    error = raised(error_of)
    if type(error).__name__ != kind:  # else it could be carried after all
        assert isinstance(error, RemoteError)
        assert kind in error.kind
        assert kind in str(error)
    assert kind in str(error.__cause__)


def test_a_local_class_comes_back_as_itself() -> None:
    class Local(Exception):
        pass

    assert isinstance(raised(lambda: Local("mine")), Local)


def test_a_class_that_only_exists_there() -> None:
    def main() -> None:
        with pytest.raises(Exception) as caught:
            Computicle("class Theirs(Exception): pass\nraise Theirs('x')").wait()
        assert "Theirs" in type(caught.value).__name__ or "Theirs" in str(caught.value)
        assert str(caught.value).endswith("x")

    run(main)


def test_an_error_of_a_module_that_only_exists_there() -> None:
    """Where it was raised it can be rebuilt, but not where it arrives."""
    source = """
        import sys, types
        module = types.ModuleType("only_there")
        sys.modules["only_there"] = module
        exec("class Theirs(Exception): pass", module.__dict__)
        raise module.Theirs("x")
    """

    def main() -> None:
        with pytest.raises(Exception) as caught:
            Computicle(source).wait()
        assert "Theirs" in str(caught.value)
        with Computicle() as computicle, pytest.raises(Exception) as caught:
            computicle.exec(textwrap.dedent(source)).result()
        assert "Theirs" in str(caught.value)

    run(main)


def test_groups_arrive_as_groups() -> None:
    def group() -> ExceptionGroup[Exception]:
        return ExceptionGroup("both", [ValueError(1), ExceptionGroup("inner", [KeyError(2)])])

    error = raised(group)
    assert isinstance(error, ExceptionGroup)
    assert error.message == "both"
    assert [type(one) for one in error.exceptions] == [ValueError, ExceptionGroup]


def test_a_group_with_one_that_cannot_be_carried() -> None:
    def group() -> ExceptionGroup[Exception]:
        return ExceptionGroup("both", [ValueError(1), Odd(2, where="there")])

    error = raised(group)
    assert "ExceptionGroup" in str(error) or isinstance(error, ExceptionGroup)
    assert "Odd" in str(error.__cause__)


def test_notes_and_causes_are_shown() -> None:
    def fail() -> None:
        try:
            raise KeyError("the root of it")
        except KeyError as error:
            failure = ValueError("on top")
            failure.add_note("a note")
            raise failure from error

    def main() -> None:
        with pytest.raises(ValueError) as caught:
            Computicle(fail).wait()
        assert caught.value.__notes__ == ["a note"]
        text = str(caught.value.__cause__)
        assert "the root of it" in text
        assert "direct cause" in text

    run(main)


def test_each_waiter_gets_it_and_it_does_not_grow() -> None:
    def main() -> None:
        computicle = Computicle("1 / 0")
        lengths = []
        for _ in range(5):
            with pytest.raises(ZeroDivisionError) as caught:
                computicle.wait()
            lengths.append(len(caught.traceback))
        assert len(set(lengths[1:])) == 1

    run(main)


def test_an_error_passes_through_three_worlds() -> None:
    def inner() -> None:
        raise LookupError("from far away")

    def middle() -> None:
        Computicle(inner).wait()

    with pytest.raises(LookupError, match="from far away") as caught:
        run(lambda: Computicle(middle).wait())
    assert "in inner" in str(caught.value.__cause__)


@pytest.mark.parametrize(("code", "ends_well"), [(None, True), (0, True), (3, False), ("words", False)])
def test_sys_exit_in_a_world(code: object, ends_well: bool) -> None:
    def main() -> Any:
        return Computicle(sys.exit, code).wait()

    if ends_well:
        assert run(main) is None
    else:
        with pytest.raises(ComputicleDied, match=repr(code)):
            run(main)


def test_sys_exit_in_a_call_ends_the_world_as_a_death() -> None:
    def main() -> None:
        computicle = Computicle()
        claiming = claim_end(computicle)
        with pytest.raises(ComputicleDied):
            computicle.call(sys.exit, 3)
        claiming.join()

    run(main)


def test_a_huge_error_arrives() -> None:
    error = raised(lambda: ValueError("x" * 5_000_000))
    assert type(error) is ValueError
    assert len(error.args[0]) == 5_000_000


def test_a_deep_recursion_there() -> None:
    def main() -> None:
        with pytest.raises(RecursionError):
            Computicle("def f():\n    f()\nf()").wait()

    run(main)


def test_errors_of_the_programs_own_classes_can_be_caught() -> None:
    program = """
        class Mine(Exception):
            pass

        def fail():
            raise Mine("it")

        def main():
            for attempt in (lambda: Computicle(fail).wait(), lambda: Computicle().call(fail)):
                try:
                    attempt()
                except Mine as error:
                    say("caught", error, type(error) is Mine)
            stop()

        run(main)
    """
    assert ended(textwrap.dedent(program)).lines == ["caught it True"] * 2


def test_an_uncaught_one_is_shown_with_the_lines_of_both_sides() -> None:
    program = """
        def outer():
            return Computicle("def inner():\\n    return {}['no such key']\\ninner()", name="there").wait()

        run(outer)
    """
    said = ended(textwrap.dedent(program))
    assert said.status == 1
    there, here = said.errors.split("The above exception was the direct cause of the following exception:")
    assert "File \"<computicle there>\", line 2, in inner\n    return {}['no such key']" in there
    assert "world.py" not in there  # only the program's own lines
    assert "program.py" not in there
    assert ", in outer\n" in here
    assert here.rstrip().endswith("KeyError: 'no such key'")


def test_remote_errors_can_be_carried_on() -> None:
    error = pickle.loads(pickle.dumps(RemoteError("kind", "text")))
    assert (error.kind, error.text) == ("kind", "text")
    died = pickle.loads(pickle.dumps(ComputicleDied("name", "how")))
    assert (died.name, died.how) == ("name", "how")
