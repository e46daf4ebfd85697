"""Messages: what they may be, and in which order they arrive."""

import mmap
import os
import pickle
import resource
import threading
from array import array
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from computicle import *
from tests.worlds.helpers import parked_sender, state_of


def echo() -> None:
    asker = receive()
    while True:
        asker.post(receive())


def test_anything_that_can_be_pickled_arrives() -> None:
    things: list[Any] = [None, b"", "", 0, [], {}, b"x" * 100_000, "ä" * 50_000, {1: {2: [3]}}, {4, 5}, 1 << 4000]
    things += [array("d", range(5000)), bytearray(70_000), (), range(3), ..., int, len, KeyError("an error")]

    def main() -> list[Any]:
        computicle = Computicle(echo)
        computicle.post(self_())
        spawn(lambda: [computicle.post(thing) for thing in things])  # type: ignore[func-returns-value]
        answers = [receive() for _ in things]
        computicle.kill()
        return answers

    answers = run(main)
    assert [repr(answer) for answer in answers] == [repr(thing) for thing in things]  # type: ignore[union-attr]


@pytest.mark.parametrize("size", [0, 1, 45_055, 45_056, 45_057, 49_151, 49_152, 49_153, 65_536, (1 << 20) - 1, 1 << 20])
@pytest.mark.parametrize("kind", [bytes, bytearray, str])
def test_sizes_about_the_limits(size: int, kind: Any) -> None:
    thing = "x" * size if kind is str else kind(b"x" * size)

    def main() -> Any:
        me = self_()
        poster = spawn(me.post, thing)
        answer = receive()
        poster.join()
        return answer

    answer = run(main)
    assert type(answer) is kind
    assert answer == thing


def test_many_buffers_in_one_message() -> None:
    pieces = [bytearray([number % 256]) * 20_000 for number in range(1100)]

    def main() -> Any:
        me = self_()
        me.post(pieces)
        return receive()

    assert run(main) == pieces


def test_what_arrives_is_the_receivers_alone() -> None:
    def change(block: bytearray) -> None:
        block[0] = 9

    block = bytearray(100_000)

    def main() -> None:
        with Computicle() as computicle:
            computicle.call(change, block)
            computicle["block"] = block
            computicle.exec("block[0] = 7").result()
            assert computicle["block"][0] == 7

    run(main)
    assert block[0] == 0


def test_the_order_of_each_sender_is_kept() -> None:
    senders, messages = 4, 500

    def send(to: Computicle, name: int) -> None:
        for number in range(messages):
            to.post((name, number, bytes(number * 300 % 100_000)))

    def main() -> None:
        me = self_()
        for name in range(2):
            Computicle(send, me, name)
            spawn(send, me, name + 2)
        last = dict.fromkeys(range(senders), -1)
        for _ in range(senders * messages):
            name, number, _filling = receive()
            assert number == last[name] + 1
            last[name] = number

    run(main)


def test_post_many_is_in_order_with_post() -> None:
    def main() -> list[int]:
        me = self_()
        me.post(0)
        me.post_many([1, 2, 3])
        me.post_many([])
        me.post(4)
        return [receive() for _ in range(5)]

    assert run(main) == [0, 1, 2, 3, 4]


def test_post_many_of_more_than_a_mailbox_holds() -> None:
    def main() -> int:
        me = self_()
        me.post_many(bytes(1000) for _ in range(5000))
        return sum(len(receive()) for _ in range(5000))

    assert run(main) == 5_000_000


@pytest.mark.parametrize("thing", [threading.Lock(), {"a": [1, threading.Lock()]}, (i for i in [1])], ids=repr)
def test_what_cannot_be_carried_is_a_type_error_at_the_call(thing: Any) -> None:
    def main() -> None:
        with Computicle() as computicle:
            for word in (computicle.post, lambda it: computicle.post_many([it]), lambda it: computicle.call(print, it)):
                with pytest.raises(TypeError, match="carried"):
                    word(thing)
            with pytest.raises(TypeError, match="carried"):
                computicle["x"] = thing
            assert computicle.exec("1").result() == 1

    run(main)


def test_the_part_that_cannot_be_carried_is_named() -> None:
    def main() -> None:
        with Computicle() as computicle:
            for word in (computicle.post, lambda it: computicle.call(print, it), lambda it: computicle.exec(print, it)):
                with pytest.raises(TypeError, match=r"lock.*\['jobs'\]\[3\]\.file"):
                    word({"jobs": [1, 2, 3, SimpleNamespace(file=threading.Lock())]})

    run(main)


def test_a_full_mailbox_parks_only_the_sender() -> None:
    def main() -> None:
        computicle = Computicle()
        sender = parked_sender(computicle, 5000)
        assert computicle.call(abs, -5) == 5  # the other lane is free
        computicle.exec("from computicle import *\nfor _ in range(5000): receive()").result()
        sender.join()
        computicle.quit()

    run(main)


def test_nobody_overtakes_who_waits_for_room() -> None:
    def main() -> None:
        me = self_()
        sent: list[int] = []

        def send() -> None:
            for number in range(5000):
                me.post((number, bytes(1000)))
                sent.append(number)

        sender = spawn(send)
        wait_for(lambda: "room for" in (sender.waits_for or ""))
        waiting = len(sent)
        for number in range(10):  # there is room now, and who waits for it has not gone on yet
            assert receive()[0] == number
        assert len(sent) == waiting
        late: list[Any] = ["plain", b"raw", ["pickled"]]
        for message in late:
            spawn(me.post, message)
        seen = [receive() for _ in range(10, 5000 + len(late))]
        assert [message[0] for message in seen if message not in late] == [*range(10, 5000)]
        assert [message for message in seen if message in late] == late
        assert seen.index("plain") > waiting - 10

    run(main)


def test_few_big_messages_are_on_the_way_at_once() -> None:
    """They lie in memory that the mailbox's room does not count."""
    sent: list[int] = []

    def send(to: Computicle) -> None:
        while True:
            to.post(pickle.PickleBuffer(bytes(1 << 20)))
            sent.append(1)

    def main() -> None:
        computicle = Computicle()
        sender = spawn(send, computicle)
        wait_for(lambda: "room for" in (sender.waits_for or ""))
        assert 0 < len(sent) < 50
        sender.cancel()
        computicle.kill()

    run(main)


def test_a_cancelled_sender_leaves_nothing_behind() -> None:
    def main() -> None:
        me = self_()
        with move_on_after(0.01) as _deadline:
            count = 0
            while True:
                me.post(count)
                count += 1
        taken = 0
        while True:
            try:
                assert receive(timeout=0) == taken
            except TimeoutError:
                break
            taken += 1
        assert taken == count

    run(main)


def test_posting_from_helper_threads_and_plain_threads() -> None:
    each = 400

    def main() -> Counter[str]:
        me = self_()

        def send(name: str) -> None:
            for number in range(each):
                me.post((name, number))

        helpers = [spawn(offload, send, f"helper {number}") for number in range(3)]
        threads = [threading.Thread(target=send, args=(f"plain {number}",)) for number in range(3)]
        for thread in threads:
            thread.start()
        seen: Counter[str] = Counter()
        for _ in range(6 * each):
            name, number = receive()
            assert number == seen[name]
            seen[name] += 1
        for helper in helpers:
            helper.join()
        for thread in threads:
            thread.join()
        return seen

    assert set(run(main).values()) == {each}  # type: ignore[union-attr]


def test_threads_that_post_to_a_full_mailbox_wait_too() -> None:
    def main() -> None:
        me = self_()
        sender = parked_sender(me, 1000)
        other = bytes(1001)  # not smaller: that might find room
        threads = [
            threading.Thread(target=me.post, args=(other,)),
            threading.Thread(target=me.post_many, args=([other],)),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive() and state_of(f"self/task/{thread.native_id}") != "S":
                os.sched_yield()
            assert thread.is_alive()
        assert sum(receive() == other for _ in range(1002)) == 2
        sender.join()
        for thread in threads:
            offload(thread.join)

    run(main)


def test_several_fibers_receive_in_the_order_in_which_they_came() -> None:
    def main() -> None:
        me = self_()
        receivers = [spawn(receive) for _ in range(5)]
        yield_()
        for number in range(5):
            me.post(number)
        assert [receiver.join() for receiver in receivers] == [0, 1, 2, 3, 4]

    run(main)


def test_a_receiver_in_line_that_gives_up_loses_no_message() -> None:
    def main() -> None:
        me = self_()
        receivers = [spawn(receive) for _ in range(4)]
        timed = spawn(receive, timeout=0.001)
        yield_()
        receivers[0].cancel()
        receivers[2].cancel()
        with pytest.raises(TimeoutError, match="a message"):
            timed.join()
        me.post("a")
        me.post("b")
        assert receivers[1].join() == "a"
        assert receivers[3].join() == "b"

    run(main)


def test_receive_with_a_timeout() -> None:
    def main() -> None:
        me = self_()
        with pytest.raises(TimeoutError):
            receive(timeout=0)
        with pytest.raises(TimeoutError):
            receive(timeout=0.001)
        me.post(1)
        assert receive(timeout=5) == 1
        with pytest.raises(TimeoutError):
            receive(timeout=0)

    run(main)


def test_a_gibibyte_beside_the_message_is_copied_by_nobody() -> None:
    """The sender writes it into memory that the receiver maps: neither has it all at once."""
    size = 1 << 30

    def most_memory() -> int:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10

    def send(to: Computicle) -> int:
        block = mmap.mmap(
            -1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        )  # zeros take no memory as they are read
        block[-1] = 7
        to.post(("big", pickle.PickleBuffer(block)))
        return most_memory()

    def take() -> tuple[int, int, int]:
        _name, block = receive()
        block[0] = 1  # it is the receiver's own
        return len(block), block[-1], most_memory()

    def main() -> None:
        receiver = Computicle(take)
        sender = Computicle(send, receiver)
        assert sender.wait() < size // 2
        *seen, most = receiver.wait()
        assert seen == [size, 7]
        assert most < size // 2

    run(main)


def test_writes_that_end_early_go_on_where_they_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """As one of more than 2 GiB does."""
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda file, pieces: writev(file, [memoryview(pieces[0])[:997]]))
    pieces = [bytes([number]) * (20_000 + number) for number in range(5)]

    def main() -> Any:
        me = self_()
        me.post([pickle.PickleBuffer(piece) for piece in pieces])
        return [bytes(piece) for piece in receive()]

    assert run(main) == pieces
