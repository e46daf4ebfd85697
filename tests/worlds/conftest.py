"""Worlds are real processes: each test runs one program, and leaves neither a process nor a descriptor."""

import gc
import os
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from computicle import Computicle
from computicle.worlds.launcher import launcher
from tests.process.conftest import give_back_the_flow

PASSED = pytest.StashKey[bool]()
WARM: set[int] = set()  # zygotes
LATE_S = 5.0  # bounds a hang: what was killed is gone within milliseconds


def descriptors() -> dict[str, str]:
    """Of this process, with what they are."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:  # the one that was listing
            continue
    return found


def is_next(pid: str) -> bool:
    """True if it is the one that is kept at hand, and is no computicle yet."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read() in ("computicle next\n", "python\n", "python3\n")
    except OSError:
        return False


def children() -> list[int]:
    """Of the zygote: all computicles there are."""
    process = launcher._process
    if process is None:
        return []
    try:
        with open(f"/proc/{process.pid}/task/{process.pid}/children") as file:
            return [int(pid) for pid in file.read().split() if not is_next(pid)]
    except FileNotFoundError:  # it has died, and so have they
        return []


def await_gone(what: Callable[[], object]) -> None:
    """Until `what()` is empty. What was killed along with something else is gone a moment later."""
    give_up = time.monotonic() + LATE_S
    while what() and time.monotonic() < give_up:
        os.sched_yield()
    assert not what()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = yield
    if report.when == "call":
        item.stash[PASSED] = report.passed
    return report


def warm_zygote() -> None:
    """Functions of test modules bring pytest along: a third of a second for each computicle of a new zygote."""
    if launcher._process is None or launcher._process.pid not in WARM:
        with Computicle(preload=["pytest"]):
            pass
        assert launcher._process is not None
        WARM.add(launcher._process.pid)
        give_back_the_flow()


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest) -> Iterator[None]:
    give_back_the_flow()
    warm_zygote()  # it stays from test to test, and so does the way to it
    before = descriptors()
    yield
    give_back_the_flow()
    await_gone(children)
    if not request.node.stash.get(PASSED, False):
        return  # the report holds the frames it failed in, and they hold handles
    if len(descriptors()) > len(before):
        with warnings.catch_warnings():  # of sockets that are collected along with the handles they belong to
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
    after = descriptors()
    new = {name: what for name, what in after.items() if before.get(name) != what}
    assert len(after) <= len(before), f"left open: {new}"
