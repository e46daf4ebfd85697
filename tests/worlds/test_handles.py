"""Handles travel, and work where they arrive."""

import copy
import os
import pickle
import threading
from typing import Any, NamedTuple

import pytest

from computicle import *
from computicle.engine.pipes import PipeEnd
from computicle.worlds.mail import MailEnds
from tests.worlds.conftest import await_gone
from tests.worlds.helpers import is_there


class Box(NamedTuple):
    content: Any


def post_into(where: Any, message: Any) -> str:
    handle = where
    while not isinstance(handle, Computicle):
        handle = handle["deep"][0].content if isinstance(handle, dict) else handle()
    handle.post(message)
    return handle.name


def test_by_argument_nested_and_in_a_closure() -> None:
    def main() -> None:
        me = self_()
        Computicle(post_into, me, 1).wait()
        Computicle(post_into, {"deep": [Box(me)]}, 2).wait()
        Computicle(post_into, lambda: me, 3).wait()
        Computicle("handle.post(4)", handle=me).wait()
        Computicle("handle.post(5)", globals={"handle": me}).wait()
        assert [receive() for _ in range(5)] == [1, 2, 3, 4, 5]

    run(main)


def test_by_message_call_global_and_value() -> None:
    def pass_on() -> Computicle:
        return receive()  # type: ignore[no-any-return]

    def main() -> None:
        with Computicle() as service:
            passer = Computicle(pass_on)
            passer.post(service)
            assert passer.wait() is service
            service["itself"] = service
            assert service["itself"] is service
            assert service.call(lambda it: it, [service])[0] is service
            assert service.exec("itself").result() is service
            assert service.exec("from computicle import *\nself_() is itself").result() is True

    run(main)


def test_the_receiver_talks_directly() -> None:
    def use(other: Computicle) -> Any:
        other["x"] = 5
        other.post("message")
        return other.call(abs, -7), other["x"], other.exec("x + 1").result(), other.pid, other.name, other.alive

    def main() -> None:
        with Computicle("from computicle import *\ngot = receive()", stay=True, name="target") as target:
            used = Computicle(use, target).wait()
            assert used == (7, 5, 6, target.pid, "target", True)
            assert target["got"] == "message"

    run(main)


def test_the_receiver_needs_nobody_between() -> None:
    def use(other: Computicle) -> Any:
        other.post("message")
        return other.call(abs, -7), other["got"]

    def main() -> None:
        with Computicle("from computicle import *\ngot = receive()", stay=True) as target:
            user = Computicle(use, target)
            await_gone(lambda: is_there(user.pid))  # all the while this one does not give way
            assert user.wait() == (7, "message")

    run(main)


def test_a_handle_that_was_passed_along_can_be_waited_for_quit_and_killed() -> None:
    def see(other: Computicle, word: str) -> Any:
        if word != "wait":
            getattr(other, word)()
        try:
            return other.wait()
        except ComputicleDied as died:
            return died.how

    def main() -> None:
        waited = Computicle(receive)
        watcher = Computicle(see, waited, "wait")
        second = Computicle(see, waited, "wait")
        waited.post("value")
        assert (watcher.wait(), second.wait(), waited.wait()) == ("value", "value", "value")
        quitter = Computicle("5", stay=True)
        assert Computicle(see, quitter, "quit").wait() == 5
        assert quitter.wait() == 5
        assert Computicle(see, Computicle("5"), "wait").wait() == 5

    run(main)


def test_a_kill_by_somebody_else_is_a_death() -> None:
    def main() -> None:
        victim = Computicle()
        Computicle(Computicle.kill, victim)
        with pytest.raises(ComputicleDied, match="killed"):
            victim.wait()

    run(main)


def test_an_error_is_told_to_all_who_wait_everywhere() -> None:
    def see(other: Computicle) -> str:
        with pytest.raises(LookupError) as caught:
            other.wait()
        return str(caught.value.__cause__)

    def fail() -> None:
        receive()
        raise LookupError("why")

    def main() -> None:
        failing = Computicle(fail)
        watchers = [Computicle(see, failing) for _ in range(3)]
        failing.post("go")
        with pytest.raises(LookupError):
            failing.wait()
        for watcher in watchers:
            assert "in fail" in watcher.wait()

    run(main)


def test_a_handle_after_its_worlds_death() -> None:
    def look(dead: Computicle) -> Any:
        words = [lambda: dead.post(1), lambda: dead.call(abs, 1), lambda: dead["x"], dead.wait]
        for word in words:
            with pytest.raises(ComputicleDied):
                word()  # type: ignore[no-untyped-call]
        return dead.alive

    def main() -> None:
        victim = Computicle()
        victim.kill()
        with pytest.raises(ComputicleDied):
            victim.wait()
        assert Computicle(look, victim).wait() is False
        ended = Computicle("'value'")
        assert ended.wait() == "value"
        assert Computicle(Computicle.wait, ended).wait() == "value"
        with pytest.raises(ComputicleDied, match="has ended"):
            ended.post(1)

    run(main)


def test_posts_to_one_that_failed_say_so() -> None:
    def main() -> None:
        failed = Computicle("1 / 0")
        with pytest.raises(ZeroDivisionError):
            failed.wait()
        for word in (failed.post, failed.exec, failed.call):
            with pytest.raises(ComputicleDied, match="ZeroDivisionError"):
                word("1")

    run(main)


def test_many_handles_at_once() -> None:
    def main() -> None:
        with Computicle() as service:
            others = [Computicle() for _ in range(5)]
            assert service.call(lambda *them: len({it.pid for it in them}), *others) == 5
            service.call(len, others * 100)
            for other in others:
                other.quit()

    run(main)


def test_too_many_handles_for_one_message_are_refused_in_words() -> None:
    def main() -> None:
        handles = []
        for _ in range(90):
            handle: Any = Computicle.__new__(Computicle)
            handles.append(handle)
        with Computicle() as service:
            mine = self_()
            for handle in handles:
                mail = MailEnds(PipeEnd(os.dup(mine._mail.ends.pipe.fileno())), mine._mail.ends.beside.copy())
                handle._attach(id(handle).to_bytes(8), "it", 1.0, mail, mine._lane.sock.copy(), mine.obituary.copy())
            with pytest.raises(TypeError, match="too much in one message"):
                service.call(len, handles)
            assert service.call(len, handles[:60]) == 60

    run(main)


def test_a_handle_cannot_be_copied_or_pickled() -> None:
    def main() -> None:
        me = self_()
        for attempt in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises(TypeError, match="a Computicle cannot be copied or pickled: pass it to a computicle by"):
                attempt(me)

    run(main)


def test_a_handle_in_another_thread_of_the_same_process() -> None:
    def main() -> None:
        with Computicle("7", stay=True) as computicle:
            seen: list[Any] = []

            def elsewhere() -> None:
                def inner() -> None:
                    seen.append(computicle.call(abs, -1))
                    seen.append(computicle.exec("2").result())
                    computicle.quit()
                    seen.append(computicle.wait())

                run(inner)

            thread = threading.Thread(target=elsewhere)
            thread.start()
            offload(thread.join)
            assert seen == [1, 2, 7]

    run(main)
