"""Streams and listeners that are dropped without having been closed, on every engine."""

import gc
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from computicle import *
from computicle.engine.readiness import ReadinessEngine
from computicle.scheduler.flows import run_apart
from tests.conftest import World
from tests.contract.helpers import without_the_collector
from tests.contract.test_streams import much, parked
from tests.process.children import ended

HANG_S = 30  # bounds a hang; nothing takes this long


@contextmanager
def warned_of(*ends: object) -> Iterator[None]:
    """What is dropped in the body, and nothing else, is warned of by its name."""
    names = sorted(f"unclosed {end!r}: close it, or use it in a with-statement" for end in ends)
    del ends
    with pytest.warns(ResourceWarning) as told:
        yield
    assert sorted(str(warning.message) for warning in told) == names


def two_ends() -> tuple[Stream, Stream]:
    with listen(0) as listener:
        return connect("127.0.0.1", listener.port), listener.accept()


def nothing(_near: Stream, _far: Stream) -> None:
    """It has not been used at all."""


def waited(near: Stream, far: Stream) -> None:
    """Every word that reads has waited on it, and has been answered."""
    for read in (Stream.recv, Stream.readline, lambda stream: stream.read_exactly(1), into):
        reader = spawn(read, near)
        parked(reader, "data from")
        far.sendall(b"\n")
        reader.join()


def into(stream: Stream) -> int:
    return stream.recv_into(bytearray(1))


def timed_out(near: Stream, far: Stream) -> None:
    """In the middle of a line."""
    far.sendall(b"half")
    assert near.read_exactly(1) == b"h"
    for read in (Stream.readline, Stream.recv):
        with move_on_after(0.1):
            read(near)
            read(near)


def read_by_line(near: Stream, far: Stream) -> None:
    far.sendall(b"one\ntwo\n")
    for _line in near:
        break


def sent_much(near: Stream, far: Stream) -> None:
    writer = spawn(near.sendall, bytes(1 << 20))
    far.read_exactly(1 << 20)
    writer.join()


def send_cut_short(near: Stream, _far: Stream) -> None:
    with move_on_after(0):
        near.sendall(bytes(1 << 26))


def send_given_up(near: Stream, far: Stream) -> None:
    """It waited for room, and is called off: nothing of it has been sent."""
    while near._wire.send(bytes(1 << 16)) is not None:
        pass
    sender = spawn(near.sendall, b"x")
    parked(sender, "room to send")
    sender.cancel()
    with pytest.raises(FiberCancelled):
        sender.join()


def reset(near: Stream, far: Stream) -> None:
    near.sendall(b"unread")
    assert far.recv(1)
    far.close()
    for word in (near.readline, lambda: near.sendall(b"x")):
        try:
            word()
        except ConnectionError:
            pass


USES = [nothing, waited, timed_out, read_by_line, sent_much, send_cut_short, send_given_up, reset]


@pytest.mark.parametrize("use", USES, ids=[use.__name__ for use in USES])
def test_a_dropped_stream_is_closed_at_once(world: World, use: Callable[[Stream, Stream], None]) -> None:
    def main() -> None:
        near, far = two_ends()
        use(near, far)
        wire = near._wire
        with warned_of(near):
            del near
        assert wire.closed
        with far:
            try:
                while far.recv():
                    pass
            except (ConnectionError, ClosedError):
                assert use in (timed_out, read_by_line, reset)  # closed, or reset by what was left unread

    with without_the_collector():
        world.run(main)


def test_what_a_failed_fiber_has_left_open_is_closed_when_it_is_dropped(world: World) -> None:
    """Its error's traceback keeps its variables until then."""
    opened: list[Any] = []

    def read() -> None:
        near, far = two_ends()
        opened.extend([near._wire, far._wire])
        far.send_eof()
        near.read_exactly(1)

    def main() -> None:
        reader = spawn(read)
        with pytest.raises(IncompleteRead):
            reader.join()
        assert [wire.closed for wire in opened] == [False, False]
        with pytest.warns(ResourceWarning, match="unclosed <Stream"):
            del reader
        assert [wire.closed for wire in opened] == [True, True]

    with without_the_collector():
        world.run(main)


def test_a_dropped_listener_is_closed_at_once(world: World) -> None:
    def main() -> None:
        listener = listen(0)
        acceptor = spawn(listener.accept)
        parked(acceptor, "a connection to")
        with connect("127.0.0.1", listener.port), acceptor.join():
            pass
        late = connect("127.0.0.1", listener.port)
        port = listener.port
        del acceptor
        with warned_of(listener):
            del listener
        listen(port).close()
        with late, pytest.raises(ConnectionResetError):
            late.recv()

    with without_the_collector():
        world.run(main)


def test_the_path_of_a_dropped_listener_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "socket"

    def main() -> None:
        listener = listen(path=path)
        assert path.exists()
        with warned_of(listener):
            del listener
        assert not path.exists()

    run(main)


def test_who_waits_on_it_holds_it(world: World) -> None:
    def main() -> None:
        near, far = two_ends()
        listener = listen(0)
        port = listener.port
        reader, writer = spawn(near.readline), spawn(near.sendall, bytes(much(world)))
        acceptor = spawn(lambda: next(iter(listener)).close())
        parked(reader, "data from")
        parked(acceptor, "a connection to")
        del near, listener
        gc.collect()
        connect("127.0.0.1", port).close()
        acceptor.join()
        with far:
            far.sendall(b"line\n")
            assert reader.join() == b"line\n"
            far.read_exactly(much(world))
            writer.join()
            with pytest.warns(ResourceWarning):
                del reader, writer
                assert far.recv() == b""

    with pytest.warns(ResourceWarning, match="unclosed <Listener"):
        world.run(main)


def test_the_warning_names_the_line_that_drops_it() -> None:
    def main() -> None:
        near, far = two_ends()
        far.close()
        with pytest.warns(ResourceWarning) as told:
            del near
        assert told[0].filename == __file__
        assert told[0].lineno == sys._getframe().f_lineno - 2

    run(main)


def test_one_in_a_circle_is_closed_by_the_collector(world: World) -> None:
    def main() -> None:
        near, far = two_ends()
        circle: list[Any] = [near]
        circle.append(circle)
        with warned_of(near):
            del near, circle
            gc.collect()
        with far:
            assert far.recv() == b""

    world.run(main)


def test_the_collector_at_any_moment(world: World) -> None:
    """It strikes as often as it can, in the middle of the engine's work, too."""
    count = 150

    def main() -> None:
        fars: list[Stream] = []
        with listen(0) as listener:
            for _ in range(count):
                circle: list[Any] = [connect("127.0.0.1", listener.port)]
                circle.append(circle)
                far = listener.accept()
                fars.append(far)
                far.sendall(b"x")
                circle[0].recv(1)
        del circle, far
        gc.collect()
        for stream in fars:
            with stream:
                assert stream.recv() == b""

    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(1, 1, 1)
    try:
        with pytest.warns(ResourceWarning) as told:
            world.run(main)
    finally:
        gc.set_threshold(*before)
    assert len(told) == count


def test_one_dropped_in_another_thread_is_closed_there(world: World) -> None:
    def main() -> None:
        near, far = two_ends()
        listener = listen(0)
        port = listener.port
        with warned_of(near, listener):
            held = [near, listener]
            del near, listener
            thread = threading.Thread(target=held.clear)
            thread.start()
            thread.join(HANG_S)
        with far:
            assert far.recv() == b""
        listen(port).close()

    world.run(main)


def test_one_dropped_in_another_thread_while_its_own_sleeps() -> None:
    held: list[Stream] = []

    def drop(kernel: Any) -> None:
        while not kernel.engine._asleep:
            pass
        held.clear()

    def main() -> None:
        near, far = two_ends()
        held.append(near)
        thread = threading.Thread(target=drop, args=(current().kernel,))
        with warned_of(near), far:
            del near
            thread.start()
            assert far.recv() == b""
            thread.join(HANG_S)

    run_apart(ReadinessEngine(), None, main, (), {})


def test_a_descriptor_is_closed_once(world: World) -> None:
    """One that is dropped gives up its number, which the next to be opened may get: that one stays open."""

    def main() -> None:
        near, far = two_ends()
        with warned_of(near):
            del near
        near_again, far_again = two_ends()
        far.close()
        gc.collect()
        with near_again, far_again:
            near_again.sendall(b"x")
            assert far_again.recv() == b"x"

    world.run(main)


def test_one_that_was_never_made_is_no_concern() -> None:
    for kind in (Stream, Listener):
        with pytest.raises(TypeError):
            kind()  # type: ignore[call-arg]
        kind.__new__(kind)


def test_what_the_library_drops_itself_it_has_closed(world: World) -> None:
    """No warning, which would be an error here."""

    def main() -> None:
        with listen(0) as listener:
            port = listener.port
            for moment in range(6):
                client = spawn(connect, "127.0.0.1", port)
                for _ in range(moment):
                    yield_()
                client.cancel()
                try:
                    client.join().close()
                except FiberCancelled:
                    pass
        with pytest.raises(ConnectionRefusedError):
            connect("127.0.0.1", port)
        server = spawn(serve, lambda stream: stream.recv(), listen(0))
        parked(server, "a connection to")
        server.cancel()

    world.run(main)
    gc.collect()


# Where it must stay quiet.


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "os.kill(os.getpid(), signal.SIGTERM); sleep(0)"])
def test_the_end_of_the_program_is_quiet(end: str) -> None:
    done = ended(f"""
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
listener = listen(0)
near, far = connect("127.0.0.1", listener.port), listener.accept()
circle = [near]
circle.append(circle)
sys.kept = near  # goes after all modules have gone
spawn(far.recv)
yield_()
near.sendall(b"x")
{end}
""")
    assert done == (0, [], "")


def test_what_a_daemon_thread_has_open_is_quiet_at_the_end() -> None:
    """Its kernel is never closed, and its streams go when the modules are taken apart."""
    assert ended("""
import types

def hold():
    listener = listen(0)
    keeper = sys.modules["keeper"] = types.ModuleType("keeper")
    keeper.kept = [connect("127.0.0.1", listener.port), listen(0)]
    del keeper
    held.set()
    sleep(3600)

held = threading.Event()
threading.Thread(target=hold, daemon=True).start()
held.wait()
say("held")
""") == (0, ["held"], "")


@pytest.mark.parametrize("where", ["in a fiber", "in a thread without a kernel", "in a simulation"])
def test_a_forked_child_closes_nothing_and_says_nothing(where: str) -> None:
    assert ended(f"""
import gc, tempfile
from computicle.testing import simulate

def fork(kept):
    pid = os.fork()
    if pid == 0:
        descriptors = os.listdir("/dev/fd") if kernelless else []
        kept.clear()
        gc.collect()
        assert not kernelless or os.listdir("/dev/fd") == descriptors
        say("child")
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0

def main():
    path = None if simulated else tempfile.mktemp()
    listener = listen(0) if simulated else listen(path=path)
    near = connect("127.0.0.1", listener.port) if simulated else connect(path=path)
    far = listener.accept()
    kept = [near, listener]
    if kernelless:
        thread = threading.Thread(target=fork, args=(kept,))
        del near, listener
        thread.start()
        thread.join()
    else:
        del near, listener
        fork(kept)
    near, listener = kept  # in the parent, which the child has not disturbed
    assert simulated or os.path.exists(path)
    with near, listener, far:
        near.sendall(b"undisturbed")
        say(far.read_exactly(11).decode())

kernelless, simulated = {where == "in a thread without a kernel"}, {where == "in a simulation"}
simulate(main) if simulated else run(main)
""") == (0, ["child", "undisturbed"], "")


def test_a_forked_child_that_ends_removes_no_path_of_its_parents() -> None:
    assert ended("""
import tempfile

def fork():
    if os.fork() == 0:
        sys.exit()
    os.wait()

path = tempfile.mktemp()
listener = listen(path=path)
forking = threading.Thread(target=fork)
forking.start()
forking.join()
say(os.path.exists(path))
listener.close()
say(os.path.exists(path))
""") == (0, ["True", "False"], "")
