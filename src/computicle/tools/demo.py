"""Demo: what `computicle demo` shows, in a few seconds and without a network.

First the program of the essay that began all this: four fibers wait for one
signal. Then plain sequential clients, hundreds at once, ask a daytime server
in another process for the time, while hundreds of other fibers go on. Then
two computicles ask it, each from a process of its own. Last, four of them share a queue.

Not here: the server (daytime.py), the last two parts (demo_worlds.py, demo_work.py).
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.table import Table

from computicle.tools.demo_work import show_work
from computicle.tools.demo_worlds import show_worlds
from computicle.words import Semaphore, connect, gather, on_signal, periodic, run, scope, signal_all, signal_one, sleep

__all__ = ["show"]

PAUSE_S = 0.4  # long enough to see what happened before it
FETCHERS = 300  # fibers that ask for the time
FETCHES_EACH = 10
CONNECTIONS = 100  # at once: a process may have as few as 256 descriptors
SLEEPERS = 300  # fibers that sleep, again and again
NAP_S = 0.01
COUNTERS = 100  # fibers that count on a beat
BEAT_S = 0.02


class Tally:
    """What happened during the second part."""

    def __init__(self) -> None:
        self.answers: list[str] = []
        self.naps = 0
        self.beats = 0
        self.seconds = 0.0


def show() -> None:
    """Run all parts and print them."""
    console = Console(highlight=False)
    console.print("[bold]A conversation:[/] four fibers wait for one signal.\n")
    run(converse, console.print)
    console.print(
        f"\n[bold]The time, please:[/] {FETCHERS} fibers ask a server in another process {FETCHES_EACH} times each,\n"
        f"while {SLEEPERS + COUNTERS} other fibers sleep and count. All of them share one thread.\n"
    )
    with daytime_server() as port:
        tally = run(fetch_while_busy, port)
        assert tally is not None
        console.print(as_table(tally))
        console.print(f"\nThe last answer: {tally.answers[-1]}")
        show_worlds(console, port)
    show_work(console)


# A conversation.


def converse(say: Callable[[str], None]) -> None:
    """The essay's program."""

    def waiter(number: int) -> Callable[[], None]:
        return lambda: say(f"    WAITED: {number}")

    for number in range(1, 5):
        on_signal(waiter(number), "waiting")
    say("signal_one: the first of them goes on")
    signal_one("waiting")
    sleep(PAUSE_S)
    say("signal_all: so do the rest")
    signal_all("waiting")
    sleep(PAUSE_S)
    say("SLEEP AFTER signal_all")


# The time, please.


@contextmanager
def daytime_server() -> Iterator[int]:
    """A daytime server in a process of its own; its port."""
    command = [sys.executable, "-m", "computicle.tools.daytime"]
    # A process group of its own: Ctrl-C is for the demo, which then stops the server.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0) as server:  # noqa: S603
        assert server.stdout is not None
        try:
            first_line = server.stdout.readline()
            if not first_line:
                raise RuntimeError("the daytime server did not start: its own message stands above")
            yield int(first_line)
        finally:
            server.terminate()


def get_date_and_time(host: str, port: int) -> str:
    """Connect, receive, close: plain sequential code."""
    with connect(host, port) as stream:
        return stream.readline().decode().strip()


def fetch_while_busy(port: int) -> Tally:
    """Fetch the time in hundreds of fibers, with hundreds of others about."""
    tally = Tally()
    room = Semaphore(CONNECTIONS)

    def fetch() -> None:
        for _ in range(FETCHES_EACH):
            with room:
                tally.answers.append(get_date_and_time("127.0.0.1", port))

    def keep_napping() -> None:
        while True:
            sleep(NAP_S)
            tally.naps += 1

    def count() -> None:
        tally.beats += 1

    with scope() as others:
        for _ in range(SLEEPERS):
            others.spawn(keep_napping)
        for _ in range(COUNTERS):
            periodic(count, BEAT_S)
        begin = time.monotonic()
        gather(*[fetch] * FETCHERS)
        tally.seconds = time.monotonic() - begin
        others.cancel()
    return tally


def as_table(tally: Tally) -> Table:
    """What happened, how many, how long it took."""
    table = Table()
    table.add_column("What happened")
    table.add_column("Fibers", justify="right")
    table.add_column("Times", justify="right")
    table.add_column("Took", justify="right")
    took = f"{tally.seconds:.2f} s"
    table.add_row("fetched the time: connect, receive, close", f"{FETCHERS}", f"{len(tally.answers):,}", took)
    table.add_row(f"slept for {NAP_S * 1000:.0f} ms", f"{SLEEPERS}", f"{tally.naps:,}", "meanwhile")
    table.add_row(f"counted, every {BEAT_S * 1000:.0f} ms", f"{COUNTERS}", f"{tally.beats:,}", "meanwhile")
    return table
