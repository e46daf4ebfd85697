# mypy: disable-error-code="func-returns-value"
"""The ends of a run: stop, and SystemExit in any fiber."""

import logging

import pytest

import computicle
from computicle import *
from tests.conftest import World
from tests.contract.helpers import fail, failing, forever, raises_group


class TestStop:
    def test_ends_everything(self, world: World) -> None:
        log: list[str] = []

        def waiter() -> None:
            try:
                wait_signal("never")
            finally:
                log.append("clean")

        def main() -> str:
            spawn(waiter)
            delay(stop, 5)
            try:
                forever()
            finally:
                log.append("main")
            return "unreached"

        assert world.run(main) is None
        assert sorted(log) == ["clean", "main"]

    def test_mains_value_is_kept_if_it_had_returned(self, world: World) -> None:
        def main() -> str:
            spawn(forever)
            delay(stop, 5)
            return "value"

        assert world.run(main) == "value"

    def test_never_gives_way(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(lambda: log.append("other"))
            stop()
            assert log == []

        world.run(main)
        assert log == []  # it had not begun

    def test_errors_of_the_clean_up_come_out(self, world: World) -> None:
        error = ValueError()

        def child() -> None:
            try:
                forever()
            finally:
                raise error

        def main() -> None:
            spawn(child)
            yield_()
            stop()

        with raises_group(error):
            world.run(main)

    def test_needs_a_run(self) -> None:
        with pytest.raises(RuntimeError, match="no run"):
            computicle.stop()


class TestSystemExit:
    """In any fiber it ends the run."""

    def test_of_main(self, world: World) -> None:
        with pytest.raises(SystemExit):
            world.run(failing(SystemExit(3)))

    def test_of_a_fiber_while_main_waits(self, world: World) -> None:
        log: list[str] = []

        def other() -> None:
            try:
                forever()
            finally:
                log.append("clean")

        def main() -> None:
            spawn(other)
            spawn(fail, SystemExit(3))
            forever()

        with pytest.raises(SystemExit) as caught:
            world.run(main)
        assert caught.value.code == 3
        assert log == ["clean"]

    def test_of_a_fiber_while_main_leaves(self, world: World) -> None:
        def main() -> None:
            spawn(forever)
            delay(failing(SystemExit(3)), 1)

        with pytest.raises(SystemExit):
            world.run(main)

    @pytest.mark.parametrize("others", [0, 1])
    def test_of_a_fiber_while_main_is_ready_and_never_waits_again(self, world: World, others: int) -> None:
        def main() -> str:
            for _ in range(others):
                spawn(forever)
            spawn(fail, SystemExit(3))
            yield_()
            return "value"

        with pytest.raises(SystemExit):
            world.run(main)

    def test_of_a_fiber_while_main_is_ready_and_leaves_an_inner_scope(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            with scope() as s:
                s.spawn(forever)
                s.spawn(fail, SystemExit(3))
                yield_()
            log.append("unreached")

        with pytest.raises(SystemExit):
            world.run(main)
        assert log == []

    def test_deep_in_nested_scopes(self, world: World) -> None:
        def nested(depth: int) -> None:
            if depth == 0:
                raise SystemExit(4)
            with scope() as s:
                s.spawn(nested, depth - 1)

        def main() -> None:
            spawn(nested, 5)
            forever()

        with pytest.raises(SystemExit):
            world.run(main)

    @pytest.mark.parametrize("by_body", [True, False])
    @pytest.mark.parametrize("end", [SystemExit(3), KeyboardInterrupt()])
    def test_other_errors_are_logged_beside_it(
        self, world: World, caplog: pytest.LogCaptureFixture, end: BaseException, by_body: bool
    ) -> None:
        """A group would hide the exit status, and Ctrl-C from whoever expects it."""
        error = ValueError()

        def child() -> None:
            try:
                forever()
            finally:
                raise error

        def main() -> None:
            with scope():
                spawn(child)
                yield_()
                if by_body:
                    raise end
                spawn(fail, end)
                forever()

        with pytest.raises(type(end)) as caught, caplog.at_level(logging.ERROR, "computicle"):
            world.run(main)
        assert caught.value is end
        assert [record.exc_info[1] for record in caplog.records if record.exc_info] == [error]


class TestMainIsCancelled:
    """As joining it would tell."""

    def test_by_itself(self, world: World) -> None:
        def main() -> None:
            current().cancel()
            sleep(1)

        with pytest.raises(FiberCancelled, match="main"):
            world.run(main)

    def test_by_a_fiber(self, world: World) -> None:
        log: list[str] = []

        def child() -> None:
            try:
                forever()
            finally:
                log.append("child")

        def main() -> None:
            spawn(child)
            spawn(current().cancel)
            forever()

        with pytest.raises(FiberCancelled, match="main"):
            world.run(main)
        assert log == ["child"]

    def test_by_hand(self, world: World) -> None:
        def main() -> None:
            raise Cancelled

        with pytest.raises(FiberCancelled, match="main"):
            world.run(main)

    def test_stopped_is_no_error(self, world: World) -> None:
        def main() -> None:
            stop()
            sleep(1)

        assert world.run(main) is None


class TestAWishToEnd:
    """SystemExit in a fiber is more than an error: the run ends, also if main catches it."""

    def test_cancels_every_fiber_though_main_goes_on(self, world: World) -> None:
        log: list[str] = []

        def child() -> None:
            try:
                forever()
            finally:
                log.append("child")

        def main() -> None:
            spawn(child)
            spawn(fail, SystemExit(5))
            with pytest.raises(SystemExit):
                forever()
            for _ in range(3):
                with pytest.raises(Cancelled):
                    sleep(1)
            log.append("main")

        with pytest.raises(SystemExit) as caught:
            world.run(main)
        assert caught.value.code == 5
        assert log == ["child", "main"]

    def test_is_not_lost_to_an_error_of_the_clean_up(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def main() -> None:
            spawn(fail, SystemExit(5))
            try:
                forever()
            finally:
                raise ValueError("in the clean-up")

        with pytest.raises(SystemExit) as caught:
            world.run(main)
        assert caught.value.code == 5
        assert "in the clean-up" in caplog.text

    def test_the_next_run_knows_nothing_of_it(self, world: World) -> None:
        for _ in range(2):
            with pytest.raises(SystemExit):
                world.run(lambda: spawn(fail, SystemExit(5)))
        assert world.run(lambda: 42) == 42

    def test_the_main_fiber_may_wait_shielded(self, world: World) -> None:
        log: list[str] = []

        def main() -> None:
            spawn(fail, SystemExit(5))
            try:
                forever()
            finally:
                with shield():
                    sleep(1)
                log.append("cleaned up")

        with pytest.raises(SystemExit):
            world.run(main)
        assert log == ["cleaned up"]
