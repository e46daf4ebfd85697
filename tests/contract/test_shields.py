# mypy: disable-error-code="func-returns-value"
"""Shields: cancellation is held back, not forgotten (law 4)."""

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import forever, turns


class TestShield:
    def test_holds_it_back_until_left(self, world: World) -> None:
        log: list[str] = []

        def child() -> None:
            try:
                forever()
            finally:
                with shield():
                    sleep(1)
                    log.append("shielded")
                    with shield():
                        Lock().acquire()
                        sleep(1)
                    sleep(1)
                    log.append("still")
                try:
                    sleep(1)
                except Cancelled:
                    log.append("cancelled")
                    raise

        def main() -> None:
            fiber = spawn(child)
            yield_()
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()

        world.run(main)
        assert log == ["shielded", "still", "cancelled"]

    def test_cancel_comes_while_inside(self, world: World) -> None:
        log: list[str] = []

        def child() -> None:
            with shield():
                log.append(wait_signal("s"))
            log.append("left")
            sleep(1)
            log.append("unreached")

        def main() -> None:
            fiber = spawn(child)
            yield_()
            fiber.cancel()
            turns()
            assert fiber.waits_for == "signal 's'"
            signal_one("s", "value")
            with pytest.raises(FiberCancelled):
                fiber.join()

        world.run(main)
        assert log == ["value", "left"]

    def test_does_not_hold_back_what_is_inside_it(self, world: World) -> None:
        def main() -> None:
            with shield(), scope() as s:
                s.spawn(forever)
                s.cancel()
                forever()
            with shield(), move_on_after(1) as deadline:
                forever()
            assert deadline.expired

        world.run(main)

    def test_reaches_fibers_of_a_scope_inside(self, world: World) -> None:
        """They are behind the shield as well."""
        log: list[str] = []

        def child() -> None:
            with shield(), scope() as s:
                s.spawn(lambda: sleep(5) or log.append("done"))

        def main() -> None:
            fiber = spawn(child)
            sleep(1)
            fiber.cancel()

        world.run(main)
        assert log == ["done"]

    def test_not_fibers_spawned_inside_it_into_a_scope_outside(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s, shield():
                s.spawn(lambda: sleep(5) or log.append("no"))
                sleep(1)
                s.cancel()
                sleep(10)
                log.append("body")

        world.run(main)
        assert log == ["body"]
