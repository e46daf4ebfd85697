"""Blocks in messages: they move, once, or not at all; and none that gets lost is left."""

import errno
import gc
import os
import signal
import time
from functools import partial
from typing import Any

import pytest

from computicle import *
from computicle.engine.packets import copies_of
from computicle.worlds.codec import pack, unpack
from computicle.engine.pipes import pipe_pair
from computicle.work.ledger import Ledger
from computicle.work.codes import is_in_transit
from computicle.work.space import Space
from computicle.work.transit import LOAN, Loans
from computicle.worlds.launcher import launcher
from computicle.worlds.mail import Mail
from computicle.worlds.parcel import Parcel
from computicle.worlds.places import ROOT
from tests.worlds.conftest import _nothing_is_left  # noqa: F401
from tests.worlds.helpers import claim_end

LATE_S = 20.0  # bounds a hang


def await_no_blocks(heap: Heap) -> None:
    give_up = time.monotonic() + LATE_S
    while heap.stats().blocks and time.monotonic() < give_up:
        os.sched_yield()
    assert heap.stats().blocks == 0
    heap.check()


def take_one() -> bytes:
    with receive() as block:
        return bytes(block[0:5])


def first_bytes(block: Block) -> bytes:
    with block:
        return bytes(block[0:5])


def make_one(heap: Heap) -> Block:
    block = heap.alloc(100)
    block[0:5] = b"there"
    return block


def written(heap: Heap) -> Block:
    block = heap.alloc(10)
    block[0:5] = b"hello"
    return block


def test_posting_a_block_moves_it() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        world = Computicle(take_one)
        block = written(heap)
        world.post(block)
        with pytest.raises(Moved):
            block[0]
        with pytest.raises(Moved):
            world.post(block)
        assert world.wait() == b"hello"
        await_no_blocks(heap)

    run(main)


def test_one_that_cannot_be_mapped_where_it_arrives_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        raise OSError(errno.ENOMEM, "as if there were too many mappings")

    def main() -> None:
        heap = Heap(1 << 20)
        parcel = pack(written(heap))
        copies = copies_of(parcel.descriptors)
        parcel.sent()
        with monkeypatch.context() as patches:
            patches.setattr(Heap, "wrap", refuse)
            with pytest.raises(OSError, match="too many mappings"):
                unpack(parcel.data, 0, copies)
        assert heap.stats().blocks == 0

    run(main)


def test_so_does_an_argument_and_a_global_and_an_answer() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        assert Computicle(first_bytes, written(heap)).wait() == b"hello"
        with Computicle(stay=True) as world:
            assert world.call(first_bytes, written(heap)) == b"hello"
            world["block"] = written(heap)
            taken = world["block"]
            assert first_bytes(taken) == b"hello"
            assert first_bytes(world.call(make_one, heap)) == b"there"
        await_no_blocks(heap)

    run(main)


def test_several_in_one_message() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        with Computicle(stay=True) as world:
            sent = {"one": written(heap), "more": [written(heap) for _ in range(5)]}
            assert world.call(count_bytes, sent) == 60
        await_no_blocks(heap)

    run(main)


def count_bytes(blocks: dict[str, Any]) -> int:
    found = [blocks["one"], *blocks["more"]]
    total = sum(map(len, found))
    for block in found:
        block.free()
    return total


def test_one_that_cannot_leave_is_still_yours() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        block = written(heap)
        dead = Computicle(int)
        dead.wait()
        with Computicle(stay=True) as world:
            with pytest.raises(ComputicleDied):
                dead.post(block)
            with pytest.raises(TypeError, match="generator"):
                world.post([block, (each for each in "")])
            with pytest.raises(TypeError, match="generator"):
                world.post([lambda: 1, block, (each for each in "")])
            view = memoryview(block)
            with pytest.raises(BufferError):
                world.post([block])
            del view
            assert bytes(block[0:5]) == b"hello"
            assert world.call(first_bytes, block) == b"hello"
        await_no_blocks(heap)

    run(main)


def test_a_full_mailbox_and_a_timeout() -> None:
    def main() -> None:
        heap = Heap(1 << 24)
        world = Computicle(stay=True, name="never receives")
        sent = 0
        with pytest.raises(TimeoutError):
            while True:
                block = written(heap)
                with fail_after(0.1):
                    world.post(block)
                sent += 1
        assert bytes(block[0:5]) == b"hello"
        block.free()
        assert heap.stats().blocks == sent
        world.kill()
        await_no_blocks(heap)

    run(main)


def test_blocks_lost_with_whoever_was_to_get_them() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        world = Computicle(stay=True)
        for _ in range(5):
            world.post(written(heap))
        assert heap.stats().blocks == 5
        world.kill()
        await_no_blocks(heap)

    run(main)


def test_blocks_of_a_sender_that_dies() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        me = self_()
        sender = Computicle(send_and_stay, heap, me)
        with receive(timeout=LATE_S) as block:
            sender.kill()
            with pytest.raises(ComputicleDied):
                sender.wait()
            assert bytes(block[0:5]) == b"there"
            assert heap.stats().blocks == 1
        await_no_blocks(heap)

    run(main)


def send_and_stay(heap: Heap, to: Any) -> None:
    to.post(make_one(heap))
    sleep(1000)


def test_it_is_not_what_a_computicle_comes_to() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        world = Computicle(make_one, heap)
        with pytest.raises(TypeError, match="several may ask for that"):
            world.wait()
        await_no_blocks(heap)

    run(main)


def test_what_came_out_of_a_queue_may_be_posted_on() -> None:
    def main() -> None:
        queue = WorkQueue(5)
        queue.enqueue(written(queue.heap))
        item = queue.dequeue()
        assert Computicle(first_bytes, item.value).wait() == b"hello"
        assert not item.leased
        assert queue.stats().leased == 0
        await_no_blocks(queue.heap)

    run(main)


def test_it_names_where_it_was_allocated() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        with Computicle(stay=True) as world:
            block = world.call(make_one, heap)
            with pytest.warns(ResourceWarning, match="test_transit.py"):
                del block
                gc.collect()
        await_no_blocks(heap)

    run(main)


def test_no_two_departures_are_numbered_alike() -> None:
    heap = Heap(1 << 20)
    here = Ledger(Space(heap._memory), ROOT, None)
    there = Ledger(Space(heap._memory), ROOT + 1, None)
    found = [ledger.depart() for ledger in (here, there) for _ in range(3)]
    found += [Ledger(Space(heap._memory), ROOT + 1, os.getpid()).depart() for _ in range(3)]  # who is there next
    assert len(set(found)) == 9
    assert all(map(is_in_transit, found))


def test_a_leash_ends_when_nobody_has_it_and_not_before() -> None:
    handlers: dict[int, Any] = {}
    lost = []
    loans = Loans(handlers.__setitem__, handlers.__delitem__, lambda *loan: lost.append(loan))
    first, second = (pipe_pair() for _ in range(2))
    for _writing, reading in (first, second):
        loans.add(LOAN.pack(64, 5), os.dup(reading.number))  # twice the same: the first one has arrived long since
    (handler,) = handlers.values()
    handler()  # as for an event of another one's descriptor
    first[0].close()
    assert (lost, len(handlers)) == ([], 1)
    second[0].close()
    handler()
    assert (lost, handlers) == ([(64, 5)], {})
    loans.close()


def set_out(heap: Heap, to: Computicle, me: Computicle) -> None:
    me.post("ready")
    receive()
    to.post(written(heap))
    receive()


def hand_on(to: Computicle, me: Computicle) -> None:
    me.post("ready")
    to.post(receive())
    me.post("gone")
    receive()


def test_one_that_was_handed_on_before_the_zygote_had_heard_that_it_arrived() -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        last = Computicle(stay=True)
        second = Computicle(hand_on, last, self_())
        first = Computicle(set_out, heap, second, self_())
        assert [receive(timeout=LATE_S), receive(timeout=LATE_S)] == ["ready"] * 2
        assert launcher._process is not None
        os.kill(launcher._process.pid, signal.SIGSTOP)
        try:
            first.post("go")
            assert receive(timeout=LATE_S) == "gone"
        finally:
            os.kill(launcher._process.pid, signal.SIGCONT)
        for _ in range(2):
            Computicle(int).wait()  # by then it has heard everything
        assert heap.stats().blocks == 1
        assert last.call(take_one) == b"hello"
        for world in (first, second):
            world.post("end")
            world.wait()
        await_no_blocks(heap)

    run(main)


def die_posting(queue: WorkQueue, to: Computicle, *, sent: bool) -> None:
    """Take a block, and be killed right before it is posted, or right after."""
    item = queue.dequeue()
    send = Mail.send

    def send_and_die(mail: Mail, kind: int, parcel: Parcel) -> None:
        if sent:
            send(mail, kind, parcel._replace(moving=()))
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(Mail, "send", send_and_die)
    to.post(item.value)


@pytest.mark.parametrize("sent", [False, True])
def test_one_that_dies_while_it_posts_what_it_had_taken(sent: bool) -> None:
    def main() -> None:
        queue = WorkQueue(5)
        for _ in range(10):
            queue.enqueue(written(queue.heap))
            world = Computicle(partial(die_posting, sent=sent), queue, self_())
            claim_end(world, "SIGKILL").join()
            if sent:
                with receive(timeout=LATE_S) as block:
                    assert bytes(block[0:5]) == b"hello"
            else:
                with queue.dequeue(timeout=LATE_S) as item:
                    assert (item.tries, bytes(item.value[0:5])) == (1, b"hello")
            assert len(queue) == queue.stats().leased == 0
            await_no_blocks(queue.heap)

    run(main)
