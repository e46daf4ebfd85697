# mypy: disable-error-code="func-returns-value"
"""Scopes: cancelling them, and using them wrongly."""

from typing import Any

import pytest

from computicle import *
from computicle.scheduler.region import Region
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import forever, turns


def test_a_cancelled_raised_by_hand_is_not_absorbed(world: World) -> None:
    error = Cancelled()

    def main() -> None:
        with pytest.raises(Cancelled) as caught, scope() as s:
            s.spawn(forever)
            raise error
        assert caught.value is error

    world.run(main)


def test_cancelling_goes_through_nested_scopes_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    walks: list[Region] = []
    reach = Region.reach
    monkeypatch.setattr(Region, "reach", lambda region: [walks.append(region), reach(region)][1])

    def nest(depth: int) -> None:
        with scope() as s:
            if depth % 2:
                s.spawn(forever)
            if depth:
                nest(depth - 1)
            forever()

    def main() -> None:
        fiber = spawn(nest, 50)
        turns()
        fiber.cancel()
        with pytest.raises(FiberCancelled):
            fiber.join()
        assert walks == [fiber]

    world.run(main)


class TestCancel:
    def test_ends_fibers_and_body(self, world: World) -> None:
        log: list[str] = []

        def child(name: str) -> None:
            try:
                forever()
            finally:
                log.append(name)

        def main() -> None:
            with scope() as s:
                s.spawn(child, "a")
                s.spawn(child, "b")
                turns()
                s.cancel()
                log.append("body goes on")
                s.cancel()
                yield_()  # gives way, raises nothing itself or does at the next wait
                sleep(1)
                log.append("unreached")
            log.append("left")

        world.run(main)
        assert log[0] == "body goes on"
        assert sorted(log[1:3]) == ["a", "b"]
        assert log[3:] == ["left"]

    def test_from_a_fiber_inside_and_from_outside(self, world: World) -> None:
        def main() -> None:
            with scope() as s:
                s.spawn(lambda: sleep(1) or s.cancel())
                s.spawn(forever)
                forever()
            with scope() as s:
                spawn(lambda s=s: sleep(1) or s.cancel())
                forever()

        world.run(main)

    def test_reaches_scopes_inside_on_every_stack(self, world: World) -> None:
        ended: list[int] = []

        def nested(depth: int) -> None:
            try:
                if depth:
                    with scope() as s:
                        s.spawn(nested, depth - 1)
                        s.spawn(forever)
                        with move_on_after(1e6), scope():
                            forever()
                else:
                    forever()
            finally:
                ended.append(depth)

        def main() -> None:
            with scope() as s:
                s.spawn(nested, 6)
                turns(20)
                s.cancel()

        world.run(main)
        assert ended == [0, 1, 2, 3, 4, 5, 6]

    def test_what_is_spawned_into_a_cancelled_one_never_starts(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s:
                s.cancel()
                made = [s.spawn(log.append, "no"), spawn(log.append, "no"), delay(lambda: log.append("no"), 1)]
                made += [on_signal(lambda: log.append("no"), "s"), when(lambda: True, lambda: log.append("no"))]
                s.spawn(lambda: log.append("no"))
            assert all(fiber.done for fiber in made)
            for fiber in made:
                with pytest.raises(FiberCancelled):
                    fiber.join()

        world.run(main)
        assert log == []

    def test_after_it_was_left_it_does_nothing(self, world: World) -> None:
        def main() -> None:
            with scope() as s, move_on_after(1) as deadline, shield() as shielded:
                pass
            for region in (s, deadline, shielded):
                region.cancel()
            sleep(1)

        world.run(main)


class TestMisuse:
    def test_spawning_into_one_that_was_left(self, world: World) -> None:
        def main() -> None:
            with scope() as s:
                pass
            with pytest.raises(RuntimeError, match="has been left"):
                s.spawn(turns)

        world.run(main)

    def test_one_not_entered(self) -> None:
        def main() -> None:
            for use in (lambda: scope().spawn(turns), scope().cancel, move_on_after(1).cancel, shield().cancel):
                with pytest.raises(RuntimeError, match="has not been entered"):
                    use()

        simulate(main)

    @pytest.mark.parametrize("make", [scope, shield, lambda: fail_after(1), lambda: move_on_after(1)])
    def test_entering_twice(self, make: Any) -> None:
        def main() -> None:
            region = make()
            with region, pytest.raises(RuntimeError, match="entered already"):
                region.__enter__()
            with pytest.raises(RuntimeError, match="entered already"):
                region.__enter__()
            sleep(2)

        simulate(main)

    @pytest.mark.parametrize("make", [scope, shield, lambda: fail_after(1), lambda: move_on_after(1)])
    def test_leaving_in_another_fiber_or_order(self, make: Any) -> None:
        def main() -> None:
            region = make()
            region.__enter__()
            inner = scope()
            inner.__enter__()
            inner.spawn(turns)
            with pytest.raises(RuntimeError, match="reverse order"):
                region.__exit__(None, None, None)
            for one in (region, inner):
                with pytest.raises(RuntimeError, match="by the fiber that entered"):
                    spawn(one.__exit__, None, None, None).join()
            inner.__exit__(None, None, None)
            region.__exit__(None, None, None)
            sleep(2)

        simulate(main)

    def test_what_cannot_be_called(self, world: World) -> None:
        def main() -> None:
            with scope() as s, pytest.raises(TypeError, match="callable"):
                s.spawn(turns())  # type: ignore[arg-type]

        world.run(main)
