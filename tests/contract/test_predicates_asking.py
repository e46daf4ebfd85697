# mypy: disable-error-code="func-returns-value"
"""Predicates: their errors, and the surroundings they are asked in (law 2)."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from computicle import *
from computicle.scheduler.predicates import Watch
from tests.conftest import World
from tests.contract.helpers import Asked, fail, raises_group, turns


class TestErrors:
    def test_hurt_only_their_own_waiter(self, world: World) -> None:
        error = ValueError()
        state = {"bad": False, "good": False}
        log: list[str] = []

        def bad() -> bool:
            if state["bad"]:
                raise error
            return False

        def main() -> None:
            def wait() -> None:
                wait_for(lambda: state["good"])
                log.append("good")

            before, after = (spawn(wait) for _ in range(2))
            victim = spawn(wait_for, bad)
            turns()
            state["bad"] = True
            with pytest.raises(ValueError) as caught:
                victim.join()
            assert caught.value is error
            turns()
            assert not before.done
            assert not after.done
            state["good"] = True

        world.run(main)
        assert log == ["good", "good"]

    def test_on_the_first_and_on_the_last_asking(self, world: World) -> None:
        error = ValueError()
        answers: list[Any] = [False, True, error]

        def predicate() -> Any:
            answer = answers.pop(0)
            if answer is error:
                raise error
            return answer

        def main() -> None:
            with pytest.raises(ValueError):
                wait_for(lambda: fail(error))
            with pytest.raises(ValueError):
                wait_for(predicate)
            assert not current().kernel.predicates.watches

        world.run(main)

    @pytest.mark.parametrize("word", [when, whenever])
    def test_of_when_and_whenever(self, world: World, word: Callable[..., Fiber]) -> None:
        error = ValueError()
        with raises_group(error):
            world.run(lambda: word(lambda: fail(error), turns))

    def test_two_waiters_of_one_predicate_each_get_theirs(self, world: World) -> None:
        calls: list[Fiber] = []

        def predicate() -> bool:
            calls.append(current())
            return len(calls) > 10 and calls.count(current()) > 5

        def main() -> None:
            first, second = spawn(wait_for, predicate), spawn(wait_for, predicate)
            spawn(turns, 40)
            assert first.join() is True
            assert second.join() is True
            assert set(calls) == {first, second}

        world.run(main)


class TestSurroundings:
    def test_the_waiters_context_and_fiber(self, world: World) -> None:
        variable: ContextVar[str] = ContextVar("variable", default="none")
        seen: list[tuple[str, str]] = []

        def waiter(name: str) -> None:
            variable.set(name)
            done = []
            wait_for(lambda: seen.append((variable.get(), current().name)) or done or done.append(1))
            assert variable.get() == name

        def main() -> None:
            for name in "ab":
                spawn(waiter, name, name=name)
            spawn(turns, 5)
            variable.set("main")
            fiber = when(lambda: seen.append((variable.get(), current().name)) or len(seen) > 8, turns)
            fiber.join()
            assert variable.get() == "main"

        world.run(main)
        assert set(seen) == {("a", "a"), ("b", "b"), ("main", "turns")}

    def test_it_may_spawn_cancel_and_signal(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s:
                victim = s.spawn(wait_for, lambda: bool(log.append("victim asked")))
                listener = on_signal(lambda: log.append("signalled"), "s")
                turns(2)
                log.clear()
                steps = iter([False, False, True, True])

                def busy() -> bool:
                    answer = next(steps)
                    if not answer:
                        spawn(lambda: log.append("spawned"))
                    else:
                        victim.cancel()
                        signal_one("s")
                    return answer

                wait_for(busy)
                turns()
                assert victim.done
                assert listener.done

        world.run(main)
        assert log.count("spawned") == 2
        assert "signalled" in log

    def test_one_that_was_cancelled_by_another_is_asked_no_more(self, world: World) -> None:
        asked = Asked()
        state: dict[str, Any] = {}

        def cancelling() -> bool:
            if "count" not in state and "go" in state:
                state["count"] = asked.count
                state["second"].cancel()
            return "count" in state

        def main() -> None:
            first = spawn(wait_for, cancelling)
            state["second"] = spawn(wait_for, asked)
            turns()
            state["go"] = True
            first.join()
            turns()

        world.run(main)
        assert asked.count == state["count"]


@pytest.mark.parametrize("place", range(3))
def test_a_finaliser_may_cancel_while_the_kernel_goes_through_those_who_wait(
    world: World, monkeypatch: pytest.MonkeyPatch, place: int
) -> None:
    """The collector comes when it likes; here it comes as the kernel looks at the second of three."""
    asked = [Asked() for _ in range(3)]
    to_cancel: list[Fiber] = []
    slot = Watch.__dict__["question"]

    def question(watch: Watch) -> Any:
        if watch.predicate is asked[1] and to_cancel:
            to_cancel.pop().cancel()
        return slot.__get__(watch)

    def main() -> None:
        waiters = [spawn(wait_for, predicate) for predicate in asked]
        turns()
        to_cancel.append(waiters[place])
        newcomer = when(lambda: False, turns)  # so the kernel goes through them anew
        turns()
        newcomer.cancel()
        assert to_cancel == []
        asked[place].value = "but it is gone"
        before = asked[place].count
        turns()
        assert asked[place].count == before
        assert [waiter.done for waiter in waiters] == [number == place for number in range(3)]
        for predicate in asked:
            predicate.value = "true"
        turns()
        assert all(waiter.done for waiter in waiters)
        for number, waiter in enumerate(waiters):
            if number != place:
                assert waiter.join() == "true"
        with pytest.raises(FiberCancelled):
            waiters[place].join()
        assert not current().kernel.predicates.watches

    monkeypatch.setattr(Watch, "question", property(question, slot.__set__))
    world.run(main)
