"""Kernels of other threads, flows that are nobody's fibers, and the ends of threads."""

import _thread
import asyncio
import logging
import os
import threading
import weakref
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import greenlet
import pytest

from computicle import *
from tests.contract.helpers import without_the_collector
from tests.descriptors import open_descriptors, settled_descriptors
from tests.process.children import ended, linux_only


def in_thread(fn: Callable[[], Any]) -> Any:
    """Call `fn` in a thread of its own; its value or its error."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(fn).result()


def test_each_thread_has_a_kernel_of_its_own() -> None:
    def main() -> list[str]:
        spawn(sleep, 0.001, name="mine")
        return [fiber.name for fiber in fibers()]

    def outer() -> tuple[list[str] | None, int]:
        spawn(sleep, 0.001)
        return in_thread(lambda: run(main)), len(fibers())

    names, count = run(outer) or (None, 0)
    assert names is not None
    assert names[-1] == "mine"
    assert (len(names), count) == (2, 2)


def leave_fibers(cleaned_up: list[Any]) -> None:
    """Leave fibers behind that wait, that have not begun, and that clean up with waits."""

    def waiting() -> None:
        try:
            sleep(3600)
        finally:
            with shield():
                sleep(0.0001)
            cleaned_up.append(threading.current_thread())

    spawn(waiting)
    spawn(waiting)
    yield_()
    spawn(waiting)


def test_fibers_clean_up_when_their_thread_ends() -> None:
    cleaned_up: list[Any] = []
    thread = threading.Thread(target=leave_fibers, args=(cleaned_up,))
    thread.start()
    thread.join()
    assert cleaned_up == [thread, thread]  # the thread is still a whole one then


def test_fibers_clean_up_when_their_thread_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    cleaned_up: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", lambda _args: cleaned_up.append("hook"))

    def work() -> None:
        leave_fibers(cleaned_up)
        raise ValueError

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert cleaned_up == ["hook", thread, thread]


def test_fibers_clean_up_when_a_pool_ends() -> None:
    cleaned_up: list[Any] = []
    with ThreadPoolExecutor(1) as pool:
        pool.submit(leave_fibers, cleaned_up).result()
        assert cleaned_up == []
    assert len(cleaned_up) == 2


def test_fibers_clean_up_when_a_thread_ends_that_threading_did_not_make() -> None:
    cleaned_up = threading.Event()

    def waiting() -> None:
        try:
            sleep(3600)
        finally:
            with shield():
                sleep(0.0001)
            cleaned_up.set()

    def work() -> None:
        spawn(waiting)
        yield_()

    _thread.start_new_thread(work, ())
    assert cleaned_up.wait(30)


def test_a_thread_that_ends_inside_a_scope_ends_its_fibers_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    cleaned_up: list[Any] = []
    kept: list[Generator[None]] = []

    def inside() -> Generator[None]:
        with move_on_after(3600), scope():
            leave_fibers(cleaned_up)
            yield

    def work() -> None:
        kept.append(inside())
        next(kept[0])  # nobody resumes it

    thread = threading.Thread(target=work)
    with caplog.at_level(logging.ERROR, "computicle"):
        thread.start()
        thread.join()
    assert cleaned_up == [thread, thread]
    (record,) = caplog.records
    assert record.getMessage() == "the thread's own flow has ended"
    assert record.exc_info is not None
    assert "'main' ended inside a scope in a move_on_after that it had entered and not left" in str(record.exc_info[1])
    kept[0].close()


@linux_only
def test_nothing_is_left_of_a_hundred_threads() -> None:
    in_thread(lambda: leave_fibers([]))
    before = settled_descriptors(), threading.active_count(), len(threading._active)  # type: ignore[attr-defined]
    for _ in range(100):
        thread = threading.Thread(target=leave_fibers, args=([],))
        thread.start()
        thread.join()
    after = open_descriptors(), threading.active_count(), len(threading._active)  # type: ignore[attr-defined]
    # Fewer is well: a helper thread of an earlier test may have ended meanwhile.
    assert all(left <= had for left, had in zip(after, before, strict=True)), (before, after)


def test_a_daemon_thread_does_not_disturb_the_exit() -> None:
    assert ended("""
def work():
    spawn(sleep, 3600)
    yield_()
    ready.set()
    sleep(3600)
ready = threading.Event()
threading.Thread(target=work, daemon=True).start()
ready.wait()
""") == (0, [], "")


@pytest.mark.parametrize(
    "work",
    [
        "def work():\n    spawn(busy)\n    sleep(3600)",
        "def work():\n    run(lambda: (spawn(busy), sleep(3600)))",
        "def work():\n    busy()",
    ],
)
def test_nor_does_one_whose_fibers_run_on(work: str) -> None:
    """To be cut off in a switch, as the interpreter does to daemons, would be a crash."""
    assert ended(f"""
def busy():
    ready.set()
    while True:
        yield_()
{work}
ready = threading.Event()
threading.Thread(target=work, daemon=True).start()
ready.wait()
""") == (0, [], "")


def test_nor_one_that_does_not_give_way() -> None:
    assert ended("""
def work():
    def deaf():
        ready.set()
        threading.Event().wait()
    run(deaf)
ready = threading.Event()
threading.Thread(target=work, daemon=True).start()
ready.wait()
""") == (0, [], "")


def test_nor_one_that_has_simulated_meanwhile() -> None:
    assert ended("""
from computicle.testing import simulate
def busy():
    ready.set()
    while True:
        yield_()
def work():
    spawn(busy)
    simulate(lambda: None)
    sleep(3600)
ready = threading.Event()
threading.Thread(target=work, daemon=True).start()
ready.wait()
""") == (0, [], "")


def test_it_stands_for_as_long_as_the_modules_are_torn_down() -> None:
    """The interpreter is ending by then: whoever is let go there is cut off."""
    assert ended("""
import time
from computicle.scheduler import ends
ends.STAND_S = 0.05
class Slow:
    def __del__(self, sleep=time.sleep):
        sleep(0.3)
def busy():
    ready.set()
    while True:
        yield_()
def work():
    run(lambda: (spawn(busy), sleep(3600)))
ready = threading.Event()
sys.slow = Slow()
threading.Thread(target=work, daemon=True).start()
ready.wait()
""") == (0, [], "")


def test_an_older_exit_hook_may_wait_for_a_daemon() -> None:
    """Ours has brought it to a stand before that hook comes."""
    assert ended("""
import atexit
from computicle.scheduler import ends
atexit.unregister(ends._stand_still_at_exit)
done = False
def tell_and_wait():
    global done
    done = True
    thread.join()
    say("joined")
atexit.register(tell_and_wait)
atexit.register(ends._stand_still_at_exit)
def work():
    ready.set()
    while not done:
        yield_()
ready = threading.Event()
thread = threading.Thread(target=run, args=[work], daemon=True)
thread.start()
ready.wait()
""") == (0, ["joined"], "")


def test_a_thread_is_freed_without_the_collector() -> None:
    thread = threading.Thread(target=lambda: run(yield_))
    seen = weakref.ref(thread)
    thread.start()
    thread.join()
    with without_the_collector():
        del thread
        assert seen() is None


# Words that reach for another thread.


def test_fibers_scopes_and_waiters_of_another_thread_are_refused() -> None:
    def main() -> None:
        fiber = spawn(sleep, 3600)
        channel: Channel[int] = Channel(0)
        receiver = spawn(channel.receive)
        lock = Lock()
        lock.acquire()
        spawn(lock.acquire)
        with scope() as s:
            yield_()

            def check(word: Callable[[], Any], message: str) -> None:
                with pytest.raises(RuntimeError, match=message):
                    in_thread(lambda: run(word))

            check(fiber.cancel, "lives in another thread")
            check(fiber.join, "lives in another thread")
            check(lambda: s.spawn(int), "belongs to another thread")
            check(s.cancel, "belongs to another thread")
            check(lambda: channel.send(1), "fiber of another thread")
            check(lock.release, "only the fiber that holds it")
            check(channel.close, "fiber of another thread")
            assert not channel.closed
            with pytest.raises(RuntimeError, match="lives in another thread"):
                in_thread(fiber.cancel)  # a thread without a kernel
            for region in (scope(), shield(), move_on_after(1)):
                with pytest.raises(RuntimeError, match="belongs to another thread"):
                    in_thread(region.__enter__)
        assert not fiber.done
        assert not receiver.done
        stop()

    run(main)


def test_streams_and_listeners_of_another_thread_are_refused() -> None:
    def main() -> None:
        with listen(0) as listener, connect("127.0.0.1", listener.port) as stream:

            def check(word: Callable[[], Any]) -> None:
                with pytest.raises(RuntimeError, match="belongs to another thread"):
                    in_thread(lambda: run(word))

            check(lambda: stream.recv(1))
            check(lambda: stream.readline())
            check(listener.accept)
            with pytest.raises(RuntimeError, match="belongs to another thread"):
                in_thread(lambda: stream.recv(1))

    run(main)


def test_a_finished_fiber_can_be_joined_anywhere() -> None:
    fiber = run(lambda: spawn(lambda: 42))
    assert fiber is not None
    assert fiber.join() == 42  # no kernel here any more
    assert in_thread(fiber.join) == 42
    fiber.cancel()
    assert in_thread(fiber.cancel) is None


@pytest.mark.parametrize("word", [lambda: sleep(0), lambda: spawn(int), current, lambda: signal_all("x"), stop, scope])
def test_words_are_refused_in_helper_threads(word: Callable[[], Any]) -> None:
    def main() -> None:
        with pytest.raises(RuntimeError, match="helper thread"):
            offload(word)

    run(main)


@pytest.mark.parametrize(
    "word", [lambda: sleep(0), yield_, lambda: spawn(int), current, lambda: wait_for(lambda: 1), lambda: run(int)]
)
@pytest.mark.parametrize("inside_run", [True, False])
def test_words_are_refused_in_greenlets_of_others(word: Callable[[], Any], inside_run: bool) -> None:
    def main() -> None:
        with pytest.raises(RuntimeError, match="greenlet that computicle has not made"):
            greenlet.greenlet(word).switch()

    if inside_run:
        run(main)
    else:
        main()


def test_a_fiber_may_use_greenlets_of_its_own() -> None:
    def main() -> list[int]:
        other = greenlet.greenlet(lambda: [main_flow.switch(number) for number in range(3)])
        main_flow = greenlet.getcurrent()
        found = []
        for _ in range(3):
            found.append(other.switch())
            yield_()
        return found

    assert run(lambda: gather(main, main)) == [[0, 1, 2], [0, 1, 2]]


def test_in_gevent_words_are_refused_but_in_its_main_flow() -> None:
    pytest.importorskip("gevent")
    assert ended("""
import gevent
def inside():
    try:
        sleep(0)
    except RuntimeError as error:
        say("refused")
gevent.spawn(inside).join()
sleep(0.001)
say(run(lambda: spawn(lambda: 42).join()))
""") == (0, ["refused", "42"], "")


def test_in_a_coroutine_words_work_and_hold_up_the_loop() -> None:
    seen: list[str] = []

    async def other() -> None:
        seen.append("the loop goes on")

    async def main() -> Any:
        task = asyncio.create_task(other())
        fiber = spawn(lambda: seen.append("fiber"))
        sleep(0.001)
        seen.append("slept")
        fiber.join()
        await task
        return run(lambda: spawn(lambda: 42).join())

    assert in_thread(lambda: asyncio.run(main())) == 42
    assert seen == ["fiber", "slept", "the loop goes on"]


def test_asyncio_in_the_main_thread_keeps_its_signals() -> None:
    assert ended("""
import asyncio

async def main():
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, lambda: got.set_result("asyncio"))
    got = loop.create_future()
    run(sleep, 0.001)
    os.kill(os.getpid(), signal.SIGUSR1)
    say(await got)

asyncio.run(main())
""") == (0, ["asyncio"], "")
