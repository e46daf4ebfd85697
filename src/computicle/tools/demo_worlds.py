"""Demo of worlds: the essay's program, a tale of two schedulers.

Two computicles are made from one template of source text. Each is a process,
and runs a plain daytime client; their maker waits for both. A third one asks
where nobody listens, and its error comes back with its traceback.

Not here: the other parts of the demo, the server's process (demo.py).
"""

import os
import socket
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console

from computicle.words import gather, run
from computicle.worlds import Computicle

__all__ = ["show_worlds"]

CODE_TEMPLATE = """\
import os
from computicle import connect

def get_date_and_time(host, port):
    with connect(host, port) as stream:
        return stream.readline().decode().strip()

os.getpid(), get_date_and_time("127.0.0.1", port)
"""
INDENT = "    "


class Tale(NamedTuple):
    """What has come back."""

    answers: list[tuple[int, str]]  # process ids, and what they were told
    error: OSError


def show_worlds(console: Console, port: int) -> None:
    """Run it against the daytime server at `port`, and print it."""
    console.print("\n[bold]A tale of two schedulers:[/] two computicles run this text at the same time.\n")
    console.print(textwrap.indent(CODE_TEMPLATE, INDENT), style="cyan", markup=False)
    if sys.platform != "linux":
        console.print("(They need Linux so far.)")
        return
    tale = run(ask_from_worlds, port)
    assert tale is not None
    console.print(f"This is process {os.getpid()}. It has waited for both:")
    for pid, answer in tale.answers:
        console.print(f"{INDENT}process {pid} was told: {answer}")
    console.print(f"\nA third one asks where nobody listens. Waiting for it raises {type(tale.error).__name__}.")
    console.print("The cause of that says where it was raised, over there:\n")
    console.print(textwrap.indent(str(tale.error.__cause__).strip(), INDENT), style="red", markup=False)


def ask_from_worlds(port: int) -> Tale:
    """Make them, wait for them."""
    comp1 = Computicle(CODE_TEMPLATE, port=port)
    comp2 = Computicle(CODE_TEMPLATE, port=port)
    answers = gather(comp1.wait, comp2.wait)
    with port_of_nobody() as deaf:
        try:
            Computicle(CODE_TEMPLATE, name="the third one", port=deaf).wait()
        except OSError as error:
            return Tale(answers, error)
    raise AssertionError("somebody listens where nobody should")


@contextmanager
def port_of_nobody() -> Iterator[int]:
    """A port that is taken, so that nobody can come to listen there."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]
