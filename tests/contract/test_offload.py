# mypy: disable-error-code="func-returns-value"
"""offload: blocking calls on helper threads, one fiber waiting."""

import threading
import traceback
from collections.abc import Callable
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from computicle import *
from computicle.engine.readiness import ReadinessEngine
from computicle.engine.threads import THREADS_MAX, Threads
from computicle.scheduler.flows import run_apart
from computicle.testing import simulate
from tests.conftest import World
from tests.contract.helpers import fail, turns

variable: ContextVar[str] = ContextVar("variable", default="none")


def test_value_and_arguments(world: World) -> None:
    def pair(a: int, b: int = 0) -> tuple[int, int]:
        return a, b

    assert world.run(lambda: offload(pair, 1, b=2)) == (1, 2)


def test_only_this_fiber_waits(world: World) -> None:
    release = threading.Event()

    def main() -> None:
        if world.name == "sim":
            release.set()
        fiber = spawn(offload, release.wait)
        turns(20)
        release.set()
        assert fiber.join() is True

    world.run(main)


def test_an_error_with_its_traceback(world: World) -> None:
    def deep() -> None:
        fail(ValueError("deep"))

    def main() -> None:
        with pytest.raises(ValueError, match="deep") as caught:
            offload(deep)
        names = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
        assert names.index("main") < names.index("deep") < names.index("fail")

    world.run(main)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, type("Odd", (BaseException,), {})])
def test_any_base_exception(world: World, kind: type[BaseException]) -> None:
    error = kind()

    def main() -> None:
        with pytest.raises(kind) as caught:
            offload(fail, error)
        assert caught.value is error
        assert offload(lambda: 5) == 5

    world.run(main)


WORDS: list[Callable[[], Any]] = [
    lambda: spawn(turns),
    lambda: delay(turns, 1),
    lambda: periodic(turns, 1),
    lambda: on_signal(turns, "s"),
    lambda: when(lambda: True, turns),
    lambda: signal_one("s"),
    lambda: signal_all("s"),
    current,
    fibers,
    stop,
    yield_,
    lambda: sleep(1),
    lambda: wait_for(lambda: True),
    lambda: wait_signal("s"),
    scope,
    lambda: fail_after(1),
    shield,
    lambda: race(turns),
    gather,
    lambda: select(Channel(1)),
    lambda: Channel[int](1).send(1),
    lambda: Lock().acquire(),
    lambda: Semaphore(1).acquire(),
    lambda: offload(int),
    lambda: run(turns),
    lambda: listen(0),
]


@pytest.mark.parametrize("word", WORDS)
def test_words_raise_in_it_and_say_so(world: World, word: Callable[[], Any]) -> None:
    def main() -> None:
        on_signal(lambda: fail(AssertionError()), "s")
        with pytest.raises(RuntimeError, match="helper thread"):
            offload(word)
        turns()
        assert len(fibers()) == 2

    world.run(main)


def test_context_variables_are_a_copy(world: World) -> None:
    def call() -> str:
        seen = variable.get()
        variable.set("helper")
        return seen

    def main() -> None:
        variable.set("fiber")
        assert offload(call) == "fiber"
        assert variable.get() == "fiber"
        assert offload(variable.get) == "fiber"

    copy_context().run(world.run, main)


def test_what_cannot_be_called(world: World) -> None:
    def main() -> None:
        with pytest.raises(TypeError, match="callable"):
            offload(5)  # type: ignore[arg-type]

    world.run(main)


class TestCancelled:
    def test_the_fiber_goes_on_at_once_and_the_result_is_dropped(self) -> None:
        release, began = threading.Event(), threading.Event()

        def call() -> str:
            began.set()
            release.wait()
            return "dropped"

        def main() -> None:
            fiber = spawn(offload, call)
            yield_()
            offload(began.wait)
            fiber.cancel()
            with pytest.raises(FiberCancelled):
                fiber.join()
            release.set()
            assert offload(lambda: 5) == 5

        run_apart(ReadinessEngine(), None, main, (), {})

    def test_one_that_has_not_begun_never_begins(self) -> None:
        release, began = threading.Event(), threading.Event()
        log: list[str] = []

        def first() -> None:
            began.set()
            release.wait()

        def main() -> None:
            engine: Any = current().kernel.engine
            engine._threads.close()
            engine._threads = Threads(engine._finish, threads_max=1)
            holder = spawn(offload, first)
            waiting = spawn(offload, log.append, "no")
            turns()
            began.wait()
            waiting.cancel()
            turns()
            assert waiting.done
            release.set()
            holder.join()
            offload(log.append, "yes")

        run_apart(ReadinessEngine(), None, main, (), {})
        assert log == ["yes"]

    def test_in_the_simulator(self) -> None:
        log: list[str] = []

        def main() -> None:
            fiber = spawn(offload, log.append, "no")
            yield_()
            fiber.cancel()
            sleep(1)

        simulate(main)
        assert log == []

    def test_a_deadline(self) -> None:
        release = threading.Event()

        def main() -> None:
            try:
                with move_on_after(0) as deadline:
                    offload(release.wait)
                assert deadline.expired
            finally:
                release.set()

        run_apart(ReadinessEngine(), None, main, (), {})


def test_threads_are_bounded() -> None:
    """All of THREADS_MAX are used, and never one more."""
    together = threading.Barrier(THREADS_MAX)
    guard = threading.Lock()
    running = 0
    most = 0

    def call() -> None:
        nonlocal running, most
        with guard:
            running += 1
            most = max(most, running)
        together.wait()
        with guard:
            running -= 1

    def main() -> None:
        gather(*[lambda: offload(call)] * (2 * THREADS_MAX))

    run_apart(ReadinessEngine(), None, main, (), {})
    assert most == THREADS_MAX


def test_helpers_end_with_the_kernel() -> None:
    def main() -> None:
        for _ in range(20):
            offload(int)

    before = set(threading.enumerate())
    run_apart(ReadinessEngine(), None, main, (), {})
    for thread in set(threading.enumerate()) - before:
        thread.join()  # at once: they are told when the kernel is closed
