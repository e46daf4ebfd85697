"""Computicle: making one.

Rules:
  1. It exists when the call returns: a process, forked from the zygote. What it
     runs has been sent to it, and begins by itself.
  2. It has its maker's folder, environment, module paths, standard output and
     standard error, as they are at that moment; standard input is empty.
  3. What cannot be carried is known before anything is started.

Not here: what one can do with it (handle.py), what goes on in it (life.py).
"""

import errno
import itertools
import os
import resource
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import Any

from computicle.engine.packets import PacketSocket, packet_pair
from computicle.scheduler.arguments import checked_callable, checked_seconds, name_of
from computicle.scheduler.fiber import Fiber
from computicle.scheduler.word import entering
from computicle.worlds.codec import pack
from computicle.worlds.contact import Contact
from computicle.worlds.handle import Handle
from computicle.worlds.home import home_of
from computicle.worlds.keeper import keep
from computicle.worlds.launcher import absolute_paths, launcher
from computicle.worlds.mail import mail_pair
from computicle.worlds.obituary import read_end
from computicle.worlds.orders import killing, said, starting
from computicle.worlds.parcel import Parcel
from computicle.worlds.program import Call, program_of

__all__ = ["Computicle"]

GRACE_S = 5.0  # unless told otherwise

_numbers = itertools.count(1)  # for the names of those that were given none; any thread


class Computicle(Handle):
    """An isolated world: a process with globals, fibers and a mailbox of its own. It starts at once.

    It ends when its target and all its fibers have, unless it has no target, has an
    on_message, or is told to stay: then it lives until it is told to quit. It
    belongs to the scope it is made in, as a fiber does. A context manager:
    leaving it asks it to quit, and waits for its end.

    To make one waits until the process is there, not until anything runs in it.

    Args:
        target: what it runs: a function, which gets `args` and `kwargs`; source text, which finds `kwargs` as globals;
            or the path of a .py file, which finds `args` in sys.argv and `kwargs` as globals. Without one it waits for
            code.
        name: for listings and messages.
        stay: live on until told to quit.
        env: its environment variables; the maker's, if not given.
        cwd: its folder; the maker's, if not given.
        grace: seconds it may take to end, or to get on with it, once it was asked to quit. Then it is killed.
        prefix: begin each line it prints with its name.
        preload: modules that the zygote imports first, for this and all that are made later.
        globals: further globals, also such as are named like an option.
        on_message: called with each message, one at a time.
        on_idle: called with 1, 2, 3... each time nothing has happened for `idle_timeout` seconds (0.015).
        on_exit: called when it ends.
        idle_timeout: seconds, for on_idle.

    Attributes:
        name: as given, or made from the target's.
        pid: of its process.

    Raises:
        OSError: no process can be had.
        TypeError: the target is nothing that could be run, or cannot be carried, or what goes with it cannot; or an
            option is of the wrong type.
        ValueError: an option has no possible value.
        FileNotFoundError: there is no such script.
        ImportError: a module to preload cannot be.
        ComputicleDied: the zygote has died meanwhile.
        RuntimeError: computicles are not to be had here: this is no Linux, a helper thread, or a simulation.
    """

    def __init__(
        self,
        target: Callable[..., Any] | str | os.PathLike[str] | None = None,
        /,
        *args: Any,
        name: str | None = None,
        stay: bool = False,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        grace: float = GRACE_S,
        prefix: bool = False,
        preload: Sequence[str] = (),
        globals: Mapping[str, Any] | None = None,  # noqa: A002  # part of the contract
        on_message: Callable[[Any], Any] | None = None,
        on_idle: Callable[[int], Any] | None = None,
        on_exit: Callable[[], Any] | None = None,
        idle_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        me = entering()
        if name is None:
            name = f"{_name_after(target)}-{next(_numbers)}"
        program = program_of(target, args, kwargs, name)
        found = dict(globals or {}) if isinstance(program, Call) else {**(globals or {}), **kwargs}
        for hook, fn in (("on_message", on_message), ("on_idle", on_idle), ("on_exit", on_exit)):
            if fn is not None:
                found[hook] = checked_callable("Computicle", hook, fn)
        if idle_timeout is not None:
            found["idle_timeout"] = checked_seconds("Computicle", "idle_timeout", idle_timeout)
        if isinstance(preload, str):
            raise TypeError("Computicle: preload is a list of module names")
        carried = pack((program, found))
        lasting = program is None or stay or "on_message" in found
        settings = {
            "stay": lasting,
            "env": dict(os.environ) if env is None else _checked_env(env),
            "cwd": os.getcwd() if cwd is None else os.path.abspath(cwd),
            "paths": absolute_paths(),
            "argv": sys.argv,
            "prefix": prefix,
            "grace": checked_seconds("Computicle", "grace", grace),
        }
        _start(self, me, name, settings, carried, tuple(preload))
        keeper = keep(self, me.scope, lasting=lasting or self.stays)
        keeper.homes.add(home_of(me))  # which forgets it once it has ended


Contact.kind = Computicle


def _start(
    handle: Computicle, me: Fiber, name: str, settings: dict[str, Any], program: Parcel, preload: tuple[str, ...]
) -> None:
    """Have the zygote start it, and send it all it needs."""
    uid = os.urandom(8)
    with ExitStack() as given, ExitStack() as unsent:
        unsent.callback(program.close)
        mail, mail_there = _with_room(mail_pair)
        (lane, lane_there), (obituary_there, obituary), (birth_there, birth) = (
            _with_room(packet_pair) for _ in range(3)
        )
        for end in (mail_there, lane_there, obituary_there, birth_there):
            given.callback(end.close)
        out, err = (_with_room(partial(_standard, number)) for number in (1, 2))
        for descriptor in (out, err):
            given.callback(os.close, descriptor)
        home = home_of(me)
        handle._attach(uid, name, settings["grace"], mail, lane, obituary)
        settings.update(handle=handle, maker=home.uid, answers=home.lane)
        home.staying[uid] = handle.stay  # already: it may have done what it begins with before this goes on
        try:
            sockets = (lane_there.fileno(), out, err, obituary_there.fileno(), birth_there.fileno())
            theirs = (*mail_there.numbers(), *sockets)
            launcher.ask(starting(uid, preload), theirs)
            handle.zygote = launcher.number
            given.close()  # now: if the zygote dies with them, what it was to write to ends
            with suppress(BrokenPipeError):  # it has ended already: whoever waits for it is told
                settings["env"] = launcher.told(settings["env"])
                handle._lane.send(b"", pack(settings))
                unsent.pop_all()
                handle._lane.send(b"", program)
            handle._introduced.add(home.uid)
            handle.pid = _await_birth(handle, birth, me)
        except BaseException:
            launcher.tell(killing(uid, "was given up"))
            del home.staying[uid]
            handle.detach()
            raise


def _await_birth(handle: Computicle, birth: PacketSocket, me: Fiber) -> int:
    """Wait for the zygote to have forked it; its process id. Raises why it has not.

    That is not told in the obituary: it may go about already, and others who have its handle look there for its end.
    """
    wire = me.kernel.engine.packets(birth, f"the birth of computicle {handle.name!r}")
    try:
        packet = wire.receive(0) or me.kernel.finish_op(me, wire.reading, wire.receive, 0)
    finally:
        wire.close()
    if not packet.data:
        error = read_end(packet, handle.name).error
        assert error is not None
        raise error
    answer = said(packet)
    if isinstance(answer, BaseException):
        raise answer
    return answer  # type: ignore[no-any-return]


def _standard(number: int) -> int:
    """A copy of a standard descriptor; of nothing, if it is closed."""
    try:
        return os.dup(number)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)


def _with_room(make: Callable[[], Any]) -> Any:
    """Make sockets; if this process has no descriptors left, allow it as many as the system lets it have."""
    try:
        return make()
    except OSError as error:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if error.errno != errno.EMFILE or soft == hard:
            raise
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        return make()


def _checked_env(env: Mapping[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"Computicle: env must map strings to strings, not {name!r} to {value!r}")
        if not name or "=" in name or "\0" in name or "\0" in value:
            raise ValueError(f"Computicle: env cannot have {name!r} with {value!r}")
    return dict(env)


def _name_after(target: Any) -> str:
    if target is None:
        return "computicle"
    if callable(target):
        return name_of(target).rsplit(".", 1)[-1]
    if isinstance(target, str) and (not target.endswith(".py") or "\n" in target):
        return "source"
    return os.path.basename(os.fspath(target)) if isinstance(target, (str, os.PathLike)) else "computicle"
