"""Progress: how far workers are, for somebody who looks on.

Not here: the workers (workers.py).
"""

from collections.abc import Callable

from computicle.scheduler.flows import running
from computicle.scheduler.timeouts import sleep_for
from computicle.work.queue import WorkQueue
from computicle.work.stats import QueueStats

__all__ = ["how_far", "show_progress"]

LOOK_S = 0.1


def show_progress(queue: WorkQueue, name: str, is_over: Callable[[], bool]) -> None:
    """Show it on standard error, until it is over. Waits."""
    from rich.console import Console  # noqa: PLC0415  # only for those who want it: it takes long to import
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    me = running()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), auto_refresh=False) as progress:
        task = progress.add_task(name, total=None)
        while True:
            over = is_over()
            done, total = how_far(queue.stats())
            progress.update(task, completed=done, total=total, refresh=True)
            if over:
                return
            sleep_for(me, LOOK_S)


def how_far(stats: QueueStats) -> tuple[int, int]:
    """How many items are done, and of how many. Done with are also those that were tried too often."""
    done = stats.taken - stats.leased - stats.given_back + stats.dead
    return done, done + stats.queued + stats.leased
