"""select over the mailbox and other things; and what the main program's own mailbox does."""

import pytest

from computicle import *


def test_select_takes_from_the_mailbox_or_a_channel_and_from_one_only() -> None:
    def main() -> None:
        me = self_()
        channel: Channel[int] = Channel(5)
        me.post("message")
        assert select(me, channel) == (me, "message")
        channel.send(1)
        assert select(me, channel) == (channel, 1)
        chooser = spawn(select, me, channel)
        yield_()
        me.post("later")
        assert chooser.join() == (me, "later")
        chooser = spawn(select, me, channel)
        yield_()
        channel.send(2)
        assert chooser.join() == (channel, 2)
        me.post("not taken by the other")
        assert receive() == "not taken by the other"

    run(main)


def test_select_times_out_and_takes_nothing() -> None:
    def main() -> None:
        me = self_()
        for timeout in (0, 0.001):
            with pytest.raises(TimeoutError):
                select(me, Channel(1), timeout=timeout)
        me.post(1)
        assert receive(timeout=5) == 1

    run(main)


def test_select_and_receive_at_once() -> None:
    def main() -> None:
        me = self_()
        first = spawn(receive)
        second = spawn(select, me)
        third = spawn(receive)
        yield_()
        for number in range(3):
            me.post(number)
        assert [first.join(), second.join(), third.join()] == [0, (me, 1), 2]

    run(main)


def test_select_in_a_world() -> None:
    def body(channel_value: int) -> object:
        channel: Channel[int] = Channel(1)
        channel.send(channel_value)
        source, value = select(channel, self_())
        assert source is channel
        source, message = select(channel, self_())
        assert source is self_()
        return value, message

    def main() -> object:
        computicle = Computicle(body, 1)
        computicle.post(2)
        return computicle.wait()

    assert run(main) == (1, 2)


def test_only_ones_own_handle_is_a_source() -> None:
    def main() -> None:
        with Computicle() as other:
            with pytest.raises(TypeError, match="another one"):
                select(other, timeout=0)

    run(main)


def test_select_beside_on_message_is_refused_as_receive_is() -> None:
    def main() -> None:
        with Computicle(on_message=print) as computicle:
            with pytest.raises(RuntimeError, match="on_message"):
                computicle.exec("from computicle import *\nselect(self_(), timeout=0)").result()

    run(main)


def test_a_mailbox_belongs_to_one_run() -> None:
    kept: list[Computicle] = []

    def first() -> None:
        kept.append(self_())
        kept[0].post("never taken")

    def second() -> None:
        with pytest.raises(TimeoutError):
            receive(timeout=0)
        with pytest.raises(ComputicleDied, match="run"):
            kept[0].post("too late")
        with pytest.raises(ComputicleDied, match="run"):
            kept[0].wait()
        assert not kept[0].alive
        assert self_() is not kept[0]

    run(first)
    run(second)
    kept.clear()


def test_the_main_program_takes_calls() -> None:
    def ask(main_program: Computicle) -> object:
        return main_program.call(abs, -3)

    def main() -> object:
        return Computicle(ask, self_()).wait()

    assert run(main) == 3


def test_receiving_outside_of_run() -> None:
    me = self_()
    me.post(1)
    assert receive() == 1
    assert self_() is me
