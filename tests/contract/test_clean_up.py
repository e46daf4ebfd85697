# mypy: disable-error-code="func-returns-value"
"""What a fiber may do on its way out, and what is said of one that stays (law 4)."""

import logging

import pytest

from computicle import *
from tests.conftest import World
from tests.contract.helpers import forever, raises_group


class TestSwallowed:
    def test_the_hundredth_is_reported_with_its_place(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def stubborn() -> None:
            for _ in range(350):
                try:
                    sleep(1)
                except Cancelled:
                    pass

        def main() -> None:
            fiber = spawn(stubborn, name="stubborn one")
            yield_()
            fiber.cancel()

        with caplog.at_level(logging.WARNING, "computicle"):
            world.run(main)
        said = [record.getMessage() for record in caplog.records]
        assert [word for text in said for word in text.split() if word.isdigit()] == ["100"]
        place = f"{__file__}:{stubborn.__code__.co_firstlineno + 3}"
        assert all(place in text and "'stubborn one'" in text for text in said)

    def test_so_is_one_under_a_shield_in_a_run_that_is_stuck(
        self, world: World, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nothing else would end its waits, so Cancelled is raised in there, too: again and again, and unseen."""

        def stubborn() -> None:
            channel = Channel[int](0)
            with shield():
                for _ in range(250):
                    with pytest.raises(Cancelled):
                        channel.receive()

        def main() -> None:
            spawn(stubborn, name="stubborn one")
            yield_()
            stop()

        with caplog.at_level(logging.WARNING, "computicle"):
            world.run(main)
        (said,) = [record.getMessage() for record in caplog.records]
        assert "'stubborn one' has swallowed Cancelled 100 times" in said
        assert f"{__file__}:{stubborn.__code__.co_firstlineno + 5}" in said

    def test_a_few_are_not(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def stubborn() -> None:
            for _ in range(50):
                with pytest.raises(Cancelled):
                    sleep(1)

        def main() -> None:
            for _ in range(10):  # it is counted for each fiber
                fiber = spawn(stubborn)
                yield_()
                fiber.cancel()

        world.run(main)
        assert caplog.records == []

    def test_those_that_pass_to_where_they_belong_are_not(self, world: World, caplog: pytest.LogCaptureFixture) -> None:
        def main() -> None:
            for _ in range(200):
                with move_on_after(1) as region:
                    region.cancel()
                    yield_()

        world.run(main)
        assert caplog.records == []


class TestCleanUp:
    def test_an_error_in_finally_is_not_lost(self, world: World) -> None:
        error = ValueError()

        def child() -> None:
            try:
                forever()
            finally:
                raise error

        def main() -> None:
            fiber = spawn(child)
            yield_()
            fiber.cancel()
            with pytest.raises(ValueError) as caught:
                fiber.join()
            assert caught.value is error
            assert isinstance(error.__context__, Cancelled)

        world.run(main)

    def test_nor_if_nobody_joins(self, world: World) -> None:
        error = ValueError()

        def child() -> None:
            try:
                forever()
            finally:
                raise error

        def main() -> None:
            fiber = spawn(child)
            yield_()
            fiber.cancel()

        with raises_group(error):
            world.run(main)

    def test_it_is_not_an_exception(self, world: World) -> None:
        log: list[str] = []

        def child() -> None:
            try:
                forever()
            except Exception:
                log.append("no")

        def main() -> None:
            fiber = spawn(child)
            yield_()
            fiber.cancel()

        world.run(main)
        assert log == []
        assert not issubclass(Cancelled, Exception)

    def test_a_cancel_during_the_cleanup_changes_nothing(self, world: World) -> None:
        log: list[str] = []

        def child() -> None:
            try:
                forever()
            finally:
                with shield():
                    sleep(5)
                log.append("clean")

        def main() -> None:
            with scope() as s:
                fiber = s.spawn(child)
                yield_()
                fiber.cancel()
                sleep(1)
                fiber.cancel()
                s.cancel()

        world.run(main)
        assert log == ["clean"]
