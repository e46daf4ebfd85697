"""Predicates that raise, for fibers that have not begun."""

import pytest

from computicle import *
from tests.conftest import World


def test_the_errors_of_two_predicates_in_one_sweep(world: World) -> None:
    """The first cancels the scope, in which the other has not begun: its error is there all the same."""
    errors = ZeroDivisionError(), KeyError()
    flag: list[int] = []

    def raising(error: Exception) -> bool:
        if flag:
            raise error
        return False

    def main() -> None:
        for error in errors:
            when(lambda error=error: raising(error), int)  # type: ignore[misc]
        yield_()
        flag.append(1)
        yield_()

    with pytest.raises(ExceptionGroup) as caught:
        world.run(main)
    assert caught.value.exceptions == errors


def test_run_in_a_predicate_is_refused_as_any_wait() -> None:
    with pytest.raises(RuntimeError, match="a predicate may not wait"):
        wait_for(lambda: run(lambda: False), timeout=1)
