"""World: a computicle, from the first packet it gets to the last it sends.

Rules:
  1. What it has come to is told as the very last thing.
  2. A child that its program has forked says nothing: that is its parent's.

Not here: what goes on in between (life.py), requests of others (requests.py),
the process around it (birth.py).
"""

import atexit
import contextlib
import os
import select
import sys
import threading
from types import ModuleType
from typing import Any

from computicle.engine.packets import Packet, PacketSocket, packet_buffer, receive_packet, send_waiting
from computicle.engine.pipes import PipeEnd
from computicle.scheduler.carrier import here
from computicle.scheduler.ends import close_flow, exit_status
from computicle.scheduler.flows import RunScope, adopt, run_main
from computicle.scheduler.log import log_error
from computicle.worlds.codec import pack, unpack
from computicle.worlds.errors import carry_error
from computicle.worlds.home import Home
from computicle.worlds.launcher import launcher
from computicle.worlds.life import Life
from computicle.worlds.mail import MailEnds
from computicle.worlds.mailbox import Mailbox
from computicle.worlds.orders import TRY_OUT, ending
from computicle.worlds.parcel import Parcel
from computicle.worlds.prefixed import Prefixed
from computicle.worlds.preload import try_out

__all__ = ["live"]


def live(link_end: int, place: int) -> int:
    """The whole of it; the exit status."""
    link = PacketSocket(link_end)
    launcher.join(link, place)
    _call_process("computicle next")
    adopt()  # ahead: for a kernel it need not know yet what it is
    birth = _next_packet(link)
    if birth.data[:1] == TRY_OUT:
        send_waiting(link, Packet(ending(try_out(birth.data)), ()))
        return 0
    pipe_end, beside_end, lane_end, out, err = birth.descriptors
    for given, standard in ((out, 1), (err, 2)):
        os.dup2(given, standard)
        os.close(given)
    mail, lane = MailEnds(PipeEnd(pipe_end), PacketSocket(beside_end)), PacketSocket(lane_end)
    settings = _unpacked(_next_packet(lane))
    process = os.getpid()
    value: Any = None
    error: BaseException | None = None
    try:
        _settle_in(settings)
        program, found = _unpacked(_next_packet(lane))
        value = run_main(_main, (settings, program, found, lane, mail), {})
    except BaseException as raised:
        error = raised
    if os.getpid() != process:
        return _end_fork(error)
    failed, outcome = _outcome(value, error, settings["handle"].name)
    close_flow()
    _wind_up()
    send_waiting(link, Packet(ending(bytes((failed,)) + outcome.data), outcome.descriptors))
    return int(failed)


def _outcome(value: Any, error: BaseException | None, name: str) -> tuple[bool, Parcel]:
    """What it has come to: whether it has failed, and with what."""
    try:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            return False, pack(value, for_one=False)
    except BaseException as problem:
        error = problem
    return True, carry_error(error, name)


def _end_fork(error: BaseException | None) -> int:
    """Rule 2; the exit status."""
    if error is not None and not isinstance(error, SystemExit):
        sys.excepthook(type(error), error, error.__traceback__)
    status = exit_status(error)
    _flush()
    return status


def _main(settings: dict[str, Any], program: Any, found: dict[str, Any], lane: PacketSocket, mail: MailEnds) -> Any:
    handle = settings["handle"]
    handle.pid = os.getpid()
    me = here().fiber
    scope: Any = me.kernel.run_scope
    assert isinstance(scope, RunScope)
    home = scope.home = Home(scope, handle.uid, handle._lane.sock, lane)
    home.askers[settings["maker"]] = settings["answers"]
    home.open(handle, Mailbox(me.kernel, scope, mail, handle._mail.ends))
    home.life = Life(home, settings)
    vars(sys.modules["__main__"]).update(found)
    return home.life.lead(program)


def _next_packet(sock: PacketSocket) -> Packet:
    """Wait for it, without giving way: there is nobody yet."""
    ready = select.poll()
    ready.register(sock, select.POLLIN)
    buffer = packet_buffer()
    while (packet := receive_packet(sock, buffer)) is None:
        ready.poll()
    if not packet.data:
        os._exit(1)  # whoever wanted this has ended before telling what it is
    return packet


def _unpacked(packet: Packet) -> Any:
    return unpack(packet.data, 0, packet.descriptors)


def _call_process(name: str) -> None:
    """As ps(1) and top(1) show it."""
    try:
        file = os.open("/proc/self/comm", os.O_WRONLY)  # a file object would cost a computicle 40 more pages
    except OSError:
        return
    with contextlib.suppress(OSError):
        os.write(file, name.encode()[:15])
    os.close(file)


def _settle_in(settings: dict[str, Any]) -> None:
    _call_process(settings["handle"].name)
    env = settings["env"]
    if env is not None:
        for name in [*os.environ]:
            if name not in env:
                del os.environ[name]
        os.environ.update(env)
    os.chdir(settings["cwd"])
    sys.path[:] = settings["paths"]
    sys.argv[:] = settings["argv"]
    main = ModuleType("__main__")
    sys.modules["__main__"] = main
    if settings["prefix"]:
        for name in ("stdout", "stderr"):
            setattr(sys, name, Prefixed(getattr(sys, name), settings["handle"].name))


def _wind_up() -> None:
    """What an interpreter does at its end, but for taking itself apart."""
    for finish in (threading._shutdown, atexit._run_exitfuncs):  # type: ignore[attr-defined]
        try:
            finish()
        except BaseException as error:
            log_error(error, "at the end of a computicle")
    _flush()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            if isinstance(stream, Prefixed):
                stream.end()
            stream.flush()
        except Exception:  # noqa: S110  # nobody reads it any more
            pass
