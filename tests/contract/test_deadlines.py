# mypy: disable-error-code="func-returns-value"
"""fail_after and move_on_after: what they cut short, and what they do not reach."""

import pytest

from computicle import *
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import forever, turns


def now() -> float:
    return current().kernel.now()


def test_move_on_after_goes_on_behind(world: World) -> None:
    def main() -> None:
        with move_on_after(5) as deadline:
            forever()
        assert deadline.expired
        sleep(1)
        turns()

    world.run(main)


def test_fail_after_raises(world: World) -> None:
    def main() -> None:
        with pytest.raises(TimeoutError, match=r"not done within 2\.5 s"), fail_after(2.5) as deadline:
            forever()
        assert deadline.expired

    world.run(main)


@pytest.mark.parametrize("word", [fail_after, move_on_after])
def test_in_time_it_does_nothing(world: World, word: type[move_on_after]) -> None:  # type: ignore[valid-type]
    def main() -> None:
        with word(5) as deadline:  # type: ignore[misc]
            sleep(1)
        assert not deadline.expired
        sleep(10)
        assert not deadline.expired
        assert current().kernel.timers.next_deadline() is None

    world.run(main)


def test_expired_without_a_wait_cuts_nothing_short() -> None:
    def main() -> None:
        with fail_after(0) as deadline:
            pass
        with fail_after(5) as deadline:
            with shield():
                sleep(10)
        assert not deadline.expired
        sleep(1)

    simulate(main)


def test_each_wait_inside_raises_until_it_is_left(world: World) -> None:
    def main() -> None:
        with move_on_after(1) as deadline:
            for _ in range(3):
                with pytest.raises(Cancelled):
                    forever()
            with pytest.raises(Cancelled):
                Lock().acquire()
            sleep(1)
        assert deadline.expired

    world.run(main)


def test_swallowed_to_the_end_it_does_not_fail(world: World) -> None:
    """Cancelled was not passed on: nothing was cut short at the with-statement."""

    def main() -> None:
        with fail_after(1) as deadline:
            with pytest.raises(Cancelled):
                forever()
        assert not deadline.expired
        sleep(1)

    world.run(main)


def test_an_error_on_the_way_out_goes_first(world: World) -> None:
    def main() -> None:
        with pytest.raises(KeyError), fail_after(1):
            try:
                forever()
            finally:
                raise KeyError
        sleep(1)

    world.run(main)


@pytest.mark.parametrize("word", [fail_after, move_on_after])
def test_fibers_spawned_inside_are_not_reached(world: World, word: type[move_on_after]) -> None:  # type: ignore[valid-type]
    log: list[str] = []

    def main() -> None:
        with pytest.raises(TimeoutError), fail_after(100), word(1):  # type: ignore[misc]
            spawn(lambda: sleep(5) or log.append("spawned"))
            delay(lambda: log.append("delayed"), 5)
            forever()
            raise AssertionError
        raise AssertionError

    def cut() -> None:
        with move_on_after(50):
            main()

    if word is fail_after:
        with pytest.raises(AssertionError):
            world.run(cut)
        assert log == []  # cancelled by the error, not by the deadline
    log.clear()

    def plain() -> None:
        with move_on_after(1) as deadline:
            spawn(lambda: sleep(5) or log.append("spawned"))
            delay(lambda: log.append("delayed"), 5)
            forever()
        assert deadline.expired

    world.run(plain)
    assert sorted(log) == ["delayed", "spawned"]


def test_fibers_of_a_scope_inside_are(world: World) -> None:
    log: list[str] = []

    def main() -> None:
        with move_on_after(1) as deadline, scope() as s:
            s.spawn(lambda: sleep(5) or log.append("no"))
        assert deadline.expired or log == []

    world.run(main)
    assert log == []


class TestNested:
    def test_the_inner_one_first(self, world: World) -> None:
        def main() -> None:
            with move_on_after(10) as outer:
                with move_on_after(1) as inner:
                    forever()
                assert inner.expired
                sleep(1)
            assert not outer.expired

        world.run(main)

    def test_the_outer_one_first(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with move_on_after(1) as outer:
                with move_on_after(10) as inner:
                    forever()
                log.append("unreached")
            assert outer.expired
            assert not inner.expired

        world.run(main)
        assert log == []

    @pytest.mark.parametrize("seed", range(8))
    def test_both_at_once_the_outer_one_counts(self, seed: int) -> None:
        log: list[str] = []

        def main() -> None:
            with move_on_after(1) as outer:
                with fail_after(1):
                    forever()
                log.append("unreached")
            assert outer.expired

        simulate(main, seed=seed)
        assert log in ([], ["unreached"]) and log == []

    def test_a_chain(self) -> None:
        def main() -> None:
            start = now()
            with move_on_after(4) as d4, move_on_after(3) as d3:
                with move_on_after(2) as d2:
                    with move_on_after(1) as d1:
                        forever()
                    assert now() - start == pytest.approx(1)
                    forever()
                assert now() - start == pytest.approx(2)
                forever()
            assert now() - start == pytest.approx(3)
            assert (d1.expired, d2.expired, d3.expired, d4.expired) == (True, True, True, False)

        simulate(main)

    def test_inside_a_cancelled_scope_the_scope_counts(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s:
                with move_on_after(1) as deadline:
                    s.cancel()
                    forever()
                log.append("unreached")
            assert not deadline.expired

        world.run(main)
        assert log == []

    def test_a_shielded_deadline_in_a_cancelled_scope(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s:
                s.cancel()
                with shield():
                    with move_on_after(1) as deadline:
                        forever()
                    assert deadline.expired
                    log.append("shielded")
                sleep(1)
                log.append("unreached")

        world.run(main)
        assert log == ["shielded"]


def test_cancelling_one_by_hand(world: World) -> None:
    def main() -> None:
        with move_on_after(1000) as deadline:
            deadline.cancel()
            forever()
        assert not deadline.expired
        with pytest.raises(TimeoutError, match="^cancelled by hand, within 1000 s$"), fail_after(1000) as failing:
            failing.cancel()
            forever()
        assert not failing.expired

    world.run(main)


def test_thousands_of_deadlines_leave_no_timers() -> None:
    def main() -> None:
        timers = current().kernel.timers
        for number in range(3000):
            with move_on_after(0.1 + number % 7):
                if number % 100 == 0:
                    sleep(0.01)
        timers.check()
        assert timers.next_deadline() is None
        assert timers._rot < 200

    simulate(main)
