"""Every example runs, and prints what it should.

Each runs in a process of its own. The deadlines only bound a hang. Servers
are given port 0, tell the port they got, and are stopped with SIGTERM.
"""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
HANG_S = 40

DATE = r"[A-Z][a-z]+, [A-Z][a-z]+ \d\d, \d{4} \d\d:\d\d:\d\d-\S+"

CONVERSATION = "WAITED: 1\nWAITED: 2\nWAITED: 3\nWAITED: 4\nSLEEP AFTER signal_all\n"

# What a program prints: a pattern for all of it.
PROGRAMS = {
    "conversation.py": CONVERSATION,
    "predicates.py": "".join(f"picked {fruit}\nate {fruit}\n" for fruit in ("apple", "pear"))
    + "half of them are gone\n"
    + "".join(f"picked {fruit}\nate {fruit}\n" for fruit in ("plum", "quince"))
    + "all 4 are gone\n",
    "periodic.py": "tick 1\ntick 2\ntick 3\ntick 4\ntick 5\nboom\n",
    "scopes_and_timeouts.py": (
        "short ends\nless short ends\nboth have ended\n"
        "very long ends\nfailed: invalid literal for int.*\n"
        "too long ends\nmoved on: True\n"
        "too long again ends\nfailed: not done within 0.01 s\n"
    ),
    "race_and_gather.py": (
        "asking a slow one\nasking a quick one\nan answer from a quick one\n"
        r"asking one\nasking two\n\['an answer from one', 'an answer from two'\]\n"
        "asking another\ngather: nobody there\n"
    ),
    "channel_pipeline.py": "".join(f"got {number}\n" for number in range(10, 90, 10)) + "in all 360\n",
    "select_sources.py": "work: first job\nnews: a message\nwork: second job\ntime is up\n",
    "offload_blocking.py": (
        r"\['7692c3ad', '3fc4ccfe'\]\nthe other fibers went on: True\noffload: invalid literal for int.*\n"
    ),
    "probes_and_barrier.py": r"all 80 probes are back, one of them with b'hello, probe \d+\\n'\n",
    "computicle_hello.py": (
        "hello from another process: True\nyou has been greeted\n"
        r"adding up \[1, 2, 3\]\n6\nit failed: division by zero\n"
    ),
    "two_daytime_worlds.py": rf"process (\d+) says it is {DATE}\nprocess (?!\1 )\d+ says it is {DATE}\n",
    "source_splitter_sinks.py": "even numbers, times ten: 2495000\nodd numbers, times ten: 2500000\n",
    "longest_lines.py": r"(\d+\n){10,}",
    "token_ring.py": "".join(f"round {n}: the token has been handed on {n}00 times\n" for n in (1, 2, 3))
    + r"each node has seen it: \{3\} times\n",
    "supervised_worker.py": (
        "half of 2 is 1\nhalf of 3 is too much: ended without a word, with exit status 1\n"
        "half of 4 is 2\nhalf of 5 is too much: ended without a word, with exit status 1\nhalf of 6 is 3\n"
    ),
    "work_queue.py": "all numbers together: 499500\nblocks left: 0\n",
    "word_counts.py": r"\d,\d{3} words in \d\d files, most often: \w+ \w+ \w+\n",
    "sensor_stream.py": r"by sensor: \[2375000\. 2375000\. 2375000\. 2375000\.\]\n",
    "retries.py": "late.txt was tried 3 times\nnow it has 12 characters\n",
    "worker_pool.py": r"primes in each thousand: \[168, 135, 128, 120, 118, 114, 118, 106, 111, 111\]\nin all: 1229\n",
}


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONWARNINGS": "error"}


def run_example(*command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@contextmanager
def serving(name: str) -> Iterator[int]:
    """Run a server; its port. It must end by SIGTERM, quietly."""
    server = subprocess.Popen(
        [sys.executable, str(EXAMPLES / name), "0"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.search(r"port (\d+)$", server.stdout.readline())
        assert found is not None, server.communicate(timeout=HANG_S)
        yield int(found[1])
        server.send_signal(signal.SIGTERM)
        assert server.communicate(timeout=HANG_S) == ("", "")
        assert server.returncode == 128 + signal.SIGTERM
    finally:
        server.kill()
        server.communicate()


class Client:
    """A plain blocking client that reads lines."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=HANG_S)
        self.file = self.socket.makefile("rb")

    def say(self, text: bytes) -> None:
        self.socket.sendall(text)

    def line(self) -> bytes:
        return self.file.readline()

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def talk_daytime(port: int) -> None:
    client = Client(port)
    assert re.fullmatch(DATE + "\r\n", client.line().decode())
    assert client.line() == b""
    client.close()


def talk_echo(port: int) -> None:
    one, two = Client(port), Client(port)
    one.say(b"first\n")
    two.say(b"second\n")
    assert two.line() == b"second\n"
    assert one.line() == b"first\n"
    one.socket.shutdown(socket.SHUT_WR)
    assert one.line() == b""
    one.close()
    two.close()


def talk_lines(port: int) -> None:
    client = Client(port)
    assert client.line() == b"hello\n"
    for said, answer in [(b"ADD 1 2 3\n", rb"6"), (b"TIME\n", rb"\d\d:\d\d:\d\d"), (b"SING\n", rb"pardon\?")]:
        client.say(said)
        assert re.fullmatch(answer + b"\n", client.line())
    client.say(b"QUIT\n")
    assert client.line() == b"bye\n"
    assert client.line() == b""
    client.close()


def talk_chat(port: int) -> None:
    ann, bob = Client(port), Client(port)
    for guest, name in ((ann, b"ann"), (bob, b"bob")):
        assert guest.line() == b"Your name?\n"
        guest.say(name + b"\n")
        assert guest.line() == b"* " + name + b" is here\n"
    assert ann.line() == b"* bob is here\n"
    ann.say(b"hello, bob\n")
    assert ann.line() == bob.line() == b"ann: hello, bob\n"
    bob.close()
    assert ann.line() == b"* bob has left\n"
    ann.close()


SERVERS: dict[str, Callable[[int], None]] = {
    "daytime_server.py": talk_daytime,
    "echo_server.py": talk_echo,
    "line_server.py": talk_lines,
    "chat.py": talk_chat,
}

NEEDS = {"sensor_stream.py": "numpy"}  # which computicle itself does not

CLIENTS = {"daytime_client.py"}  # test_the_daytime_client


def test_every_example_is_run_here() -> None:
    there = {path.name for path in EXAMPLES.glob("*.py")}
    assert there == {*PROGRAMS, *SERVERS, *CLIENTS}


def test_examples_are_short() -> None:
    for path in EXAMPLES.glob("*.py"):
        lines = path.read_text().count("\n")
        assert 10 <= lines <= 40, f"{path.name}: {lines} lines"


@pytest.mark.parametrize("name", PROGRAMS)
def test_program(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"this example is about {NEEDS[name]}, which is not installed here")
    assert re.fullmatch(PROGRAMS[name], run_example(str(EXAMPLES / name)))


def test_the_conversation_as_main_fiber() -> None:
    assert run_example("-m", "computicle", "run", str(EXAMPLES / "conversation.py")) == CONVERSATION


@pytest.mark.parametrize("name", SERVERS)
def test_server(name: str) -> None:
    with serving(name) as port:
        SERVERS[name](port)


def test_the_daytime_client() -> None:
    with serving("daytime_server.py") as port:
        printed = run_example(str(EXAMPLES / "daytime_client.py"), "127.0.0.1", str(port))
    first = rf"the time is {DATE}\n"
    assert re.fullmatch(first + r"asked 200 times at once, while 300 other fibers took \d+ naps\n", printed)
