"""Words that end in an error give way as well: nothing starves the others."""

from collections.abc import Callable
from typing import Any

import pytest

from computicle import *
from tests.conftest import World


def closed_channel() -> Channel[int]:
    channel: Channel[int] = Channel(1)
    channel.close()
    return channel


def closed_stream() -> Stream:
    with listen(0) as listener, connect("127.0.0.1", listener.port) as stream:
        return stream


WORDS: dict[str, Callable[[], Callable[[], Any]]] = {
    "send": lambda: lambda channel=closed_channel(): channel.send(1),  # type: ignore[misc]
    "receive": lambda: lambda channel=closed_channel(): channel.receive(),  # type: ignore[misc]
    "select": lambda: lambda channel=closed_channel(): select(channel),  # type: ignore[misc]
    "recv": lambda: lambda stream=closed_stream(): stream.recv(),  # type: ignore[misc]
    "sendall": lambda: lambda stream=closed_stream(): stream.sendall(b"x"),  # type: ignore[misc]
    "wait_for": lambda: lambda: wait_for(lambda: 1 / 0),
    "gather": lambda: gather,
    "join": lambda: lambda: current().join(),
}


@pytest.mark.parametrize("name", WORDS)
def test_the_others_run_in_the_end(world: World, name: str) -> None:
    def main() -> None:
        word = WORDS[name]()
        other = spawn(lambda: None)
        for _ in range(70):
            try:
                word()
            except (ClosedError, ZeroDivisionError, RuntimeError):
                pass
        assert other.done

    world.run(main)
