"""Requests: what other computicles may ask of this one, beside taking a message.

Rules:
  1. Code and calls run as fibers, as many at once as are asked for. An error
     in one is its asker's, and ends nothing here.
  2. Globals are read and set at once, in the order in which it is asked.
  3. Whoever has asked may have it cancelled.

Not here: how they come in (home.py), what quitting does (life.py).
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple

from computicle.engine.packets import Packet
from computicle.scheduler.arguments import name_of
from computicle.scheduler.errors import Cancelled
from computicle.scheduler.flows import RunScope
from computicle.scheduler.park import Opening
from computicle.scheduler.spots import calls_out
from computicle.worlds.codec import pack, unpack
from computicle.worlds.functions import set_by_hand
from computicle.worlds.home import HEAD, Home, use_requests
from computicle.worlds.parcel import Parcel
from computicle.worlds.program import run_source

__all__ = ["CALL", "CANCEL", "EXEC", "GET", "QUIT", "SET", "Asked"]

EXEC = 16  # run source text
CALL = 17  # call a function, or one of ours by name
GET = 18  # a global
SET = 19
CANCEL = 20  # a request made before
QUIT = 21


class Asked(NamedTuple):
    """What is called, with what."""

    fn: Callable[..., Any] | str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def _exec(home: Home, number: int, asker: bytes, packet: Packet) -> None:
    text = _asked(home, number, asker, packet)
    if text is None:
        return

    def run() -> Any:
        return run_source(text, f"<code for {home.name}>", _globals(), lambda: _notice(home))

    _Running(home, number, asker, run).begin("code")


def _call(home: Home, number: int, asker: bytes, packet: Packet) -> None:
    asked = _asked(home, number, asker, packet)
    if asked is None:
        return
    fn, args, kwargs = asked

    def run() -> Any:
        # A name is looked up only now: code that was sent before may define it.
        return (_named(fn) if isinstance(fn, str) else fn)(*args, **kwargs)

    _Running(home, number, asker, run).begin(fn if isinstance(fn, str) else name_of(fn))


def _get(home: Home, number: int, asker: bytes, packet: Packet) -> None:
    def get() -> Parcel:
        name = unpack(packet.data, HEAD.size, packet.descriptors)
        if name not in _globals():
            raise KeyError(name)
        return pack(_globals()[name])

    _answer_at_once(home, number, asker, get)


def _set(home: Home, number: int, asker: bytes, packet: Packet) -> None:
    def change() -> Parcel:
        name, value = unpack(packet.data, HEAD.size, packet.descriptors)
        _globals()[name] = value
        set_by_hand(name)
        _notice(home)
        return pack(None)

    _answer_at_once(home, number, asker, change)


def _cancel(home: Home, number: int, asker: bytes, _packet: Packet) -> None:
    fiber = home.running.get((asker, number))
    if fiber is not None:
        fiber.cancel()


def _quit(home: Home, _number: int, _asker: bytes, packet: Packet) -> None:
    drain = unpack(packet.data, HEAD.size, packet.descriptors)
    if home.life is not None:
        home.life.quit(drain=drain)
    elif isinstance(home.scope, RunScope):
        home.scope.cancel()  # the main program: as `stop` does. In no run there is nothing to stop


use_requests({EXEC: _exec, CALL: _call, GET: _get, SET: _set, CANCEL: _cancel, QUIT: _quit})


class _Running(Opening):
    """A request that takes time: answered in any case, also if it is cancelled before it has begun."""

    __slots__ = ("_asker", "_home", "_number", "_run")

    def __init__(self, home: Home, number: int, asker: bytes, run: Callable[[], Any]) -> None:
        self._home = home
        self._number = number
        self._asker = asker
        self._run = run

    def begin(self, name: str) -> None:
        scope = self._home.scope if self._home.life is None else self._home.life.guests
        if scope.open:  # else it ends: who has asked is told that
            key = (self._asker, self._number)
            self._home.running[key] = scope.begin(_Running.serve, (self,), {}, name)

    @calls_out
    def serve(self) -> None:
        """What its fiber runs."""
        try:
            parcel = pack(self._run())
        except BaseException as error:
            self._fail(error)
            if isinstance(error, (Cancelled, SystemExit, KeyboardInterrupt)):
                raise
        else:
            self._finish()
            self._home.answer(self._number, self._asker, parcel)

    def end(self) -> None:
        """It will never begin."""
        self._fail(Cancelled())

    def _fail(self, error: BaseException) -> None:
        self._finish()
        self._home.fail(self._number, self._asker, error)

    def _finish(self) -> None:
        self._home.running.pop((self._asker, self._number), None)


def _asked(home: Home, number: int, asker: bytes, packet: Packet) -> Any:
    """What the packet brings; None if it cannot be rebuilt: then whoever has asked is told."""
    try:
        return unpack(packet.data, HEAD.size, packet.descriptors)
    except Exception as error:
        home.fail(number, asker, error)
        return None


def _answer_at_once(home: Home, number: int, asker: bytes, act: Callable[[], Parcel]) -> None:
    try:
        parcel = act()
    except Exception as error:
        home.fail(number, asker, error)
    else:
        home.answer(number, asker, parcel)


def _globals() -> dict[str, Any]:
    return vars(sys.modules["__main__"])


def _named(path: str) -> Any:
    first, *rest = path.split(".")
    if first not in _globals():
        raise NameError(f"name {first!r} is not defined there")
    value = _globals()[first]
    for name in rest:
        value = getattr(value, name)
    return value


def _notice(home: Home) -> None:
    if home.life is not None:
        home.life.notice_hooks()
