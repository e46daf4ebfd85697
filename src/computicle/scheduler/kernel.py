"""Kernel: who runs next in one thread.

There is no loop that every switch goes through: a fiber that gives way
switches to the next in the ready queue, and counts down the turn (turn.py).
When there is something to look at, it enters the hub, the one greenlet that
asks predicates, looks at timers and sleeps in the engine. Handed on directly,
a yield costs a third of gevent's; through a hub, a half (bench/yielding.py).

Rules:
  1. Ready fibers run first in, first out.
  2. After each turn predicates are asked; timers and engine are looked at as
     often as turn.py says, and at once when nothing is ready.
  3. With nothing ready and nothing to come, nobody waits unseen: quiet
     waiters are called off, or Deadlock is raised in the main fiber.
  4. All of it is for the owner's thread.

Not here: what fibers wait for, threads and runs (flows.py), signals of the
operating system (interrupts.py).
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, MutableMapping
from typing import TYPE_CHECKING, Any

from computicle.engine.op import Engine, Op
from computicle.scheduler.carrier import Carrier, Killed, here
from computicle.scheduler.crew import Crew
from computicle.scheduler.deadlock import call_off_quietly, tell_deadlock
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.hosted import drop_open
from computicle.scheduler.interrupts import Interrupts
from computicle.scheduler.nobody import make_nobody
from computicle.scheduler.park import Opening, Runner, interrupt, park, wake
from computicle.scheduler.predicates import Predicates
from computicle.scheduler.region import strike
from computicle.scheduler.scope import FreeScope, Scope
from computicle.scheduler.signals import Signals
from computicle.scheduler.spots import calls_out
from computicle.scheduler.timers import Timers
from computicle.scheduler.traces import add_note, clear_own_frames, with_trace
from computicle.scheduler.turn import Turn

if TYPE_CHECKING:
    from computicle.scheduler.hooks import Observing
    from computicle.scheduler.idleness import Idler

__all__ = ["Kernel"]


class Kernel:
    """The scheduler of one thread."""

    def __init__(self, engine: Engine, ready: deque[Runner] | None = None) -> None:
        self.engine = engine
        self.now = engine.now
        self.ready: deque[Runner] = deque() if ready is None else ready
        self.timers = Timers(engine.tie, engine.now())
        self.signals = Signals()
        self.predicates = Predicates()
        self.main: Fiber  # whom Ctrl-C and Deadlock are raised in (flows.py)
        self.base: FreeScope  # the implicit scope, for what is spawned outside run (flows.py)
        self.run_scope: Scope | None = None  # the scope of the run that is on
        self.free_scopes: dict[FreeScope, None] = {}
        self.interrupts = Interrupts(self)
        self.hub = Carrier(self._work)
        self.nobody = self.hub.fiber = make_nobody(self)
        self.turn = Turn(self)
        self._unborn: Fiber | None = None  # to be given a new carrier by the hub, or to be ended
        self._pending: BaseException | None = None  # an interruption that waits for the main fiber to wait
        self.polling = False  # operations are being attempted or given out: none may be withdrawn now
        self.late: deque[Fiber] = deque()  # cancelled meanwhile, to be struck then (region.py)
        self.wish: SystemExit | None = None  # to end the run that is on: by SIGTERM, or by some fiber
        self.attended = 0  # attendants alive, through whom something may still come (attendants.py)
        self.idler: Idler | None = None  # who waits for it to have slept for a while (idleness.py)
        self.told_to_end = False  # by SIGTERM, or by a SystemExit in some fiber
        self.crew = Crew(Kernel._carry)
        self.locals: dict[Fiber, MutableMapping[Any, dict[str, Any]]] = {}  # of the fibers that use a FiberLocal
        self.hooks: Observing | None = None  # set while somebody looks on (hooks.py)

    # Turns.

    def _work(self) -> None:
        """The hub: entered at the end of a turn, to give a fiber a new carrier, or to end one that never begins."""
        self.hub.give_back()  # to who began it (flows.py)
        carrier = None
        interrupted = False  # a look was cut short: not again before the main fiber has been told
        while True:
            fiber, self._unborn = self._unborn, None
            try:
                if fiber is None:
                    if not interrupted:
                        self._look()
                    interrupted = False
                    self.turn.begin()
                    self.ready.popleft().switch()
                elif fiber.doomed():
                    self._bury(fiber, fiber.error or Cancelled())  # its predicate may have raised
                    fiber = None  # no variable here keeps it, or all it has, until the next one comes
                    self._pass_on()
                else:
                    # Made here, at the hub's constant depth: carriers made on top of each other would use up the stack.
                    carrier = self.crew.make()
                    fiber.board(carrier)
                    fiber = None  # as above
                    carrier.switch(self)  # not bound to it: that takes a C frame, a tenth of what a parked one keeps
            except Killed:
                raise  # the kernel is being closed
            except BaseException as error:
                self.hub.fiber = self.nobody
                if fiber is None and carrier is not None and carrier.dead:
                    fiber = carrier.fiber  # there was no memory for its first frame, where it died
                if fiber is not None and fiber is not self.nobody and not fiber.done:
                    self._bury(fiber, error)
                    fiber = None
                else:
                    # A handler of the program's own has raised in here: that is for the main fiber.
                    self.interrupt_main(self._collect_before(error))
                    interrupted = bool(self.ready)

    def _bury(self, fiber: Fiber, error: BaseException) -> None:
        """It will never begin: end it."""
        if fiber.args and isinstance(fiber.args[0], Opening):
            fiber.args[0].end()
        self.fail(fiber, error)

    def _pass_on(self) -> None:
        """From the hub: let the next one run, unless the turn is over."""
        self.turn.left -= 1
        if self.turn.left > 0 and self.ready:
            self.ready.popleft().switch()

    def _look(self) -> None:
        self._sweep()
        if not self.ready:
            self._idle()
        elif self.turn.look_due():
            self.crew.count()
            self._collect(0.0)
        else:
            return
        self.turn.has_looked()

    def _sweep(self) -> None:
        if self.predicates.watches:
            self.predicates.sweep(self.hub)
            self.hub.fiber = self.nobody

    def _idle(self) -> None:
        """Nothing is ready: sleep in the engine until something is."""
        while not self.ready:
            deadline = self.timers.next_deadline()
            if deadline is None and not self.engine.busy():
                self._sweep()  # predicates get one last look
                if not self.ready and not call_off_quietly(self):
                    if self.attended:
                        self._sleep(None)
                    else:
                        tell_deadlock(self)
            elif self.idler is not None or self.crew.is_large():
                self._sleep(deadline)
            elif deadline is not None:
                self._collect(max(0.0, deadline - self.now()))
            else:
                self._collect(None)
            if self.predicates.beaten and not self.ready:
                self.predicates.sweep_beaten(self.hub)
                self.hub.fiber = self.nobody

    def _sleep(self, deadline: float | None) -> None:
        now = self.now()
        if self.crew.is_large():
            again = self.crew.tend(now)
            if again is not None and (deadline is None or again < deadline):
                deadline = again
        timeout = None if deadline is None else max(0.0, deadline - now)
        idler = self.idler
        if idler is None:
            self._collect(timeout)
        else:
            self._collect(idler.limit(now, timeout))
            idler.has_slept(self.now(), woken=bool(self.ready))

    def _collect(self, timeout: float | None) -> None:
        """Take what the engine has finished, and what is due."""
        self.polling = True
        self.give_out(self.engine.poll(timeout))
        self.timers.fire(self.now())

    def give_out(self, finished: deque[Op]) -> None:
        """Wake whoever waits for these; before the engine is asked again, which would attempt them once more."""
        while finished:
            op = finished[0]
            fiber: Fiber | None = op.waiter
            if fiber is not None:  # else it was called off after it had finished
                op.waiter = op.argument = None
                fiber.why = None
                fiber.value, op.result = op.result, None
                fiber.error, op.error = op.error, None
                fiber.ready.append(fiber.runner)
            finished.popleft()  # only now: a signal handler that raises in between has lost nothing
        self.polling = False
        while self.late:
            if not self.late[0].done:
                strike(self.late[0])
            self.late.popleft()  # as above

    def _collect_before(self, error: BaseException) -> BaseException:
        """A look was cut short by `error`: first give out what has finished, for an interruption would withdraw it."""
        try:
            self._collect(0.0)
        except BaseException as another:
            return another
        return error

    # Fibers.

    def bear(self, fiber: Fiber) -> None:
        """Have the hub make a carrier for `fiber`, and run it there; or end it, if it was cancelled before that."""
        self._unborn = fiber
        try:
            self.hub.switch()
        except RecursionError:
            self._unborn = None
            raise

    @calls_out
    def _carry(self) -> None:  # noqa: PLR0915  (see below: what is written out)
        """What a carrier runs: one fiber after the other."""
        carrier = here()
        ready, turn, idle, nobody, locals_ = self.ready, self.turn, self.crew.idle, self.nobody, self.locals
        # `while True`, because a loop that ends in a conditional jump is never specialised by CPython 3.11.
        while True:
            fiber = carrier.fiber
            if fiber is nobody:
                return
            fn, args = fiber.fn, fiber.args
            try:
                # Calls without a star take no C frame: quicker to switch, and half a KiB smaller while parked.
                if fiber.kwargs is not None:
                    value = fn(*args, **fiber.kwargs)
                elif not args:
                    value = fn()
                elif len(args) == 1:
                    value = fn(args[0])
                elif len(args) == 2:
                    value = fn(args[0], args[1])
                else:
                    value = fn(*args)
                if fiber.region is not fiber:
                    raise RuntimeError(drop_open(fiber, fiber, fiber.outer))  # type: ignore[arg-type]
            except BaseException as error:
                carrier.fiber = nobody  # already: a handler of the program's own that logs the error may not wait
                self.fail(fiber, error)
            else:
                # As in `fail`, but written out, which saves 0.15 of the 2.5 us of spawn and join (bench/spawning.py).
                fiber.done = True
                fiber.value = value
                scope: Scope = fiber.outer  # type: ignore[assignment]
                del scope.fibers[fiber]
                fiber.args = ()
                fiber.kwargs = fiber.context = None
                if locals_:
                    locals_.pop(fiber, None)
                del fiber.runner, fiber.region
                joiner = fiber.joiners
                if joiner is not None:
                    if type(joiner) is not Fiber:
                        fiber.tell()
                    elif joiner.why is not None:
                        fiber.joiners = joiner.why = None
                        joiner.ready.append(joiner.runner)
                if scope.leaving and not scope.fibers and scope.host.why is scope:
                    wake(scope.host)
                del value, scope, joiner
            carrier.fiber = nobody
            carrier.gr_context = None
            del fiber, fn, args
            idle.append(carrier)
            turn.left -= 1
            if turn.left > 0 and ready:
                ready.popleft().switch()
            else:
                turn.end()

    def fail(self, fiber: Fiber, error: BaseException) -> None:
        """It has ended with an error: keep it, tell who waits, let go of the rest."""
        scope: Scope = fiber.outer  # type: ignore[assignment]
        if fiber.region is not fiber:
            add_note(error, drop_open(fiber, fiber, scope))
        fiber.done = True
        fiber.value = None
        del scope.fibers[fiber]
        fiber.args = ()
        fiber.kwargs = fiber.context = None
        if self.locals:
            self.locals.pop(fiber, None)
        trace = error.__traceback__
        if isinstance(error, Cancelled):
            fiber.error = with_trace(error, None)  # nobody sees it, and its frames hold the fiber
        else:
            fiber.trace = trace.tb_next if trace is not None else None  # without _carry's line
            fiber.error = with_trace(error, fiber.trace)
            clear_own_frames(error)  # they hold the fiber, which now holds them
            if isinstance(error, (SystemExit, KeyboardInterrupt)):
                self.interrupt_main(error)  # a fiber wants the program to end
            elif not fiber.is_awaited():
                scope.failed(fiber, error)
        del fiber.runner, fiber.region  # they may be the fiber itself: circles, which only the collector would find
        if fiber.joiners is not None:
            fiber.tell()
        if scope.leaving and not scope.fibers and scope.host.why is scope:
            wake(scope.host)

    # Waits that are the kernel's own business.

    def finish_op(self, me: Fiber, op: Op, attempt: Callable[[Any], Any], argument: Any) -> Any:
        """Hand an operation to the engine and wait until it has finished."""
        if op.waiter is not None:
            raise RuntimeError(f"fiber {op.waiter.name!r} is already waiting for {op}: one fiber at a time")
        op.attempt = attempt
        op.argument = argument
        op.waiter = me
        return self.wait_for_op(me, op)

    def wait_for_op(self, me: Fiber, op: Op) -> Any:
        """Wait for an operation that is under way."""
        self.engine.waiting += 1
        me.why = op
        try:
            return park(me)
        finally:
            self.engine.waiting -= 1

    def is_left_behind(self) -> bool:
        """True if it is that of the process which has forked this one."""
        return self.engine.process != os.getpid()

    def check_thread(self, message: str) -> None:
        """Raise RuntimeError unless called in the owner's thread."""
        try:
            if here().fiber.kernel is self:
                return
        except AttributeError:
            pass
        raise RuntimeError(message)

    # Interruptions and ends.

    def interrupt_main(self, error: BaseException) -> None:
        """Raise `error` in the main fiber: at its current wait, or at its next. A SystemExit ends the run, too."""
        main = self.main
        if isinstance(error, SystemExit):
            self.told_to_end = True
            if self.run_scope is not None and self.wish is None:
                self.wish = error
        if not self.will_interrupt_main(type(error)) and not interrupt(main, error):
            self._pending = error
            main.hold()
        if self.run_scope is not None and self.wish is not None:
            self.run_scope.cancel()

    def will_interrupt_main(self, kind: type[BaseException]) -> bool:
        """True if an error of this kind is on its way to the main fiber, which has not run since."""
        return isinstance(self.main.error, kind) or isinstance(self._pending, kind)

    def has_pending(self, fiber: Fiber) -> bool:
        """True if an interruption waits for `fiber` to wait."""
        return self._pending is not None and fiber is self.main

    def take_pending(self) -> BaseException:
        """The interruption, to be raised now."""
        error, self._pending = self._pending, None
        assert error is not None
        self.main.settle()
        return error

    def alive(self) -> Iterator[Fiber]:
        """Every fiber that has not ended, the main fiber first."""
        yield self.main
        seen = {self.main}
        for region in [self.main, *self.free_scopes]:
            for fiber in region.reach():
                if fiber not in seen:
                    seen.add(fiber)
                    yield fiber

    def use_ready(self, ready: deque[Runner], hooks: "Observing | None") -> None:
        """Keep who is ready in another queue, which has them already. For hooks.py."""
        self.ready = self.turn.ready = ready
        self.hooks = hooks
        for fiber in [self.nobody, *self.alive()]:
            fiber.ready = ready

    def close(self) -> None:
        """End the carriers and the engine. All fibers have ended, or never will."""
        self.crew.close()
        self.hub.kill()
        self.engine.close()
