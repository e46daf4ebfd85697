"""Mail: a pipe for what is small, a socket beside it for the rest, and one order for both."""

import array
import fcntl
import os
import random
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from computicle import *
from computicle.engine.pipes import PipeEnd
from computicle.scheduler.carrier import here
from computicle.worlds.codec import pack
from computicle.worlds.mail import MESSAGE, Mail, MailEnds, mail_pair
from computicle.worlds.mailbox import Mailbox
from computicle.worlds.plain import pickle_plain
from tests.descriptors import open_descriptors, settled_descriptors

BIG = b"\xff" * 300_000
MIDDLE = ["word"] * 3_000  # larger than a record, smaller than a packet


class Way:
    """A mailbox and the way into it, in one process."""

    def __init__(self) -> None:
        self.sending, self.receiving = mail_pair()
        self.mail = Mail(self.sending, "it")
        fiber = here().fiber
        scope: Any = fiber.kernel.run_scope
        self.mailbox = Mailbox(fiber.kernel, scope, self.receiving, self.sending)

    def another(self) -> Mail:
        """As another process has it."""
        return Mail(MailEnds(PipeEnd(os.dup(self.sending.pipe.fileno())), self.sending.beside.copy()), "it")

    def post(self, message: Any, mail: Mail | None = None) -> None:
        plain = pickle_plain(message)
        if plain is None or len(plain) > 4000:
            (mail or self.mail).send(MESSAGE, pack(message))
        else:
            (mail or self.mail).send_plain(plain)

    def receive(self, timeout: float | None = None) -> Any:
        return self.mailbox.receive(here().fiber, timeout)

    @property
    def shut(self) -> bool:
        return self.receiving.pipe.number < 0

    def fill(self) -> int:
        """Leave no room in the pipe; how many messages that took."""
        count = 0
        plain = pickle_plain("x" * 1000)
        assert plain is not None
        while self.sending.pipe.write(b"\x01" + len(plain).to_bytes(2, "little") + plain):
            count += 1
        return count

    def close(self) -> None:
        if not self.shut:
            self.mailbox.shut()
            yield_()  # so whoever read for those in line has ended
        self.mail.close()
        self.mailbox.close()


@contextmanager
def a_way() -> Iterator[Way]:
    way = Way()
    try:
        yield way
    finally:
        way.close()


def run_with(body: Callable[[Way], None]) -> None:
    def main() -> None:
        with a_way() as way:
            body(way)

    run(main)


def test_small_and_large_come_out_in_one_order() -> None:
    def body(way: Way) -> None:
        messages = [1, BIG, "two", MIDDLE, (3, "three"), ["list"], BIG, 4]
        for message in messages:
            way.post(message)
        assert [way.receive() for _ in messages] == messages

    run_with(body)


def test_several_senders_of_large_ones_whose_packets_lie_before_their_records() -> None:
    def body(way: Way) -> None:
        other = way.another()
        full = way.fill()
        late = spawn(way.post, MIDDLE)
        later = spawn(way.post, [*MIDDLE, "other"], other)
        yield_()
        assert not late.done
        assert not later.done
        assert [way.receive() for _ in range(full)] == ["x" * 1000] * full
        assert sorted((way.receive(), way.receive()), key=len) == [MIDDLE, [*MIDDLE, "other"]]

    run_with(body)


def test_who_is_cancelled_after_its_packet_has_gone_leaves_nothing_for_long() -> None:
    def body(way: Way) -> None:
        for _ in range(3):
            before = settled_descriptors()
            full = way.fill()
            senders = [spawn(way.post, BIG) for _ in range(2)]
            yield_()
            for sender in senders:
                sender.cancel()
            gather(*(_ended(sender) for sender in senders))
            assert [way.receive() for _ in range(full)] == ["x" * 1000] * full
            with pytest.raises(TimeoutError):
                way.receive(0)
            way.post(BIG)
            assert way.receive() == BIG
            assert open_descriptors() == before

    run_with(body)


@pytest.mark.parametrize("dead", [False, True])
@pytest.mark.parametrize("in_thread", [False, True])
def test_packets_that_no_record_names_are_in_nobodys_way(dead: bool, in_thread: bool) -> None:
    def body(way: Way) -> None:
        full = way.fill()
        while way.sending.pipe.write(b"\x01\x05\0\x80\x04K\x01."):
            full += 1
        mail = way.another() if dead else way.mail
        before = None
        while before != (before := _room_taken(way)):
            sender = spawn(way.post, MIDDLE, mail)
            yield_()
            assert not sender.done
            sender.cancel()
            _ended(sender)()
        if dead:
            mail.close()
        late = spawn(offload, way.mail.send, MESSAGE, pack(MIDDLE)) if in_thread else spawn(way.post, MIDDLE)
        for _ in range(full):
            way.receive()
        assert way.receive(timeout=10) == MIDDLE
        late.join()
        way.mailbox.check()

    run_with(body)


def _room_taken(way: Way) -> int:
    """Bytes that lie in the socket."""
    taken = array.array("i", [0])
    fcntl.ioctl(way.sending.beside.fileno(), termios.TIOCOUTQ, taken)
    return taken[0]


def _ended(fiber: Fiber, error: type[Exception] = FiberCancelled) -> Callable[[], None]:
    def wait() -> None:
        with pytest.raises(error):
            fiber.join()

    return wait


def test_what_nobody_has_asked_for_is_closed_with_the_mailbox() -> None:
    def main() -> None:
        mine = self_()  # not to be counted
        before = settled_descriptors()
        with a_way() as way:
            other = way.another()
            way.fill()
            given_up = spawn(way.post, BIG)
            yield_()
            given_up.cancel()
            yield_()
            full = spawn(_receive_all, way)
            other.send(MESSAGE, pack(BIG))
            assert full.join() == BIG
        other.close()
        assert open_descriptors() == before
        assert mine.alive

    run(main)


def _receive_all(way: Way) -> Any:
    while (message := way.receive()) != BIG:
        pass
    return message


def test_shut_takes_all_that_was_accepted_large_ones_too() -> None:
    def body(way: Way) -> None:
        messages = [1, BIG, "two", MIDDLE]
        for message in messages:
            way.post(message)
        way.mailbox.shut()
        for message in (1, BIG, MIDDLE):
            with pytest.raises(BrokenPipeError):
                way.post(message)
        assert not way.mailbox.is_drained()
        assert [way.receive() for _ in messages] == messages
        assert not way.mailbox.is_drained()  # the last one is still being handled
        with pytest.raises(TimeoutError):
            way.receive(0)
        assert way.mailbox.is_drained()

    run_with(body)


@pytest.mark.parametrize("waiting", [1, 2, 3])
def test_shut_while_some_wait(waiting: int) -> None:
    def body(way: Way) -> None:
        receivers = [spawn(way.receive) for _ in range(waiting)]
        yield_()
        way.post("last")
        way.mailbox.shut()
        assert receivers[0].join() == "last"
        for receiver in receivers[1:]:
            assert not receiver.done
            receiver.cancel()

    run_with(body)


def test_shut_tells_who_waits_for_room() -> None:
    def body(way: Way) -> None:
        full = way.fill()
        senders = [spawn(way.post, message) for message in ("small", MIDDLE, BIG)]
        yield_()
        way.mailbox.shut()
        gather(*(_ended(sender, BrokenPipeError) for sender in senders))
        assert [way.receive() for _ in range(full)] == ["x" * 1000] * full

    run_with(body)


@pytest.mark.parametrize("seed", range(60))
def test_a_walk(seed: int) -> None:
    """Whatever is posted, put, received, given up and shut in whatever order: all arrives once, in order."""
    luck = random.Random(seed)

    def body(way: Way) -> None:
        sent: list[int] = []
        got: list[int] = []
        senders = [way.mail, way.another()]
        posting: list[Fiber] = []
        receiving: list[Fiber] = []

        def post(mail: Mail, number: int) -> None:
            filling = luck.choice(["", "x" * 3000, ["x" * 5000], b"\xff" * 70_000])
            try:
                way.post((number, filling), mail)
            except BrokenPipeError:
                sent.remove(number)

        def receive() -> None:
            while True:
                got.append(way.receive()[0])
                way.mailbox.check()

        for number in range(luck.randrange(5, 80)):
            step = luck.random()
            if step < 0.6:
                sent.append(number)
                posting.append(spawn(post, luck.choice(senders), number))
            elif step < 0.8:
                receiving.append(spawn(receive))
            elif step < 0.9 and receiving:
                receiving.pop(luck.randrange(len(receiving))).cancel()
            else:
                yield_()
            if luck.random() < 0.3:
                yield_()
            way.mailbox.check()
        receiving.append(spawn(receive))
        if luck.random() < 0.5:
            way.mailbox.shut()
        for fiber in posting:
            fiber.join()
        wait_for(lambda: len(got) == len(sent), timeout=30, every=0.001)
        way.mailbox.check()
        assert sorted(got) == sent
        for fiber in receiving:
            fiber.cancel()
        for mail in senders[1:]:
            mail.close()

    run_with(body)
