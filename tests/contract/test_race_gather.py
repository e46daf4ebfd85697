# mypy: disable-error-code="func-returns-value"
"""race and gather: several functions at once, as one call."""

import logging
from typing import Any

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import fail, failing, forever, turns


class TestGather:
    def test_values_in_the_order_of_the_functions(self, world: World) -> None:
        def main() -> list[int]:
            return gather(lambda: sleep(3) or 1, lambda: 2, lambda: sleep(1) or 3)

        assert world.run(main) == [1, 2, 3]

    def test_nothing(self, world: World) -> None:
        assert world.run(gather) == []

    def test_the_same_function_many_times(self, world: World) -> None:
        assert world.run(lambda: len(set(gather(*[current] * 100)))) == 100

    def test_the_first_error_is_bare_and_cancels_the_rest(self, world: World) -> None:
        error = ValueError()
        log: list[str] = []

        def slow() -> None:
            try:
                forever()
            finally:
                log.append("clean")

        def main() -> None:
            with pytest.raises(ValueError) as caught:
                gather(slow, lambda: sleep(1) or fail(error), slow)
            assert caught.value is error
            assert log == ["clean", "clean"]

        world.run(main)

    @pytest.mark.parametrize("word", [race, gather])
    def test_later_errors_are_logged(self, world: World, word: Any, caplog: pytest.LogCaptureFixture) -> None:
        first, second = ValueError(), KeyError()

        def bad() -> None:
            try:
                forever()
            finally:
                raise second

        def main() -> None:
            with pytest.raises(ValueError):
                word(bad, lambda: sleep(1) or fail(first))

        with caplog.at_level(logging.ERROR, "computicle"):
            world.run(main)
        assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [second]

    def test_one_is_cancelled_by_somebody_else(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(FiberCancelled):
                gather(lambda: current().cancel() or sleep(1), turns)
            with pytest.raises(FiberCancelled):
                race(lambda: current().cancel() or sleep(1))

        world.run(main)


class TestRace:
    def test_the_first_value_wins(self, world: World) -> None:
        log: list[str] = []

        def slow() -> None:
            try:
                forever()
            finally:
                log.append("clean")

        def main() -> Any:
            value = race(slow, lambda: sleep(2) or "late", lambda: sleep(1) or "won", slow)
            assert log == ["clean", "clean"]
            return value

        assert world.run(main) == "won"

    def test_none_is_a_value(self, world: World) -> None:
        assert world.run(lambda: race(lambda: None, forever)) is None

    def test_in_one_turn_the_first_in_order(self, world: World) -> None:
        log: list[int] = []
        entrants = [lambda number=number: log.append(number) or number for number in range(3)]
        assert world.run(lambda: race(*entrants)) == 0
        assert log == [0]  # the others never started

    def test_the_first_error_is_bare(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            with pytest.raises(ValueError) as caught:
                race(forever, lambda: sleep(1) or fail(error))
            assert caught.value is error

        world.run(main)

    def test_waits_until_the_losers_have_ended(self, world: World) -> None:
        log: list[str] = []

        def loser() -> None:
            try:
                forever()
            finally:
                with shield():
                    sleep(5)
                log.append("clean")

        def main() -> None:
            assert race(loser, lambda: sleep(1) or 1) == 1
            assert log == ["clean"]

        world.run(main)

    def test_a_loser_that_fails_on_the_way_is_not_lost(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        error = ValueError()

        def loser() -> None:
            try:
                forever()
            finally:
                raise error

        def main() -> Any:
            try:
                return race(loser, lambda: sleep(1) or 1)
            except ValueError as caught:
                return caught

        with caplog.at_level(logging.ERROR, "computicle"):
            value = world.run(main)
        logged = [record.exc_info[1] for record in caplog.records if record.exc_info]
        assert value is error or logged == [error]

    def test_needs_somebody(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(ValueError, match="at least one"):
                race()

        world.run(main)


@pytest.mark.parametrize("word", [race, gather])
class TestBoth:
    def test_functions_not_calls(self, word: Any) -> None:
        def main() -> None:
            with pytest.raises(TypeError, match="argument 2 must be callable"):
                word(turns, turns())
            assert fibers() == [current()]

        simulate(main)

    def test_cancelled_from_outside(self, world: World, word: Any) -> None:
        log: list[str] = []

        def slow() -> None:
            try:
                forever()
            finally:
                log.append("clean")

        def main() -> None:
            fiber = spawn(word, slow, slow)
            turns()
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()
            with move_on_after(1) as deadline:
                word(slow, slow)
            assert deadline.expired

        world.run(main)
        assert log == ["clean"] * 4

    def test_decided_and_cancelled_in_one_turn_it_returns(self, world: World, word: Any) -> None:
        log: list[Any] = []

        def waiter() -> None:
            log.append(word(lambda: wait_signal("s")))
            sleep(1)
            log.append("unreached")

        def main() -> None:
            fiber = spawn(waiter)
            turns()
            signal_one("s", 5)
            turns(1)
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()

        world.run(main)
        assert log in ([5], [[5]])

    def test_an_error_that_somebody_else_is_told_is_raised_as_well(self, world: World, word: Any) -> None:
        """Who joins the fiber claims its error; the call has no value all the same."""
        error = ValueError()
        begun: list[Fiber] = []

        def bad() -> None:
            begun.append(current())
            sleep(1)
            raise error

        def claim() -> None:
            wait_for(lambda: begun)
            with pytest.raises(ValueError):
                begun[0].join()

        def main() -> None:
            claimer = spawn(claim)
            with pytest.raises(ValueError) as caught:
                word(bad)
            assert caught.value is error
            claimer.join()

        world.run(main)

    def test_the_fibers_are_gone_afterwards(self, world: World, word: Any) -> None:
        def main() -> None:
            word(turns, turns)
            with pytest.raises(ValueError):
                word(failing(ValueError()), forever)
            assert fibers() == [current()]

        world.run(main)

    def test_an_end_of_the_program_goes_through(self, world: World, word: Any) -> None:
        with pytest.raises(SystemExit):
            world.run(lambda: word(forever, failing(SystemExit(1))))

    def test_a_deadlock_in_it_is_told_and_errors_beside_it_are_logged(
        self, world: World, word: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        error = ValueError()

        def stuck() -> None:
            try:
                Channel[int](0).receive()
            finally:
                raise error

        def main() -> None:
            with pytest.raises(Deadlock):
                word(stuck)

        with caplog.at_level(logging.ERROR, "computicle"):
            world.run(main)
        assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]
