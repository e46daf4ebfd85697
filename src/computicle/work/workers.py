"""Workers: computicles that run one function on each item of a work queue, and what comes of that.

Rules:
  1. A worker that dies is started again (worlds/supervisor.py), and the item it had goes to another.
  2. An item on which the function raises goes to another, too. When it has been tried
     too often, its error is told, and it is put with the dead. If there is no room, it is done with.
  3. What came of each item is told once, though it may have been done twice.
  4. Who does not take what has come makes the workers wait, once a queueful of it is there.

Not here: leases (item.py), once and in order (outcomes.py), how it is shown (progress.py).
"""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from computicle.scheduler.arguments import checked_callable, checked_count
from computicle.scheduler.log import log_error
from computicle.words import spawn
from computicle.work.dead import DeadItem
from computicle.work.item import Item
from computicle.work.outcomes import Outcomes
from computicle.work.progress import show_progress
from computicle.work.queue import WorkQueue
from computicle.work.table import DEAD_MAX
from computicle.worlds.errors import ComputicleDied, bring_error, carried_error
from computicle.worlds.own import self_
from computicle.worlds.supervisor import Spec, supervise

__all__ = ["Outcome", "Workers", "workers"]

RESTARTS_MAX = 100  # of all workers, within RESTARTS_S: an item that kills whoever takes it is given up long before
RESTARTS_S = 5.0


class Outcome(NamedTuple):
    """What came of one item."""

    number: int  # of the item, as Item has it
    value: Any  # of the function
    error: BaseException | None  # it has raised; ComputicleDied, if whoever took the item has died, too often

    def get(self) -> Any:
        """The value. Raises the error, if there is one."""
        if self.error is not None:
            raise self.error
        return self.value


class Workers:
    """The workers of one queue. Iterating gives an Outcome for each item, as they are done.

    The loop ends when the queue is closed and all its items are done. If workers die too often it raises GaveUp; so does the
    scope, where nobody iterates or waits just then.
    """

    def __init__(self, queue: WorkQueue, specs: Sequence[Spec], results: WorkQueue | None) -> None:
        self._queue = queue
        self._results = results
        self._outcomes: Outcomes[Outcome] = Outcomes()
        self._listeners = 0  # who iterate, and are told if it fails
        self._failure: Exception | None = None  # for those
        for number in queue.first_numbers():
            self._outcomes.begin(number)
        self._fiber = spawn(self._supervise, specs, name="workers")

    def __iter__(self) -> Iterator[Outcome]:
        for outcome in self._arrivals():
            if self._outcomes.note(outcome.number):
                yield outcome

    def in_order(self) -> Iterator[Outcome]:
        """The same, in the order in which one producer put the items in. Between several producers there is none."""
        for arrived in self._arrivals():
            self._outcomes.add(arrived.number, arrived)
            yield from self._outcomes.in_order()
        yield from self._outcomes.rest()

    def wait(self) -> None:
        """Wait until the queue is closed and all its items are done.

        Raises:
            GaveUp: workers died too often.
            RuntimeError: they have all ended by themselves before that.
        """
        self._fiber.join()
        if self._failure is not None:
            raise self._failure

    @property
    def done(self) -> bool:
        """They have ended."""
        return self._fiber.done

    def cancel(self) -> None:
        """Have the workers end. What they had goes back into the queue. Never waits."""
        self._fiber.cancel()

    def _arrivals(self) -> Iterator[Outcome]:
        if self._results is None:
            raise RuntimeError("these workers were told that nobody wants results")
        self._listeners += 1
        try:
            for item in self._results:
                number, value, error = item.value
                yield Outcome(number, value, None if error is None else bring_error(error))
            self.wait()
        except GeneratorExit:
            if self._failure is not None:  # it was to be told here
                log_error(self._failure, "workers have failed, and the loop over what comes of the items was left")
            raise
        finally:
            self._listeners -= 1

    def _supervise(self, specs: Sequence[Spec]) -> None:
        try:
            supervise(specs, max_restarts=RESTARTS_MAX, within=RESTARTS_S)
            if not self._queue.gate.drained:  # somebody has called stop() there, say
                stats = self._queue.stats()
                left = f"{stats.queued + stats.leased} items in it" if self._queue.closed else "the queue still open"
                raise RuntimeError(f"the workers of a queue have all ended by themselves, with {left}")
        except Exception as error:
            if not self._listeners:
                raise
            self._failure = error  # they wait for outcomes, and not for this fiber
        finally:
            if self._results is not None:
                self._results.close()


def workers(
    queue: WorkQueue,
    fn: Callable[[Any], Any],
    n: int | None = None,
    *,
    results: bool = True,
    progress: bool = False,
    preload: Sequence[str] = (),
) -> Workers:
    """Have computicles take the items of a queue, and run `fn(value)` on each.

    Never waits: they start once the caller gives way.
    They belong to the scope this is called in, and end once the queue is closed, and nothing is left in it.

    Args:
        n: how many computicles; as many as there are cores for this program, if not given.
        results: whether anybody wants what comes of the items. Then it must be taken: the workers do not run ahead further
            than the queue is long.
        progress: show on standard error how far they are.
        preload: modules for all of them, as Computicle takes them.

    Raises:
        TypeError: `fn` cannot be called. If it cannot be carried, `wait` raises one, or else the scope.
    """
    if not isinstance(queue, WorkQueue):
        raise TypeError(f"workers: queue must be a WorkQueue, not {queue!r}")
    checked_callable("workers", "fn", fn)
    if n is None:
        n = len(os.sched_getaffinity(0))
    checked_count("workers", "n", n, 1)
    outcomes = WorkQueue(queue.capacity) if results else None
    name = _name_of(fn)
    specs = [Spec(_work, queue, outcomes, fn, name=f"{name}-{number}", preload=preload) for number in range(1, n + 1)]
    crew = Workers(queue, specs, outcomes)
    if progress:
        spawn(show_progress, queue, name, lambda: crew.done, name="progress of workers")
    return crew


def _name_of(fn: Any) -> str:
    """A word for it."""
    while isinstance(fn, partial):
        fn = fn.func
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else type(fn).__name__


def _work(queue: WorkQueue, results: WorkQueue | None, fn: Callable[[Any], Any]) -> None:
    """What each of them does."""
    if results is not None:
        for dead in queue.dead:  # one may have died of an item just now, and nobody has told
            _tell(results, dead.number, _died_of(dead))
    for item in queue:
        number = item.number
        if item.tries >= queue.max_tries:  # there was no room for it among the dead, and it would be tried for ever
            _tell(results, number, _died_of(item))
            continue
        try:
            value = fn(item.value)
            if results is not None:
                results.enqueue((number, value, None))
        except Exception as error:
            last = not item.leased or item.tries + 1 >= queue.max_tries
            if last:  # else another one will meet the same, or all is well
                _tell(results, number, error)
            if item.leased and not (last and len(queue.dead) >= DEAD_MAX):
                item.give_back()


def _tell(results: WorkQueue | None, number: int, error: Exception) -> None:
    if results is None:
        log_error(error, "an item was tried too often")
    else:
        results.enqueue((number, None, carried_error(error, self_().name)))


def _died_of(item: Item | DeadItem) -> ComputicleDied:
    return ComputicleDied("of a worker", f"died {item.tries} time{'s' * (item.tries != 1)} while it had this item")
