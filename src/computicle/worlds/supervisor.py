"""Supervisor: computicles that are started again when they fail.

Rules:
  1. They are started in order, and ended in the reverse order, each once the
     one before has ended.
  2. One that fails is started again: alone, with all others, or with those
     that were started after it, as the strategy says. One that ends well is
     not, unless it is to run always.
  3. More than `max_restarts` restarts within `within` seconds, and it gives up:
     all are ended, and GaveUp is raised, with the history.
  4. Between a death and the next start it waits, each time twice as long, until
     one has lived for `within` seconds.

A tree is made of computicles that supervise: `Spec(supervise, [...])`.

Not here: handles that follow restarts (following.py), how a death is known
(keeper.py).

Source: the strategies and the intensity are those of Erlang/OTP's supervisor(3).
"""

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from computicle.scheduler.arguments import checked_count, checked_seconds
from computicle.scheduler.attendants import Attendant, attend, attendants_of
from computicle.scheduler.deadlines import Shield
from computicle.scheduler.flows import running
from computicle.scheduler.line import Line
from computicle.scheduler.log import log_error
from computicle.scheduler.scope import Scope
from computicle.scheduler.timeouts import sleep_for
from computicle.scheduler.word import entering
from computicle.worlds.computicle import Computicle
from computicle.worlds.errors import ComputicleDied
from computicle.worlds.following import Following, Slot
from computicle.worlds.obituary import End

__all__ = ["GaveUp", "Restart", "Spec", "Supervisor", "supervise"]

BACKOFF_S = 0.05  # before the second restart of one; the first is at once
BACKOFF_S_MAX = 5.0

Strategy = Literal["one_for_one", "one_for_all", "rest_for_one"]
When = Literal["on_error", "always", "never"]


class Restart(NamedTuple):
    """One entry of the history: who failed, when (seconds of the monotonic clock), and with what."""

    name: str
    at: float
    error: BaseException


class GaveUp(Exception):
    """A supervisor has started its computicles again too often.

    Attributes:
        history: the failures that it has seen, the oldest first, at most a hundred.
    """

    def __init__(self, text: str, history: list[Restart]) -> None:
        super().__init__(text, history)
        self.text = text
        self.history = history

    def __str__(self) -> str:
        return "\n".join([self.text, *(f"  {entry.name}: {entry.error!r}" for entry in self.history)])


class Spec:
    """What a supervisor starts: a computicle's target, arguments and options, and when it is started again.

    Args:
        target, args, options: as Computicle takes them.
        name: what the supervisor calls it.
        restart: "on_error", "always" or "never".

    Raises:
        ValueError: `restart` is something else.
    """

    def __init__(
        self, target: Any = None, /, *args: Any, name: str | None = None, restart: When = "on_error", **options: Any
    ) -> None:
        if restart not in ("on_error", "always", "never"):
            raise ValueError(f"Spec: restart must be 'on_error', 'always' or 'never', not {restart!r}")
        self.target = target
        self.args = args
        self.name = name
        self.restart = restart
        self.options = options


class Supervisor:
    """Keeps computicles going. A context manager: they run while it is open, and are ended when it is left.

    `sup["name"]` is a handle that follows restarts: what is posted while one is being started waits.

    To enter it waits until all have been started. If one cannot be, the others are ended, and its error is raised. To
    leave it waits until all have ended.

    Args:
        specs: what to start, in order: targets of computicles, or Specs.
        strategy: who is started again with one that fails: "one_for_one", "one_for_all" or "rest_for_one".
        max_restarts, within: how many restarts are too many, in how many seconds.
        backoff: seconds before the second restart; it doubles with each.

    Raises:
        GaveUp: where it is left, if it has given up.
        TypeError, ValueError: an option has no possible value, or two specs have the same name.
    """

    def __init__(
        self,
        specs: Iterable[Any],
        strategy: Strategy = "one_for_one",
        max_restarts: int = 3,
        within: float = 5.0,
        *,
        backoff: float = BACKOFF_S,
    ) -> None:
        if strategy not in ("one_for_one", "one_for_all", "rest_for_one"):
            raise ValueError(
                f"Supervisor: strategy must be 'one_for_one', 'one_for_all' or 'rest_for_one', not {strategy!r}"
            )
        self._strategy = strategy
        self._max_restarts = checked_count("Supervisor", "max_restarts", max_restarts, 0)
        self._within = checked_seconds("Supervisor", "within", within)
        self._backoff = checked_seconds("Supervisor", "backoff", backoff)
        self._children = [_Child(spec, number) for number, spec in enumerate(specs)]
        names = [child.name for child in self._children]
        if len(set(names)) < len(names):
            raise ValueError(f"Supervisor: two have the same name: {', '.join(names)}")
        self._history: list[Restart] = []
        self._recent: list[float] = []  # when it has restarted somebody, within the last seconds
        self._failure: GaveUp | None = None
        self._deaths: deque[tuple[_Child, Computicle, BaseException | None]] = deque()  # at most one of each life
        self._news = Line("a death among a supervisor's computicles")
        self._scope = Scope()
        self._ended = Line("the end of a supervisor's computicles")
        self._leaving = False

    def __enter__(self) -> Self:
        self._scope.__enter__()
        try:
            for child in self._children:
                self._start(child)
        except BaseException as error:
            try:
                self._end(self._children)
            finally:
                self._scope.__exit__(type(error), error, error.__traceback__)
            raise
        worker = Attendant(attendants_of(self._scope), self._work, lasting=True)
        self._worker = attend(self._scope, worker, "supervisor")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._leaving = True
        try:
            with Shield():
                self._worker.cancel()  # it may be about to start somebody
                with suppress(Exception):
                    self._worker.join()
            self._end(self._children)
        except BaseException as interruption:  # Ctrl-C: leave all the same, without waiting for their own sake
            self._scope.cancel()
            kind, error, traceback = type(interruption), interruption, interruption.__traceback__
            self._scope.__exit__(kind, error, traceback)
            raise
        finally:
            for child in self._children:
                child.finish("was supervised, and the supervisor has been left")
        absorbed = self._scope.__exit__(kind, error, traceback)
        if self._failure is not None:
            raise self._failure
        return absorbed

    def __getitem__(self, name: str) -> Following:
        """The handle of the one with this name. Raises KeyError."""
        for child in self._children:
            if child.name == name:
                return Following(child.slot)
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        """Their names, in order."""
        return (child.name for child in self._children)

    def __len__(self) -> int:
        return len(self._children)

    def wait(self) -> None:
        """Wait until all have ended well.

        Raises:
            Cancelled: it has given up; GaveUp follows where it is left.
        """
        me = entering()
        if any(child.going for child in self._children):
            self._ended.wait(me)

    # Supervising.

    def _work(self) -> None:
        while any(child.going for child in self._children):
            while not self._deaths:
                self._news.wait(entering())
            child, computicle, error = self._deaths.popleft()
            if child.slot.computicle is not computicle or self._leaving:
                continue  # one that was ended here
            again = child.spec.restart == "always" or (error is not None and child.spec.restart == "on_error")
            if not again:
                if error is not None:
                    log_error(error, "supervised computicle %r failed, and is not to be started again", child.name)
                child.finish("has ended" if error is None else f"failed: {error!r}")
                continue
            self._restart(child, error or ComputicleDied(child.name, "has ended, and is to run always"))
            if self._failure is not None:
                break
        self._ended.wake_all()

    def _restart(self, failed: "_Child", error: BaseException) -> None:
        """Start it again, and whoever goes with it, until that succeeds or is too much."""
        group = self._group(failed)
        failed.slot.lose()  # it has ended: nobody need wait for it
        self._end(group)
        while True:
            me = running()
            now = me.kernel.now()
            self._history = [*self._history[-99:], Restart(failed.name, now, error)]
            self._recent = [at for at in self._recent if now - at < self._within]
            if len(self._recent) >= self._max_restarts:
                self._give_up(failed, error)
                return
            self._recent.append(now)
            pause_s = failed.pause(now, self._backoff, self._within)
            if pause_s > 0:
                sleep_for(me, pause_s)
            try:
                for child in group:
                    self._start(child)
            except Exception as problem:
                error = problem
                self._end(group)
                continue
            return

    def _give_up(self, failed: "_Child", error: BaseException) -> None:
        text = f"{failed.name!r} failed once more after {self._max_restarts} restarts within {self._within:g} s"
        self._failure = GaveUp(text, self._history)
        self._failure.__cause__ = error
        self._leaving = True
        self._end(self._children)
        for child in self._children:
            child.finish("was supervised, and the supervisor has given up")
        self._scope.cancel()

    def _group(self, failed: "_Child") -> "list[_Child]":
        """Who is started again with it, in order: as far as they go on."""
        if self._strategy == "one_for_one":
            return [failed]
        begin = 0 if self._strategy == "one_for_all" else self._children.index(failed)
        return [child for child in self._children[begin:] if child.going]

    def _start(self, child: "_Child") -> None:
        spec = child.spec
        computicle = Computicle(spec.target, *spec.args, name=child.name, **spec.options)
        computicle.keeper(running()).told = lambda end: self._note(child, computicle, end)
        child.started(computicle, running().kernel.now())

    def _note(self, child: "_Child", computicle: Computicle, end: End) -> None:
        self._deaths.append((child, computicle, end.error))
        self._news.wake_first()

    def _end(self, children: "list[_Child]") -> None:
        """Have them end, the latest first.

        Shielded: who is cancelled here has those to end all the same, in their grace.
        """
        # All at once: what is posted from now on is for the next ones.
        ending = [child.slot.lose() for child in children]
        with Shield():
            for computicle in reversed(ending):
                if computicle is not None:
                    computicle.quit()
                    with suppress(Exception):  # it was asked to: whatever comes of it
                        computicle.wait()


class _Child:
    """One of them, through all its lives."""

    def __init__(self, spec: Any, number: int) -> None:
        self.spec = spec if isinstance(spec, Spec) else Spec(spec)
        shown = getattr(self.spec.target, "__name__", None)
        self.name = self.spec.name or (shown if isinstance(shown, str) and shown != "<lambda>" else f"child-{number}")
        self.slot = Slot(self.name)
        self.going = True  # it runs, or will again
        self._began = 0.0
        self._restarts = 0  # in a row

    def started(self, computicle: Computicle, now: float) -> None:
        self._began = now
        self.slot.fill(computicle)

    def pause(self, now: float, backoff_s: float, within_s: float) -> float:
        """How long to wait before its next start."""
        if now - self._began >= within_s:
            self._restarts = 0
        self._restarts += 1
        return min(backoff_s * 2.0 ** (self._restarts - 2), BACKOFF_S_MAX) if self._restarts > 1 else 0.0

    def finish(self, how: str) -> None:
        """It is not started again."""
        self.going = False
        self.slot.close(ComputicleDied(self.name, how))


def supervise(
    specs: Iterable[Any],
    strategy: Strategy = "one_for_one",
    max_restarts: int = 3,
    within: float = 5.0,
    *,
    backoff: float = BACKOFF_S,
) -> None:
    """Run a Supervisor. Waits until all have ended well, or it is cancelled.

    Args:
        specs, strategy, max_restarts, within, backoff: as Supervisor takes them.

    Raises:
        GaveUp: it has started them again too often.
        Exception: one of them could not be started at all.
    """
    with Supervisor(specs, strategy, max_restarts, within, backoff=backoff) as supervisor:
        supervisor.wait()
