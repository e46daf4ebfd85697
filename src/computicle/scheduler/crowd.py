"""Crowd: several functions at once, as one call: race and gather.

Rules:
  1. The fibers live in a scope of the call's own, and have ended when it returns.
  2. The first error cancels the rest and is raised as it is. Errors that come
     after it are logged.
  3. Cancelled from outside while nothing has been decided: Cancelled is raised.

Not here: open-ended groups (scope.py).
"""

from collections.abc import Callable
from typing import Any

from computicle.scheduler.arguments import name_of
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.log import log_error
from computicle.scheduler.park import look_around
from computicle.scheduler.scope import Scope
from computicle.scheduler.spots import calls_out

__all__ = ["gather_all", "race_all"]


class Crowd(Scope):
    """A scope whose first error stands for all."""

    __slots__ = ()
    quiet = False

    def failed(self, fiber: Fiber, error: BaseException) -> None:
        if self.errors:
            log_error(error, "fiber %r failed after another one had", fiber.name)
            return
        super().failed(fiber, error)

    def raise_first(self) -> None:
        """The first error, if there was one, as it is."""
        if self.errors:
            error = self.errors[0]
            self.errors = []
            raise error

    def pass_on_cancellation(self, me: Fiber) -> None:
        """For the call to decide, which may have its values all the same."""

    def settle_errors(self, error: BaseException | None, *, absorbed: bool) -> bool:
        if error is not None:  # Ctrl-C or Deadlock goes first
            for fiber_error in self.errors:
                log_error(fiber_error, "a fiber failed, and the call was interrupted")
        return absorbed


def gather_all(me: Fiber, fns: tuple[Callable[[], Any], ...]) -> list[Any]:
    """`gather`, once its arguments are known to be good."""
    fibers: list[Fiber] = []
    with Crowd() as crowd:
        fibers.extend(crowd.begin(fn, (), {}, None) for fn in fns)
    crowd.raise_first()
    return [_value_of(me, fiber) for fiber in fibers]


def race_all(me: Fiber, fns: tuple[Callable[[], Any], ...]) -> Any:
    """`race`, once its arguments are known to be good."""
    won: list[Any] = []

    @calls_out
    def entrant(fn: Callable[[], Any]) -> None:
        value = fn()
        if not won:
            won.append(value)
            crowd.cancel()

    fibers: list[Fiber] = []
    with Crowd() as crowd:
        fibers.extend(crowd.begin(entrant, (fn,), {}, name_of(fn)) for fn in fns)
    crowd.raise_first()
    if not won:
        for fiber in fibers:
            _value_of(me, fiber)
    return won[0]


def _value_of(me: Fiber, fiber: Fiber) -> Any:
    """Raises what has ended it otherwise: it was cancelled, or somebody else has joined it, and was told first."""
    if fiber.error is not None and me.credit <= 0:
        look_around(me)
    return fiber.result()
