"""Lanes: the order of what goes through one, and one that is full."""

import os
from typing import Any

import pytest

from computicle import *
from computicle.engine.packets import packet_buffer, packet_pair, receive_packet
from computicle.worlds.codec import pack, unpack
from computicle.worlds.parcel import Parcel
from computicle.worlds.lane import Lane


def test_what_was_pushed_goes_before_what_is_sent_after_it() -> None:
    sending, receiving = packet_pair()
    lane = Lane(sending, "a test")
    buffer = packet_buffer()
    seen: list[bytes] = []

    def take() -> None:
        packet = receive_packet(receiving, buffer)
        assert packet is not None
        seen.append(packet.data)

    def main() -> None:
        count = 0
        while not lane._senders.waiting:  # until one finds no room
            lane.push(b"%d" % count, Parcel(b""))
            count += 1
        lane.push(b"%d" % count, Parcel(b""))
        for _ in range(count // 2):
            take()
        lane.send(b"sent", Parcel(b""))  # there is room for it now
        while seen[-1] != b"sent":
            take()
        assert seen == [*(b"%d" % number for number in range(count + 1)), b"sent"]

    run(main)
    assert not lane._senders.waiting
    lane.close()
    receiving.close()


def test_a_lane_that_is_dropped_still_sends_what_was_pushed() -> None:
    sending, receiving = packet_pair()
    lane = Lane(sending, "a test")
    buffer = packet_buffer()

    def main() -> None:
        while not lane._senders.waiting:
            lane.push(b"early", Parcel(b""))
        lane.push(b"late", Parcel(b""))
        lane.close()

    spawn(main).join()
    last = b""
    while last != b"late":
        packet = receive_packet(receiving, buffer)
        if packet is None:
            yield_()
        else:
            last = packet.data
    while sending.fileno() >= 0:
        yield_()
    receiving.close()


def test_whoever_waits_for_room_of_one_that_ends_is_told() -> None:
    sending, receiving = packet_pair()
    lane = Lane(sending, "a test")

    def fill() -> None:
        while True:
            lane.send(b"x" * 1000, Parcel(b""))

    def main() -> None:
        with pytest.raises(BrokenPipeError):
            gather(fill, end)
        assert sending.fileno() == -1

    def end() -> None:
        while not lane._senders.waiting:
            yield_()
        lane.end()  # its other end is open all the while
        sleep(3600)

    run(main)
    receiving.close()


@pytest.mark.parametrize("full", ["lane", "replies"])
def test_the_timeout_of_a_call_is_for_waiting_for_room_as_well(full: str) -> None:
    def main() -> None:
        stuck = Computicle()
        stuck.exec("import time; time.sleep(3600)")
        filling = "x" * 40_000 if full == "lane" else ""
        others = []

        def fill() -> None:
            while True:
                others.append(stuck.exec(len, filling))

        fiber = spawn(fill)
        while not str(fiber.waits_for).startswith("room for requests" if full == "lane" else "fewer requests"):
            yield_()
        with fail_after(30), pytest.raises(TimeoutError, match=r"waited 0.01 s for the reply of abs"):
            stuck.call(abs, -1, timeout=0.01)
        fiber.cancel()
        stuck.kill()

    run(main)
