"""Nobody: who runs while the kernel does.

Finalisers, hooks and handlers of the program's own may run on the kernel's
stack. There the running fiber is this one: it may not wait, and there is no
scope around it to spawn in.

Not here: predicates, which are asked in the name of their waiters
(predicates.py).
"""

from typing import TYPE_CHECKING, Any, NoReturn, cast

from computicle.scheduler.fiber import Fiber, new_fiber

if TYPE_CHECKING:
    from computicle.scheduler.kernel import Kernel
    from computicle.scheduler.scope import Scope

__all__ = ["make_nobody"]


def make_nobody(kernel: "Kernel") -> Fiber:
    """One that is never run, and in no list of those alive."""
    scope = cast("Scope", _Nowhere())
    nobody = new_fiber(kernel, scope, _never_run, (), None, "the kernel", None)
    nobody.outer = None
    nobody.why = _Inside()
    nobody.limit = nobody.credit = 0
    return nobody


class _Nowhere:
    """Where nothing can be spawned."""

    @property
    def fibers(self) -> NoReturn:
        self.make()

    def make(self, *_arguments: Any) -> NoReturn:
        raise RuntimeError(
            "no fiber can be spawned here, where the kernel runs (a finaliser, a hook, or a handler of the program's "
            "own): have a fiber wait for a signal, and give it here"
        )


class _Inside:
    """What the kernel is said to wait for, so that words that wait refuse to."""

    def call_off(self, _fiber: Fiber) -> None:
        raise AssertionError("the kernel does not wait")

    def __str__(self) -> str:
        return "whatever comes next"


def _never_run() -> None:
    raise AssertionError("the kernel is not run as a fiber")
