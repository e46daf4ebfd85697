# mypy: disable-error-code="func-returns-value"
"""run and stop: values, errors, ends."""

import logging
from typing import Any

import pytest

from computicle import *
from computicle.scheduler.park import CREDIT
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import fail, failing, forever, raises_group, turns


def test_run_passes_arguments_and_returns_the_value(world: World) -> None:
    assert world.run(lambda a, b=0: (a, b), 1, b=2) == (1, 2)


def test_run_waits_for_the_fibers_of_its_scope(world: World) -> None:
    log: list[str] = []

    def child() -> None:
        spawn(grandchild)
        sleep(1)
        log.append("child")

    def grandchild() -> None:
        sleep(2)
        log.append("grandchild")

    def main() -> str:
        spawn(child)
        log.append("main")
        return "value"

    assert world.run(main) == "value"
    assert log == ["main", "child", "grandchild"]


def test_mains_own_error_alone_is_bare(world: World) -> None:
    error = ValueError()
    with pytest.raises(ValueError) as caught:
        world.run(failing(error))
    assert caught.value is error


def test_mains_error_cancels_the_fibers_first(world: World) -> None:
    log: list[str] = []

    def child() -> None:
        try:
            forever()
        finally:
            log.append("clean")

    def main() -> None:
        spawn(child)
        yield_()
        raise ValueError

    with pytest.raises(ValueError):
        world.run(main)
    assert log == ["clean"]


def test_a_fibers_error_is_a_group_even_if_alone(world: World) -> None:
    error = ValueError()
    with raises_group(error):
        world.run(lambda: spawn(fail, error))


def test_mains_error_stands_among_those_of_its_fibers(world: World) -> None:
    first, second = ValueError("main"), KeyError("fiber")

    def child() -> None:
        try:
            forever()
        finally:
            raise second

    def main() -> None:
        spawn(child)
        yield_()
        raise first

    with raises_group(first, second):
        world.run(main)


def test_a_fibers_error_cancels_main_and_is_not_joined_by_its_cancellation(world: World) -> None:
    error = ValueError()

    def main() -> None:
        spawn(fail, error)
        forever()

    with raises_group(error):
        world.run(main)


def test_a_kernel_error_free_end_leaves_no_fiber(world: World) -> None:
    left: list[Fiber] = []

    def main() -> None:
        left.extend(spawn(forever) for _ in range(10))
        yield_()
        stop()

    assert world.run(main) is None
    assert all(fiber.done for fiber in left)


class TestNested:
    def test_in_main(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(RuntimeError, match="run is running already"):
                run(lambda: None)

        world.run(main)

    def test_in_a_fiber(self, world: World) -> None:
        def main() -> None:
            with pytest.raises(RuntimeError, match="run is running already"):
                spawn(run, lambda: None).join()

        world.run(main)

    def test_a_refused_one_disturbs_nothing(self, world: World) -> None:
        def main() -> Any:
            fiber = spawn(lambda: sleep(1) or 5)
            with pytest.raises(RuntimeError):
                run(lambda: None)
            return fiber.join()

        assert world.run(main) == 5


class TestOutside:
    """Words work without run: the thread's own flow is the main fiber."""

    def test_words(self) -> None:
        log: list[Any] = []
        assert current().name == "main"
        fiber = spawn(lambda: log.append(1) or "value")
        yield_()
        assert log == [1]
        assert fiber.join() == "value"
        on_signal(log.append, "s")
        assert signal_one("s", 2)
        turns()
        assert log == [1, 2]

    def test_an_unclaimed_error_is_logged(self, caplog: pytest.LogCaptureFixture) -> None:
        error = ValueError()
        spawn(fail, error, name="bad")
        with caplog.at_level(logging.ERROR, "computicle"):
            turns()
        [record] = caplog.records
        assert "bad" in record.getMessage()
        assert record.exc_info is not None
        assert record.exc_info[1] is error

    def test_a_claimed_one_is_not(self, caplog: pytest.LogCaptureFixture) -> None:
        with pytest.raises(ValueError):
            spawn(fail, ValueError()).join()
        assert caplog.records == []

    @pytest.mark.parametrize("timeout", [None, 1])
    def test_nor_one_that_is_joined_by_who_has_not_waited_for_long(
        self, caplog: pytest.LogCaptureFixture, timeout: float | None
    ) -> None:
        for count in range(2 * CREDIT):  # words that do not wait: at some count the next one would give way
            for _ in range(count):
                Channel[int](1).send(1)
            with pytest.raises(ValueError):
                spawn(fail, ValueError()).join(timeout)
        assert caplog.records == []

    def test_a_run_does_not_wait_for_fibers_from_before(self) -> None:
        log: list[int] = []
        before = spawn(lambda: wait_signal("go") or log.append(1))
        yield_()
        assert run(lambda: "value") == "value"
        assert not before.done
        assert signal_one("go")
        before.join()
        assert log == [1]

    def test_run_without_main_runs_what_was_spawned_before(self) -> None:
        log: list[int] = []
        spawn(lambda: log.append(1))
        assert run() is None
        assert log == [1]


def test_join_and_names_work_after_the_run(world: World) -> None:
    fibers_: list[Fiber] = []

    def main() -> None:
        fibers_.append(spawn(lambda: 7, name="seven"))
        fibers_.append(spawn(forever))
        yield_()
        fibers_[1].cancel()

    world.run(main)
    assert (fibers_[0].join(), fibers_[0].name) == (7, "seven")
    with pytest.raises(FiberCancelled):
        fibers_[1].join()
    assert "done" in repr(fibers_[0])
    assert "cancelled" in repr(fibers_[1])


def test_run_refuses_what_cannot_be_called() -> None:
    with pytest.raises(TypeError, match="run"):
        run(42)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="spawn"):
        simulate(lambda: spawn(None))  # type: ignore[arg-type]
