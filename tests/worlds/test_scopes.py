"""A computicle belongs to the scope it was made in."""

import sys
import threading
from typing import Any

import pytest

from computicle import *
from tests.process.children import ended
from tests.worlds.helpers import linger


def test_leaving_waits_for_those_that_end_by_themselves() -> None:
    def main() -> None:
        with scope():
            computicles = [Computicle("from computicle import *\nreceive()") for _ in range(3)]
            for computicle in computicles:
                spawn(computicle.post, "go")
        assert not any(computicle.alive for computicle in computicles)

    run(main)


def test_services_are_asked_to_quit_in_reverse_order_after_the_others() -> None:
    def main() -> list[str]:
        me = self_()
        with scope():
            for name in ("a", "b"):
                Computicle(on_exit=lambda name=name: me.post(name))  # type: ignore[misc]
            worker = Computicle("from computicle import *\nreceive()", on_exit=lambda: me.post("worker"))
            Computicle(on_message=print, on_exit=lambda: me.post("c"))
            Computicle("1", stay=True, on_exit=lambda: me.post("d"))
            spawn(worker.post, "go")
        return [receive(timeout=0) for _ in range(5)]

    assert run(main) == ["worker", "d", "c", "b", "a"]


def test_services_are_there_as_long_as_fibers_of_the_scope() -> None:
    def main() -> None:
        with scope() as s:
            service = Computicle()

            def use() -> int:
                for _ in range(200):
                    yield_()
                return service.call(abs, -1)  # type: ignore[no-any-return]

            user = s.spawn(use)
        assert user.join() == 1

    run(main)


def test_a_system_exit_ends_them() -> None:
    def main() -> None:
        me = self_()
        made.append(Computicle(on_exit=lambda: me.post("on_exit")))
        spawn(sys.exit, 3)
        try:
            sleep(3600)
        finally:
            with shield():
                seen.append(receive())

    made: list[Computicle] = []
    seen: list[str] = []
    with pytest.raises(SystemExit) as caught:
        run(main)
    assert caught.value.code == 3
    assert seen == ["on_exit"]
    assert not made.pop().alive


def test_a_service_may_use_an_older_one_until_its_end() -> None:
    def main() -> None:
        me = self_()
        with scope():
            store = Computicle(
                "kept = []\ndef on_message(message): kept.append(message)\ndef on_exit(): me.post(kept)", me=me
            )
            Computicle(on_message=print, on_exit=lambda: store.post("last words"))
        assert receive(timeout=0) == ["last words"]

    run(main)


def test_cancelling_the_scope_ends_them() -> None:
    def main() -> None:
        me = self_()

        with scope() as s:
            computicles = [Computicle(linger, me), Computicle()]
            assert receive() == "begun"
            s.cancel()
        assert receive(timeout=0) == "finally"
        assert not any(computicle.alive for computicle in computicles)

    run(main)


def test_cancelled_before_it_was_ever_looked_after() -> None:
    def main() -> None:
        with scope() as s:
            computicle = Computicle("from computicle import *\nsleep(3600)")
            s.cancel()
        assert not computicle.alive

    run(main)


def test_a_deadline_around_a_scope_ends_them() -> None:
    def main() -> None:
        made: list[Computicle] = []
        seconds = 0.05
        while not made:  # until it was long enough to make one
            with move_on_after(seconds), scope():
                made.append(Computicle("from computicle import *\nsleep(3600)"))
            seconds *= 2
        assert not made[0].alive

    run(main)


def test_an_error_in_the_body_ends_them() -> None:
    def main() -> None:
        try:
            with scope():
                kept.append(Computicle("from computicle import *\nsleep(3600)"))
                raise KeyError
        except KeyError:
            pass
        assert not kept.pop().alive

    kept: list[Computicle] = []
    run(main)


def test_an_unclaimed_error_cancels_the_others() -> None:
    def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            with scope():
                others = [Computicle("from computicle import *\nsleep(3600)"), Computicle()]
                sleeper = spawn(sleep, 3600)
                Computicle("{}['no']")
        assert [type(error) for error in caught.value.exceptions] == [KeyError]
        assert sleeper.done
        assert not any(other.alive for other in others)

    run(main)


def test_an_unclaimed_death_is_an_error_too() -> None:
    def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            with scope():
                Computicle("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
        assert caught.group_contains(ComputicleDied, match="SIGSEGV")

    run(main)


def test_a_claimed_error_is_the_waiters_alone() -> None:
    def main() -> None:
        with scope():
            computicle = Computicle("1 / 0")
            with pytest.raises(ZeroDivisionError):
                computicle.wait()

    run(main)


@pytest.mark.parametrize("end", ["kill", "quit"])
def test_an_end_that_was_asked_for_is_nobodys_error(end: str) -> None:
    def main() -> None:
        with scope():
            computicle = Computicle("from computicle import *\nsleep(3600)")
            getattr(computicle, end)()

    run(main)


def test_the_with_statement_quits_and_waits() -> None:
    def main() -> None:
        me = self_()
        with Computicle(on_message=me.post) as computicle:
            computicle.post(1)
        assert not computicle.alive
        assert receive(timeout=0) == 1
        with pytest.raises(KeyError):
            with Computicle("from computicle import *\nsleep(3600)") as computicle:
                raise KeyError
        assert not computicle.alive

    run(main)


def test_waiting_is_no_deadlock_while_a_world_lives() -> None:
    def main() -> None:
        with scope():
            Computicle("from computicle import *\nsleep(0.01)")
            with pytest.raises(TimeoutError):
                Channel(1).receive(timeout=0.001)
            computicle = Computicle("1")
            waiter = spawn(computicle.wait)
            assert waiter.join() == 1

    run(main)


def test_a_deadlock_is_one_also_after_a_world_has_lived() -> None:
    program = """if True:
        def main():
            Computicle("1").wait()
            try:
                Channel(1).receive()
            except Deadlock:
                say("deadlock")
        signal.alarm(2)
        run(main)
    """
    assert ended(program).lines == ["deadlock"]


def test_a_run_in_another_thread() -> None:
    values: list[Any] = []

    def elsewhere() -> None:
        def main() -> None:
            me = self_()
            with Computicle(on_message=me.post) as service:
                service.post("hello")
                values.append(receive())
            values.append(Computicle(abs, -3).wait())

        run(main)

    def main() -> None:
        threads = [threading.Thread(target=elsewhere) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert Computicle(abs, -4).wait() == 4
        for thread in threads:
            offload(thread.join)

    run(main)
    assert sorted(values, key=str) == [3] * 4 + ["hello"] * 4


def test_words_in_helper_threads_are_refused() -> None:
    def main() -> None:
        with Computicle() as computicle:
            for word in (lambda: Computicle(), lambda: computicle.call(abs, 1), computicle.wait, receive, self_):
                with pytest.raises(RuntimeError):
                    offload(word)

    run(main)


def test_outside_of_run() -> None:
    computicle = Computicle(abs, -3)
    assert computicle.wait() == 3
    with Computicle() as service:
        assert service.call(abs, -1) == 1
    with scope():
        inner = Computicle("5")
    assert inner.wait() == 5
