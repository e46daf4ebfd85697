# mypy: disable-error-code="func-returns-value"
"""on_signal(every=True): it waits all the time, up to a bound."""

from typing import Any

import pytest

from computicle import *
from computicle.scheduler.signals import KEPT_MAX
from tests.conftest import World
from tests.contract.helpers import fail, nobody_waits, raises_group, turns


class TestEvery:
    def test_each_time_in_order(self, world: World) -> None:
        log: list[Any] = []

        def main() -> None:
            fiber = on_signal(log.append, "s", every=True)
            for number in range(5):
                assert signal_one("s", number)
            assert signal_all("s", 5) == 1
            turns()
            assert log == [0, 1, 2, 3, 4, 5]
            fiber.cancel()
            assert signal_one("s", 6) is False
            turns()
            nobody_waits()

        world.run(main)
        assert log == [0, 1, 2, 3, 4, 5]

    def test_values_come_while_the_function_is_busy(self, world: World) -> None:
        log: list[Any] = []

        def slow(value: int) -> None:
            sleep(10)
            log.append(value)

        def main() -> None:
            fiber = on_signal(slow, "s", every=True)
            for number in range(4):
                signal_one("s", number)
                sleep(1)
            sleep(100)
            fiber.cancel()

        world.run(main)
        assert log == [0, 1, 2, 3]

    def test_takes_turns_with_the_others(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            a = on_signal(lambda: log.append("a"), "s", every=True)
            b = on_signal(lambda: log.append("b"), "s", every=True)
            on_signal(lambda: log.append("once"), "s")
            for _ in range(6):
                signal_one("s")
                turns()
            a.cancel()
            b.cancel()

        world.run(main)
        assert log == ["a", "b", "once", "a", "b", "a"]

    def test_all_reaches_both_kinds(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            fiber = on_signal(lambda: log.append("every"), "s", every=True)
            spawn(lambda: wait_signal("s") or log.append("fiber"))
            on_signal(lambda: log.append("once"), "s")
            yield_()
            assert signal_all("s") == 3
            turns()
            assert signal_all("s") == 1
            turns()
            fiber.cancel()
            turns()
            nobody_waits()

        world.run(main)
        assert sorted(log) == ["every", "every", "fiber", "once"]

    def test_bounded(self, world: World) -> None:
        assert KEPT_MAX == 1024
        log: list[int] = []

        def main() -> None:
            fiber = on_signal(log.append, "s", every=True)
            for number in range(KEPT_MAX):
                signal_one("s", number)
            for word in (signal_one, signal_all):
                with pytest.raises(OverflowError, match=r"'s'.*1024|1,024"):
                    word("s", -1)
            turns(100)
            assert log == [*range(KEPT_MAX)]
            signal_one("s", 0)
            turns()
            fiber.cancel()

        world.run(main)

    def test_nobody_is_woken_if_one_is_full(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: wait_signal("s") or log.append("fiber"))
            yield_()
            empty = on_signal(lambda: log.append("empty"), "s", every=True)
            full = on_signal(lambda: sleep(9), "s", every=True)
            subscription = full.args[0]
            subscription._values.extend(range(KEPT_MAX))
            with pytest.raises(OverflowError):
                signal_all("s")
            turns()
            assert log == []
            empty.cancel()
            full.cancel()
            assert signal_all("s") == 1

        world.run(main)
        assert log == ["fiber"]

    @pytest.mark.parametrize("stage", ["not begun", "woken, not begun", "waiting", "woken"])
    def test_cancelled_it_takes_no_more(self, world: World, stage: str) -> None:
        """A signal given after the cancel goes to somebody who is there."""
        log: list[Any] = []

        def main() -> None:
            fiber = on_signal(lambda value: log.append(("every", value)), "s", every=True)
            if stage in ("waiting", "woken"):
                signal_one("s", "first")
                turns()
            if stage.startswith("woken"):
                signal_one("s", "given")
            fiber.cancel()
            if not stage.startswith("woken"):
                assert signal_one("s", "lost") is False
            turns()
            assert fiber.done
            nobody_waits()
            on_signal(lambda value: log.append(("other", value)), "s")
            assert signal_one("s", "kept")

        world.run(main)
        expected: list[Any] = [("every", "first")] if stage in ("waiting", "woken") else []
        if stage == "woken":
            expected.append(("every", "given"))  # a wake given stands
        assert log == [*expected, ("other", "kept")]

    def test_an_error_ends_it(self, world: World) -> None:
        error = ValueError()

        def main() -> None:
            on_signal(lambda: fail(error), "s", every=True)
            signal_one("s")
            signal_one("s")
            with pytest.raises(Cancelled):
                turns()
                sleep(1)
            nobody_waits()
            raise Cancelled

        with raises_group(error):
            world.run(main)
