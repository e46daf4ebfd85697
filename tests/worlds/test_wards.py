"""Wards: the zygote looks after what is shared, from when it is told until nobody has it."""

import os
import pickle
import select
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from computicle.engine.packets import Packet
from computicle.engine.pipes import pipe_pair
from computicle.worlds.places import Places
from computicle.worlds.wards import Ward, Wards, catching_up, giving, keeping
from tests.descriptors import open_descriptors, settled_descriptors

log: list[tuple[Any, ...]] = []


class Logged(Ward):
    """One that writes down what it is told."""

    def __init__(self, uid: bytes, given: Any, descriptors: Sequence[int], wards: Wards) -> None:
        super().__init__(uid, given, descriptors, wards)
        log.append(("kept", uid, given))

    def members(self) -> dict[int, int]:
        return dict(self.given)

    def requeue(self, place: int) -> None:
        log.append(("requeue", self.uid, place))

    def sweep(self, place: int) -> None:
        log.append(("sweep", self.uid, place))
        if place == 666:
            raise RuntimeError("a fault in a ward")

    def rung(self, data: bytes) -> None:
        log.append(("rung", self.uid, data))

    def take(self, what: bytes, descriptors: Sequence[int]) -> None:
        log.append(("take", self.uid, what, len(descriptors)))
        super().take(what, descriptors)

    def close(self) -> None:
        log.append(("close", self.uid))
        super().close()


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
        ("rung", b"a", b""),
        ("rung", b"a", b"onetwo"),
        ("rung", b"a", b"three"),
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
    assert log[1:] == [("requeue", b"a", 9), ("sweep", b"a", 9), ("rung", b"a", b"")]
    del bell


def test_one_that_fails_is_dropped_and_the_others_go_on(zygote: Zygote, capsys: pytest.CaptureFixture[str]) -> None:
    bells = [zygote.keep(b"a"), zygote.keep(b"b")]
    zygote.wards.died(666)
    assert ("sweep", b"b", 666) in log
    assert len(list(zygote.wards)) == 0
    assert "a fault in a ward" in capsys.readouterr().err
    del bells


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
