"""The demo runs, tells the truth, and leaves no process behind."""

import io
import os
import re
import socket
import subprocess
import sys

import pytest
from rich.console import Console
from rich.live import Live

from computicle import Fiber, current, run, sleep
from computicle.testing import simulate
from computicle.tools import demo, demo_work, demo_worlds

HANG_S = 40  # only bounds a hang


def test_the_demo() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "computicle", "demo"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        said, errors = process.communicate(timeout=HANG_S)
    assert (process.returncode, errors) == (0, "")
    assert [int(number) for number in re.findall(r"WAITED: (\d)", said)] == [1, 2, 3, 4]
    assert said.index("WAITED: 1") < said.index("signal_all") < said.index("WAITED: 2")
    assert f"{demo.FETCHERS * demo.FETCHES_EACH:,}" in said
    assert re.search(r"The last answer: \w+, \w+ \d\d, \d{4}", said)
    first, second = re.findall(r"process (\d+) was told: \w+, \w+ \d\d, \d{4}", said)
    assert len({first, second, *re.findall(r"This is process (\d+)", said)}) == 3
    assert 'File "<computicle the third one>"' in said
    assert re.search(r"ConnectionRefusedError: .* Connection refused: 127\.0\.0\.1:\d+", said)
    takers = re.findall(r"items that process (\d+) has taken and freed +│ +([\d,]+)", said)
    assert len(takers) == len(dict(takers)) <= demo_work.WORKERS
    (items,) = re.findall(r"items in all +│ +([\d,]+)", said)
    assert sum(as_number(taken) for _pid, taken in takers) == as_number(items) >= demo_work.BURST
    assert re.search(r"items that were copied +│ +0 ", said)
    assert re.search(r"blocks that are left +│ +0 ", said)


def as_number(text: str) -> int:
    return int(text.replace(",", ""))


def test_the_demo_has_few_connections_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process may have as few as 256 descriptors."""
    at_once: set[Fiber] = set()
    most = 0

    def get_date_and_time(_host: str, _port: int) -> str:
        nonlocal most
        at_once.add(current())
        most = max(most, len(at_once))
        sleep(0.01)
        at_once.remove(current())
        return "the time"

    monkeypatch.setattr(demo, "get_date_and_time", get_date_and_time)
    tally = simulate(demo.fetch_while_busy, 0)
    assert tally is not None
    assert len(tally.answers) == demo.FETCHERS * demo.FETCHES_EACH
    assert most == demo.CONNECTIONS <= 200


def test_the_worlds_of_the_demo() -> None:
    with demo.daytime_server() as port:
        tale = run(demo_worlds.ask_from_worlds, port)
    assert tale is not None
    assert len({pid for pid, _answer in tale.answers} | {os.getpid()}) == 3
    assert all(re.match(r"\w+, \w+ \d\d, \d{4}", answer) for _pid, answer in tale.answers)
    assert isinstance(tale.error, ConnectionRefusedError)
    assert "in get_date_and_time" in str(tale.error.__cause__)


def test_the_work_of_the_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_work, "DURATION_S", 2.5 * demo_work.INTERVAL_S)
    shown = io.StringIO()
    with Live(console=Console(file=shown, force_terminal=True), auto_refresh=False, transient=True) as live:
        summary = run(demo_work.share_work, live)
    assert summary is not None
    stats = summary.stats
    assert stats.put == stats.taken == sum(demo_work.taken(stats).values()) >= demo_work.BURST
    assert (stats.queued, stats.leased, stats.dead) == (0, 0, 0)
    assert stats.given_back == 0
    assert summary.total == stats.put * (stats.put + 1) // 2  # each item, and no item twice
    assert (summary.copied, summary.blocks) == (0, 0)
    assert "in the queue" in shown.getvalue()
    assert all(f"process {pid}" in shown.getvalue() for pid in demo_work.taken(stats))


def test_the_server_ends_with_its_starter() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "computicle.tools.daytime"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert int(process.stdout.readline()) > 0
        assert process.communicate(timeout=HANG_S) == ("", "")  # closes its standard input
    assert process.returncode == 0


def test_the_demos_server_is_stopped() -> None:
    with demo.daytime_server() as port:
        assert run(demo.get_date_and_time, "127.0.0.1", port)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port))
