"""What belongs to a fiber: FiberLocal, and context variables."""

from contextvars import ContextVar, copy_context
from typing import Any

import weakref

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import turns

variable: ContextVar[str] = ContextVar("variable", default="none")


class TestFiberLocal:
    def test_each_fiber_has_its_own(self, world: World) -> None:
        local = FiberLocal()

        def child(name: str) -> None:
            assert not hasattr(local, "name")
            local.name = name
            for _ in range(3):
                sleep(1)
                assert local.name == name
            del local.name
            with pytest.raises(AttributeError, match="has not set 'name'"):
                _ = local.name
            with pytest.raises(AttributeError, match="has not set 'name'"):
                del local.name

        def main() -> None:
            local.name = "main"
            gather(*[lambda name=name: child(name) for name in "abc"])
            assert local.name == "main"

        world.run(main)

    def test_two_of_them_are_apart(self, world: World) -> None:
        def main() -> None:
            first, second = FiberLocal(), FiberLocal()
            first.name = 1
            second.name = 2
            assert (first.name, second.name) == (1, 2)
            assert not hasattr(first, "other")

        world.run(main)

    def test_is_not_left_for_the_next_fiber_on_the_same_carrier(self, world: World) -> None:
        local = FiberLocal()

        def child() -> bool:
            before = hasattr(local, "name")
            local.name = "left"
            return before

        def main() -> list[bool]:
            return [spawn(child).join() for _ in range(5)]

        assert world.run(main) == [False] * 5

    def test_in_a_predicate_it_is_the_waiters(self, world: World) -> None:
        local = FiberLocal()

        def waiter(name: str) -> str:
            local.name = name
            seen: list[str] = []
            wait_for(lambda: seen.append(local.name) or len(seen) > 2)  # type: ignore[func-returns-value]
            assert set(seen) == {name}
            return name

        def main() -> list[str]:
            spawn(turns, 9)
            return gather(lambda: waiter("a"), lambda: waiter("b"))

        assert world.run(main) == ["a", "b"]


class TestContextVariables:
    def test_inherited_as_they_are_at_the_spawn(self, world: World) -> None:
        def main() -> None:
            variable.set("main")
            early = spawn(variable.get)
            variable.set("later")
            late = spawn(variable.get)
            assert (early.join(), late.join()) == ("main", "later")

        copy_context().run(world.run, main)

    @pytest.mark.parametrize(
        "begin",
        [
            spawn,
            lambda fn: delay(fn, 1),
            lambda fn: when(lambda: True, fn),
            lambda fn: (on_signal(lambda: fn(), "s"), delay(lambda: signal_one("s"), 1))[0],
        ],
    )
    def test_by_each_word_like_spawn(self, world: World, begin: Any) -> None:
        def main() -> None:
            variable.set("main")
            fiber = begin(variable.get)
            variable.set("later")
            assert fiber.join() == "main"

        copy_context().run(world.run, main)

    def test_what_a_fiber_sets_stays_in_it(self, world: World) -> None:
        def child(name: str) -> None:
            assert variable.get() == "main"
            variable.set(name)
            for _ in range(3):
                yield_()
                assert variable.get() == name

        def main() -> None:
            variable.set("main")
            for name in "abcd":
                spawn(child, name)
            for _ in range(6):
                yield_()
                assert variable.get() == "main"

        copy_context().run(world.run, main)

    @pytest.mark.parametrize("outcome", ["returns", "raises", "is cancelled"])
    def test_not_left_on_a_carrier(self, world: World, outcome: str) -> None:
        """Fibers spawned from an empty context see nothing of those that ran on their stack before."""

        def setting() -> None:
            variable.set("left")
            if outcome == "raises":
                raise KeyError
            if outcome == "is cancelled":
                current().cancel()
                sleep(1)

        def main() -> None:
            assert len(copy_context()) == 0
            for _ in range(5):
                fiber = spawn(setting)
                try:
                    fiber.join()
                except (KeyError, FiberCancelled):
                    pass
                assert spawn(lambda: (variable.get(), len(copy_context()))).join() == ("none", 0)

        from contextvars import Context

        Context().run(world.run, main)

    def test_not_left_in_the_kernel_by_a_predicate(self) -> None:
        def main() -> None:
            variable.set("waiter")
            seen: list[str] = []
            fiber = spawn(lambda: wait_for(lambda: seen.append(variable.get()) or len(seen) > 2))  # type: ignore[func-returns-value]
            turns(5)
            fiber.join()
            assert set(seen) == {"waiter"}
            context = current().kernel.hub.gr_context
            assert context is None or variable not in context

        copy_context().run(simulate, main)


def test_what_a_dropped_local_has_kept_is_let_go() -> None:
    class Kept:
        pass

    def main() -> None:
        local = FiberLocal()
        local.kept = Kept()
        kept = weakref.ref(local.kept)
        del local
        assert kept() is None

    simulate(main)
