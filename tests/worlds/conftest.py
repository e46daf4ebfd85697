"""Worlds are real processes: each test runs one program, and finds nothing of the one before."""

import os
from collections.abc import Iterator

import pytest

from computicle.worlds.launcher import launcher
from tests.process.conftest import give_back_the_flow


def descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def children() -> list[int]:
    """Of the zygote: all computicles there are."""
    process = launcher._process
    if process is None:
        return []
    with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
        return [int(pid) for pid in file.read().split()]


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    give_back_the_flow()
    yield
    give_back_the_flow()
    assert children() == []
