"""Wards: the zygote looks after what is shared, from when it is told until nobody has it."""

import errno
import os
import pickle
import select
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from computicle.engine.packets import Packet
from computicle.engine.pipes import PipeEnd, pipe_pair
from computicle.work.heap import Heap
from computicle.work.layout import BASE
from computicle.work.queue import WorkQueue
from computicle.work.queue_keeper import QueueWard
from computicle.work.transit import LOAN
from computicle.worlds.launcher import launcher
from computicle.worlds.places import Places
from computicle.worlds.wards import Ward, Wards, catching_up, giving, keeping
from tests.descriptors import open_descriptors, settled_descriptors

log: list[tuple[Any, ...]] = []


class Logged(Ward):
    """One that writes down what it is told."""

    def __init__(self, uid: bytes, given: Any, descriptors: Sequence[int], wards: Wards) -> None:
        super().__init__(uid, given, wards)
        self._ends = [PipeEnd(descriptor) for descriptor in descriptors]
        log.append(("kept", uid, given))

    def members(self) -> dict[int, int]:
        return dict(self.given)

    def requeue(self, place: int) -> None:
        log.append(("requeue", self.uid, place))

    def sweep(self, place: int) -> None:
        log.append(("sweep", self.uid, place))
        if place == 666:
            raise RuntimeError("a fault in a ward")

    def rung(self) -> None:
        log.append(("rung", self.uid))

    def take(self, what: bytes, descriptors: Sequence[int]) -> None:
        log.append(("take", self.uid, what, len(descriptors)))
        super().take(what, descriptors)

    def close(self) -> None:
        log.append(("close", self.uid))
        for end in self._ends:
            end.close()


class Zygote:
    """As much of one as wards need."""

    def __init__(self) -> None:
        self.handlers: dict[int, Callable[[], None]] = {}
        self.places = Places()
        self.wards = Wards(self.places, self.handlers.__setitem__, self.handlers.__delitem__)

    def keep(self, uid: bytes, members: dict[int, int] | None = None) -> Any:
        """The bell of a new ward."""
        bell, _reading = pipe_pair()
        name = f"{__name__}:Logged"
        packet = Packet(keeping(uid, name, members or {}), (os.dup(bell.number), os.memfd_create("shared")))
        self.wards.obey(packet.data, packet.descriptors)
        self.wards.obey(catching_up([uid]), ())
        return bell

    def obey_keeping(self, shared: Any) -> None:
        """As a launcher has it keep something."""
        order, numbers = shared.keeping()
        self.wards.obey(order, [os.dup(number) for number in numbers])

    def look(self) -> None:
        ready = select.poll()
        for descriptor in self.handlers:
            ready.register(descriptor, select.POLLIN)
        for descriptor, _events in ready.poll(0):
            self.handlers[descriptor]()


@pytest.fixture
def zygote() -> Iterator[Zygote]:
    log.clear()
    zygote = Zygote()
    yield zygote
    zygote.look()  # the tests have dropped their bells
    assert not zygote.handlers


def test_it_is_rung_until_nobody_has_its_bell(zygote: Zygote) -> None:
    before = settled_descriptors()
    bell = zygote.keep(b"a")
    other = os.dup(bell.number)
    zygote.look()
    bell.write(b"one")
    bell.write(b"two")
    zygote.look()
    bell.close()
    zygote.look()
    os.write(other, b"three")
    os.close(other)
    zygote.look()
    zygote.look()
    assert log == [
        ("kept", b"a", {}),
        ("rung", b"a"),
        ("rung", b"a"),
        ("rung", b"a"),
        ("close", b"a"),
    ]
    assert zygote.wards.get(b"a") is None
    assert open_descriptors() == before


def test_all_take_back_before_any_sweeps(zygote: Zygote) -> None:
    bells = [zygote.keep(b"a"), zygote.keep(b"b")]
    log.clear()
    zygote.wards.died(7)
    assert log == [("requeue", b"a", 7), ("requeue", b"b", 7), ("sweep", b"a", 7), ("sweep", b"b", 7)]
    del bells


def test_who_had_died_before_it_was_kept(zygote: Zygote) -> None:
    alive = zygote.places.take()
    bell = zygote.keep(b"a", {1: os.getpid(), alive: os.getpid(), 9: 2**22 + 1})
    assert log[1:] == [("requeue", b"a", 9), ("sweep", b"a", 9), ("rung", b"a")]
    del bell


def test_one_that_fails_is_dropped_and_the_others_go_on(zygote: Zygote, capsys: pytest.CaptureFixture[str]) -> None:
    bells = [zygote.keep(b"a"), zygote.keep(b"b")]
    zygote.wards.died(666)
    assert ("sweep", b"b", 666) in log
    assert len(list(zygote.wards)) == 0
    assert "a fault in a ward" in capsys.readouterr().err
    del bells


def test_one_that_fails_is_told_nothing_more(
    zygote: Zygote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bells = [zygote.keep(b"a"), zygote.keep(b"b")]

    def fail(ward: Logged, place: int) -> None:
        if ward.uid == b"a":
            raise RuntimeError("a fault in a ward")
        log.append(("requeue", ward.uid, place))

    monkeypatch.setattr(Logged, "requeue", fail)
    log.clear()
    zygote.wards.died(7)
    assert log == [("close", b"a"), ("requeue", b"b", 7), ("sweep", b"b", 7)]
    assert "a fault in a ward" in capsys.readouterr().err
    del bells


def test_one_that_cannot_say_who_uses_it(
    zygote: Zygote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bells = [zygote.keep(b"a", {9: 2**22 + 1}), zygote.keep(b"b", {9: 2**22 + 1})]

    def fail(ward: Logged) -> dict[int, int]:
        if ward.uid == b"a":
            raise RuntimeError("a fault in a ward")
        return dict(ward.given)

    monkeypatch.setattr(Logged, "members", fail)
    log.clear()
    zygote.wards.obey(catching_up([b"a", b"b"]), ())
    assert log == [("close", b"a"), ("requeue", b"b", 9), ("sweep", b"b", 9), ("rung", b"b")]
    assert "a fault in a ward" in capsys.readouterr().err
    del bells


def test_with_a_queue_that_fails_its_heap_is_dropped_and_what_lies_there_stays(
    zygote: Zygote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    queue, other = WorkQueue(5), Heap(1 << 20)
    queue.enqueue("x" * 1000)
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "keep", zygote.obey_keeping)
        for shared in (queue.heap, queue._core, other):
            shared.share()

    def fail(ward: QueueWard, place: int) -> None:
        raise RuntimeError("a fault in a ward")

    monkeypatch.setattr(QueueWard, "requeue", fail)
    zygote.wards.died(7)
    assert [ward.uid for ward in zygote.wards] == [other.uid]
    assert "a fault in a ward" in capsys.readouterr().err
    with queue.dequeue(timeout=0) as item:
        assert item.value == "x" * 1000
    assert queue.heap.stats().blocks == 0
    queue.heap.check()


def test_what_it_is_given(zygote: Zygote) -> None:
    bell = zygote.keep(b"a")
    order = giving(b"a", b"what")
    zygote.wards.obey(order, (os.memfd_create("one"), os.memfd_create("two")))
    assert log[-1] == ("take", b"a", b"what", 2)
    before = settled_descriptors()
    zygote.wards.obey(giving(b"unknown", b"what"), (os.memfd_create("one"),))
    assert open_descriptors() == before
    del bell


def test_kept_twice_is_once(zygote: Zygote) -> None:
    bell = zygote.keep(b"a")
    before = settled_descriptors()
    again = zygote.keep(b"a")
    again.close()
    assert open_descriptors() == before
    assert [entry[0] for entry in log] == ["kept", "rung", "rung"]
    del bell


def test_one_that_cannot_be_kept(zygote: Zygote, capsys: pytest.CaptureFixture[str]) -> None:
    bell, reading = pipe_pair()
    before = settled_descriptors()
    order = keeping(b"a", "computicle.worlds.nowhere:Ward", None)
    zygote.wards.obey(order, (os.dup(bell.number), os.memfd_create("shared")))
    assert "nowhere" in capsys.readouterr().err
    assert open_descriptors() == before
    assert pickle.loads(order[1:])[0] == b"a"
    del reading


def test_one_whose_bell_cannot_be_opened(
    zygote: Zygote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_args: Any) -> int:
        raise OSError(errno.EMFILE, "no descriptors left")

    bell = zygote.keep(b"a")
    before = settled_descriptors()
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse)
        zygote.keep(b"b").close()
    assert open_descriptors() == before
    assert zygote.wards.get(b"b") is None
    assert "no descriptors left" in capsys.readouterr().err
    del bell


def test_one_that_fails_as_it_is_made(zygote: Zygote, capsys: pytest.CaptureFixture[str]) -> None:
    bell, reading = pipe_pair()
    before = settled_descriptors()
    no_heap = os.memfd_create("shared")
    os.ftruncate(no_heap, BASE)
    order = keeping(b"a", "computicle.work.heap_keeper:HeapWard", None)
    zygote.wards.obey(order, (os.dup(bell.number), no_heap, os.dup(bell.number)))
    assert "this is no heap" in capsys.readouterr().err
    assert open_descriptors() == before
    del reading


def test_a_leash_that_fails_drops_its_heap_and_no_more(
    zygote: Zygote, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    heap = Heap(1 << 20)
    with monkeypatch.context() as patch:
        patch.setattr(launcher, "keep", zygote.obey_keeping)
        heap.share()
    leash, theirs = pipe_pair()
    zygote.wards.obey(giving(heap.uid, LOAN.pack(0, 5)), (os.dup(theirs.number),))  # where no block can be
    leash.close()
    zygote.look()
    assert zygote.wards.get(heap.uid) is None
    assert "this lies in no arena" in capsys.readouterr().err


def test_those_that_come_from_another_zygote_are_all_there_before_any_is_seen_to(zygote: Zygote) -> None:
    gone = {9: 2**22 + 1}
    bells = []
    for uid in (b"a", b"b"):
        bell, _reading = pipe_pair()
        bells.append(bell)
        order = keeping(uid, f"{__name__}:Logged", gone)
        zygote.wards.obey(order, (os.dup(bell.number), os.memfd_create("shared")))
    zygote.wards.obey(catching_up([b"a", b"b", b"unknown"]), ())
    assert [entry[:2] for entry in log] == [
        ("kept", b"a"),
        ("kept", b"b"),
        ("requeue", b"a"),
        ("requeue", b"b"),
        ("sweep", b"a"),
        ("sweep", b"b"),
        ("rung", b"a"),
        ("rung", b"b"),
    ]
    del bells, bell
