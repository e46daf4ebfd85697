"""The first things anybody does with a computicle."""

import os
from typing import Any

import pytest

from computicle import *


def double(number: int) -> tuple[int, int]:
    return number * 2, os.getpid()


def test_a_function_runs_in_a_process_of_its_own() -> None:
    def main() -> None:
        computicle = Computicle(double, 21)
        assert computicle.alive
        value, pid = computicle.wait()
        assert value == 42
        assert pid == computicle.pid != os.getpid()
        assert not computicle.alive

    run(main)


def test_source_text_runs_and_its_last_expression_is_its_value() -> None:
    def main() -> Any:
        return Computicle("y = x + 1\ny * 2", x=20).wait()

    assert run(main) == 42


def test_its_error_arrives_with_its_traceback() -> None:
    def main() -> None:
        with pytest.raises(ZeroDivisionError) as caught:
            Computicle("def f():\n    return 1 / 0\nf()", name="divider").wait()
        assert "return 1 / 0" in str(caught.value.__cause__)
        assert "<computicle divider>" in str(caught.value.__cause__)

    run(main)


def test_messages_there_and_back() -> None:
    def echo() -> None:
        asker = receive()
        while True:
            asker.post(receive())

    def main() -> list[int]:
        computicle = Computicle(echo)
        computicle.post(self_())
        computicle.post_many(range(100))
        answers = [receive() for _ in range(100)]
        computicle.kill()
        return answers

    assert run(main) == [*range(100)]


def test_calls_see_one_namespace() -> None:
    def remember(number: int) -> Any:
        seen.append(number)  # type: ignore[name-defined]
        return seen  # type: ignore[name-defined]

    def main() -> None:
        with Computicle() as computicle:
            computicle["seen"] = [1]
            assert computicle.call(remember, 2) == [1, 2]
            assert computicle.exec("seen.append(3); len(seen)").result() == 3
            assert computicle["seen"] == [1, 2, 3]

    run(main)


def test_an_unclaimed_error_is_the_scopes() -> None:
    def main() -> None:
        Computicle("1 / 0")

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]


def test_leaving_a_scope_waits_for_those_that_end_and_dismisses_the_others() -> None:
    def main() -> list[Computicle]:
        service = Computicle(on_message=print)
        with scope():
            Computicle(lambda: service.post("from a worker"))
        assert service.alive
        return [service]

    (service,) = run(main) or []
    assert not service.alive
