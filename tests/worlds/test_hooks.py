"""on_message, on_idle and on_exit."""

from typing import Any

import pytest

from computicle import *
from tests.worlds.helpers import Bomb


@pytest.mark.parametrize("as_option", [True, False])
def test_on_message_gets_messages_one_at_a_time(as_option: bool) -> None:
    def on_message(message: Any) -> None:
        assert not busy  # type: ignore[name-defined]
        busy.append(message)  # type: ignore[name-defined]
        yield_()
        to.post(busy.pop())  # type: ignore[name-defined]

    def main() -> list[int]:
        setting = {"busy": [], "to": self_()}
        if as_option:
            computicle = Computicle(on_message=on_message, globals=setting)
        else:
            source = "from computicle import *\ndef on_message(message):\n    yield_()\n    to.post(message)"
            computicle = Computicle(source, globals=setting)
        for number in range(50):
            computicle.post(number)
        return [receive() for _ in range(50)]

    assert run(main) == [*range(50)]


@pytest.mark.parametrize("hook", ["on_message", "on_idle", "on_exit"])
def test_a_hook_that_raises_ends_it_with_that_error(hook: str) -> None:
    def fail(*_arguments: Any) -> None:
        raise LookupError("from the hook")

    def main() -> None:
        computicle = Computicle(None, stay=True, **{hook: fail})  # type: ignore[arg-type]
        if hook == "on_exit":
            computicle.quit()
        else:
            computicle.post("anything")
        with pytest.raises(LookupError, match="from the hook") as caught:
            computicle.wait()
        assert "in fail" in str(caught.value.__cause__)

    run(main)


def test_unclaimed_it_is_the_scopes() -> None:
    def main() -> None:
        computicle = Computicle(on_message=lambda message: 1 / 0)
        computicle.post(1)
        sleep(3600)

    with pytest.raises(ExceptionGroup) as caught:
        run(main)
    assert caught.group_contains(ZeroDivisionError)


def test_on_idle_counts() -> None:
    def main() -> None:
        me = self_()
        computicle = Computicle(on_idle=me.post, idle_timeout=0.001)
        assert [receive() for _ in range(5)] == [1, 2, 3, 4, 5]
        computicle.quit()

    run(main)


def test_on_idle_of_a_script_with_its_own_timeout() -> None:
    def main() -> None:
        source = "idle_timeout = 0.002\ndef on_idle(count):\n    to.post(count)\ndef on_message(message): pass"
        Computicle(source, to=self_())
        assert [receive() for _ in range(3)] == [1, 2, 3]

    run(main)


def test_on_idle_alone_does_not_keep_it_alive() -> None:
    assert run(lambda: Computicle(abs, -1, on_idle=print).wait()) == 1


def test_on_exit_runs_once_at_each_kind_of_end() -> None:
    def main() -> None:
        me = self_()
        ended = []
        for source in ("1", "1 / 0", "import sys; sys.exit(3)", "from computicle import *; self_().quit(); sleep(9)"):
            computicle = Computicle(source, on_exit=lambda: me.post("exit"))
            try:
                computicle.wait()
            except Exception:
                pass
            ended.append(receive(timeout=0))
        assert ended == ["exit"] * 4
        with pytest.raises(TimeoutError):
            receive(timeout=0)

    run(main)


def test_receive_beside_on_message_is_refused() -> None:
    def body() -> str:
        with pytest.raises(RuntimeError) as caught:
            receive()
        return str(caught.value)

    def main() -> None:
        computicle = Computicle(body, on_message=print)
        computicle.quit()
        assert "on_message" in computicle.wait()

    run(main)


def test_hooks_may_be_defined_later_and_replaced() -> None:
    def main() -> None:
        me = self_()
        computicle = Computicle()
        computicle["to"] = me
        computicle.post(1)
        computicle.exec("def on_message(message):\n    to.post(('old', message))").result()
        assert receive() == ("old", 1)
        computicle.exec("def on_message(message):\n    to.post(('new', message))").result()
        computicle.post(2)
        assert receive() == ("new", 2)

    run(main)


def test_on_message_as_a_function_carried_by_set() -> None:
    def main() -> None:
        me = self_()
        with Computicle() as computicle:
            computicle["on_message"] = lambda message: me.post(message + 1)
            computicle.post(1)
            assert receive() == 2

    run(main)


def test_an_on_message_defined_by_code_makes_it_stay() -> None:
    def main() -> None:
        me = self_()
        computicle = Computicle(receive, grace=3600)  # it would take half of that, had it not seen both come back
        computicle["on_message"] = me.post
        computicle.post("for receive")
        computicle.post("for on_message")
        assert receive() == "for on_message"
        computicle.quit()
        assert computicle.wait() == "for receive"

    run(main)


@pytest.mark.parametrize("hook", ["on_message", "on_idle", "on_exit"])
def test_what_cannot_be_called_is_refused(hook: str) -> None:
    with pytest.raises(TypeError, match=hook):
        run(lambda: Computicle(**{hook: 3}))  # type: ignore[arg-type]


def test_a_message_that_cannot_be_rebuilt_there() -> None:
    def main() -> None:
        computicle = Computicle(on_message=print)
        computicle.post(Bomb())
        with pytest.raises(ValueError, match="not a number"):
            computicle.wait()

    run(main)


def test_a_message_that_cannot_be_rebuilt_is_the_receivers_error() -> None:
    def main() -> None:
        me = self_()
        me.post(Bomb())
        me.post(2)
        with pytest.raises(ValueError):
            receive()
        assert receive() == 2

    run(main)
