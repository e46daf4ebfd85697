"""Demo of work: the essay's program, for the lazy programmer who multitasks.

Four computicles do nothing but take items from a queue, act on them and free
them. Their maker puts in a thousand at a time. An item is a structure in
shared memory, and is not copied: it changes hands.

Not here: the other parts of the demo (demo.py), the structure (message.py).
"""

import ctypes
import sys
import textwrap
import time
from typing import NamedTuple

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from computicle.tools.message import Message
from computicle.words import Fiber, gather, run, sleep, spawn
from computicle.work import Heap, QueueStats, WorkQueue
from computicle.worlds import Computicle

__all__ = ["show_work"]

WORKERS = 4
BURST = 1000  # items
INTERVAL_S = 0.05  # from one burst to the next
DURATION_S = 3.0
CAPACITY = 2000  # items: a producer that is too quick has to wait
HEAP_SIZE = 1 << 20  # bytes
LOOK_S = 0.1  # between two looks at how far they are

WORKER = """\
from computicle.tools.message import Message

total = copied = 0

def act(message, block):
    global total, copied
    total += message.message
    if message.lparam != block.offset:  # not where it was filled in
        copied += len(block)

for item in queue:
    block = item.value
    act(Message.from_buffer(block), block)
    block.free()

total, copied
"""
INDENT = "    "


class Summary(NamedTuple):
    """What has come of it."""

    stats: QueueStats  # once everything was done
    seconds: float
    total: int  # of the numbers of all messages, as the workers have added them up
    copied: int  # bytes that lay elsewhere than where they were filled in
    blocks: int  # that are left


def show_work(console: Console) -> None:
    """Run it, and print it."""
    console.print(f"\n[bold]The lazy programmer multitasks:[/] {WORKERS} computicles share a queue. Each runs this:\n")
    console.print(textwrap.indent(WORKER, INDENT), style="cyan", markup=False)
    if sys.platform != "linux":
        console.print("(They need Linux so far.)")
        return
    console.print(
        f"{BURST:,} items are put in every {INTERVAL_S * 1000:.0f} ms, or as soon as there is room, "
        f"for {DURATION_S:.0f} seconds.\n"
    )
    with Live(console=console, auto_refresh=False, transient=True) as live:
        summary = run(share_work, live)
    assert summary is not None
    console.print(as_table(summary))


def share_work(live: Live) -> Summary:
    """Make the workers, and have something for them to do."""
    heap = Heap(HEAP_SIZE)
    queue = WorkQueue(CAPACITY, heap)
    workers = [Computicle(WORKER, name=f"worker {number}", queue=queue) for number in range(1, WORKERS + 1)]

    begin = time.monotonic()
    stats = watch(queue, spawn(produce, queue, heap), live)
    seconds = time.monotonic() - begin

    queue.close()  # so their loops end
    answers = gather(*[worker.wait for worker in workers])
    return Summary(
        stats,
        seconds,
        total=sum(total for total, _copied in answers),
        copied=sum(copied for _total, copied in answers),
        blocks=heap.stats().blocks,
    )


def produce(queue: WorkQueue, heap: Heap) -> None:
    """Put in items."""
    number = 0
    beat = time.monotonic()
    end = beat + DURATION_S
    while time.monotonic() < end:
        for _ in range(BURST):
            number += 1
            with heap.alloc(ctypes.sizeof(Message)) as block:  # freed at the end, unless it has moved by then
                fill_in(Message.from_buffer(block), number, block.offset)
                queue.enqueue(block)
        beat += INTERVAL_S
        sleep(max(0.0, beat - time.monotonic()))


def fill_in(message: Message, number: int, offset: int) -> None:
    """What the workers look at."""
    message.message = number
    message.lparam = offset


def watch(queue: WorkQueue, producer: Fiber, live: Live) -> QueueStats:
    """Show how far they are, until everything is done. What was done by then."""
    while True:
        last = producer.done
        stats = queue.stats()
        live.update(as_bars(stats), refresh=True)
        if last and not stats.queued and not stats.leased:
            return stats
        sleep(LOOK_S)


def taken(stats: QueueStats) -> dict[int, int]:
    """How many items each worker has taken, by its process."""
    return {share.pid: share.taken for share in stats.places.values() if share.taken}


def as_bars(stats: QueueStats) -> Table:
    """How far they are. A worker's part is of what has been put in so far."""
    bars = Table.grid(padding=(0, 2))
    bars.add_row("in the queue", ProgressBar(stats.capacity, stats.queued, width=40), f"{stats.queued:,}")
    for pid, count in taken(stats).items():
        bars.add_row(f"process {pid}", ProgressBar(stats.put, count, width=40), f"{count:,}")
    return bars


def as_table(summary: Summary) -> Table:
    """Who has done how much, and what it has cost."""
    stats = summary.stats
    table = Table()
    table.add_column("What was counted")
    table.add_column("How many", justify="right")
    for pid, count in taken(stats).items():
        table.add_row(f"items that process {pid} has taken and freed", f"{count:,}")
    table.add_row("items in all", f"{stats.taken:,}", end_section=True)
    table.add_row("items a second", f"{stats.taken / summary.seconds:,.0f}")
    table.add_row("wake-ups of all workers", f"{stats.wakes:,}")
    table.add_row("wake-ups for one item", f"{stats.wakes / stats.taken:.2f}")
    table.add_row("bytes of the items that were copied", f"{summary.copied:,}")
    table.add_row("blocks that are left", f"{summary.blocks:,}")
    return table
