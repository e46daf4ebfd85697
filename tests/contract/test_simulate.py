# mypy: disable-error-code="func-returns-value"
"""simulate: the same seed, the same run; another seed, another one."""

import itertools
import random
import socket
from functools import partial
from typing import Any

import pytest

from computicle import *
from computicle.testing import Network, simulate
from tests.contract.helpers import fail, raises_group, turns


def program(log: list[Any]) -> None:
    """Something of everything that is left to chance."""

    def handler(stream: Stream) -> None:
        for line in stream:
            log.append(("server", current().kernel.now(), line))
            stream.sendall(line * 3)

    def client(number: int, port: int) -> None:
        with connect("127.0.0.1", port) as stream:
            for _ in range(3):
                stream.sendall(b"%d\n" % number)
                for _ in range(3):
                    log.append(("client", number, stream.readline()))
                log.append(offload(lambda: number))

    with scope() as s:
        listener = listen(0)
        s.spawn(serve, handler, listener)
        for number in range(3):
            delay(partial(log.append, ("delay", number)), 1)
        gather(*[lambda number=number: client(number, listener.port) for number in range(4)])
        sleep(2)
        s.cancel()


def run_of(seed: int, **options: Any) -> list[Any]:
    log: list[Any] = []
    simulate(program, log, seed=seed, **options)
    return log


@pytest.mark.parametrize("shuffle", [False, True])
def test_the_same_seed_the_same_run(shuffle: bool) -> None:
    for seed in range(5):
        assert run_of(seed, shuffle=shuffle) == run_of(seed, shuffle=shuffle)


def test_whatever_else_is_drawn_at_random() -> None:
    before = run_of(3)
    random.seed(12345)
    random.random()
    assert run_of(3) == before


@pytest.mark.parametrize("shuffle", [False, True])
def test_different_seeds_different_runs(shuffle: bool) -> None:
    assert len({str(run_of(seed, shuffle=shuffle)) for seed in range(8)}) == 8


def orders(shuffle: bool) -> set[tuple[int, ...]]:
    found: set[tuple[int, ...]] = set()
    for seed in range(120):
        log: list[int] = []
        simulate(lambda log=log: [spawn(log.append, number) for number in range(4)], seed=seed, shuffle=shuffle)
        found.add(tuple(log))
    return found


def test_ready_order_is_kept_unless_shuffled() -> None:
    assert orders(shuffle=False) == {(0, 1, 2, 3)}
    assert orders(shuffle=True) == set(itertools.permutations(range(4)))


def test_equal_deadlines_come_in_any_order() -> None:
    found: set[tuple[int, ...]] = set()
    for seed in range(60):
        log: list[int] = []
        simulate(lambda log=log: [delay(partial(log.append, n), 1) for n in range(3)], seed=seed)
        found.add(tuple(log))
    assert found == set(itertools.permutations(range(3)))


class TestNotes:
    def test_the_seed_is_told(self) -> None:
        with pytest.raises(ValueError) as caught:
            simulate(lambda: sleep(1.5) or fail(ValueError()), seed=77)
        assert caught.value.__notes__ == ["simulated with seed=77, at 1.500000 s"]

    def test_and_the_shuffling(self) -> None:
        with pytest.raises(ExceptionGroup) as caught:
            simulate(lambda: spawn(fail, ValueError()), seed=78, shuffle=True)
        assert caught.value.__notes__ == ["simulated with seed=78, shuffle=True, at 0.000000 s"]

    def test_for_deadlock_too(self) -> None:
        with pytest.raises(Deadlock) as caught:
            simulate(lambda: wait_signal("s"), seed=5)
        assert "seed=5" in caught.value.__notes__[0]


class TestNested:
    def test_in_a_simulation_and_in_a_run(self) -> None:
        def main() -> None:
            with pytest.raises(RuntimeError, match="cannot be run inside run"):
                simulate(turns)
            with pytest.raises(RuntimeError, match="nor in a fiber"):
                spawn(simulate, turns).join()
            sleep(1)

        simulate(main)
        run(main_without_sleep)

    def test_in_a_fiber_outside_run(self) -> None:
        with pytest.raises(RuntimeError, match="nor in a fiber"):
            spawn(simulate, turns).join()

    def test_beside_the_words_outside_run(self) -> None:
        """It has a kernel of its own, and disturbs nothing."""
        log: list[str] = []
        before = spawn(lambda: wait_signal("s") or log.append("woken"))
        yield_()
        assert simulate(lambda: (signal_one("s"), len(fibers()))) == (False, 1)
        assert signal_one("s")
        before.join()
        assert log == ["woken"]


def main_without_sleep() -> None:
    with pytest.raises(RuntimeError, match="cannot be run inside run"):
        simulate(turns)


class TestNetwork:
    def talk(self, network: Network, seed: int = 0) -> Any:
        def main() -> Any:
            with listen(0) as listener, scope() as s:
                s.spawn(serve, lambda stream: stream.sendall(stream.read_exactly(100_000)), listener)
                start = current().kernel.now()
                with connect("127.0.0.1", listener.port) as stream:
                    spawn(stream.sendall, b"x" * 100_000)
                    assert stream.read_exactly(100_000) == b"x" * 100_000
                s.cancel()
                return current().kernel.now() - start

        return simulate(main, network=network, seed=seed)

    def test_latency(self) -> None:
        assert self.talk(Network(latency=(0.0, 0.0))) < 1e-5
        assert self.talk(Network(latency=(1.0, 1.0))) >= 3.0

    def test_refusals(self) -> None:
        with pytest.raises(ConnectionRefusedError):
            self.talk(Network(refusals=1.0))

    def test_resets(self) -> None:
        with pytest.raises((ConnectionResetError, ExceptionGroup)):
            self.talk(Network(resets=1.0))

    def test_some_of_both(self) -> None:
        """With faults that come sometimes, some seeds go well and some do not."""
        ends: set[bool] = set()
        for seed in range(30):
            try:
                self.talk(Network(refusals=0.3, resets=0.005), seed)
                ends.add(True)
            except (OSError, ExceptionGroup):
                ends.add(False)
        assert ends == {True, False}

    def test_names(self) -> None:
        def main() -> None:
            with pytest.raises(socket.gaierror):
                connect("no.such.host", 1)
            with pytest.raises(ConnectionRefusedError):
                connect("localhost", 1)

        simulate(main)


def test_no_real_time_passes_and_no_descriptor_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("socket", "socketpair", "create_connection"):
        monkeypatch.setattr(socket, name, lambda *_: pytest.fail("a real socket"))
    run_of(1)

    def main() -> float:
        sleep(1e9)
        return current().kernel.now()

    assert simulate(main) == pytest.approx(1e9)


def test_errors_come_out_as_from_run() -> None:
    error = ValueError()
    with raises_group(error):
        simulate(lambda: spawn(fail, error))
    assert simulate(lambda a, b: a + b, 1, b=2) == 3
