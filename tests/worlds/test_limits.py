"""Too few descriptors, and messages that bring some: nobody hangs, and what is lost is told."""

import pathlib
import textwrap

import pytest

from tests.process.children import ended


def said_by(program: str) -> list[str]:
    quiet = "import resource, warnings\nwarnings.simplefilter('ignore', ResourceWarning)\nsignal.alarm(8)\n"
    said = ended(quiet + textwrap.dedent(program))
    assert said.status == 0, (said.lines, said.errors[-1500:])
    return said.lines


def test_a_maker_with_a_small_soft_limit() -> None:
    program = """
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        def main():
            say(*Computicle(resource.getrlimit, resource.RLIMIT_NOFILE).wait()[:1])
            computicles = [Computicle() for _ in range(40)]
            say(sum(c.call(abs, -1) for c in computicles))
        run(main)
    """
    assert said_by(program) == ["64", "40"]


def test_a_maker_with_a_small_hard_limit() -> None:
    program = """
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        def main():
            computicles = []
            try:
                for _ in range(100):
                    computicles.append(Computicle())
            except OSError:
                say("refused")
            say(len(computicles) > 5)
            for c in computicles:
                c.kill()
            for c in computicles:
                try:
                    c.wait()
                except ComputicleDied:
                    pass
            computicles.clear()
            import gc
            gc.collect()
            say(Computicle(abs, -3).wait())
        run(main)
    """
    assert said_by(program) == ["refused", "True", "3"]


FULL = """
    def fill():
        global kept
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        kept = []
        try:
            while True:
                kept.append(os.dup(0))
        except OSError:
            pass

    def empty():
        while kept:
            os.close(kept.pop())
"""


@pytest.mark.parametrize(
    ("fill", "empty", "what"),
    [
        ("c.call(fill)", "c.call(empty)", "c.call(len, bytearray(100_000), timeout=2)"),
        ("c.call(fill)", "c.call(empty)", "len(c.call(bytearray, 100_000, timeout=2))"),
        ("fill()", "empty()", "len(c.call(bytearray, 100_000, timeout=2))"),
    ],
    ids=["a request", "a result", "an answer"],
)
def test_what_brings_a_descriptor_to_where_none_is_left_fails_alone(fill: str, empty: str, what: str) -> None:
    program = f"""
    with Computicle(grace=1) as c:
        c.call(abs, -1)
        {fill}
        try:
            {what}
        except OSError as error:
            say(os.strerror(error.errno))
        say(c.call(abs, -1), c.call(abs, -2))
        {empty}
        say({what})
    say("ended")
    """
    assert said_by(FULL + program) == ["Too many open files", "1 2", "100000", "ended"]


def test_a_maker_without_descriptors_hears_of_an_end_with_a_big_value() -> None:
    program = """
    def main():
        c = Computicle("from computicle import *\\nreceive()\\nbytearray(1_000_000)")
        fill()
        c.post(1)
        try:
            c.wait(timeout=3)
        except OSError:
            say("no room")
        empty()
        say(len(c.wait(timeout=3)))
    run(main)
    """
    assert said_by(FULL + program) == ["no room", "1000000"]


def test_an_answer_whose_descriptors_cannot_wait_for_room_fails_alone() -> None:
    """Copies would have to be made of them, and there is no descriptor left."""
    program = (
        FULL
        + """
    import socket
    from computicle.scheduler.flows import running
    from computicle.worlds.home import home_of
    def main():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        with Computicle(grace=1) as c:
            c.call(fill)
            home_of(running()).lane.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 50_000)
            answers = [c.exec("'x' * 40_000") for _ in range(20)]  # more than there is room for
            handle = c.exec(self_)
            c.exec(os.kill, os.getpid(), signal.SIGUSR1)
            signal.sigwait([signal.SIGUSR1])  # and nothing is taken out meanwhile
            try:
                handle.result(timeout=5)
            except OSError as error:
                say(os.strerror(error.errno))
            say(sum(len(answer.result(timeout=5)) for answer in answers), c.call(abs, -1, timeout=5))
    run(main)
    """
    )
    assert said_by(program) == ["Too many open files", "800000 1"]


def test_an_error_too_long_for_a_world_without_descriptors_fails_as_another() -> None:
    program = (
        FULL
        + """
    def fail():
        raise ValueError("x" * 100_000)
    with Computicle(grace=1) as c:
        c.call(fill)
        try:
            c.call(fail, timeout=5)
        except OSError as error:
            say(os.strerror(error.errno))
        say(c.call(abs, -1, timeout=5))
    """
    )
    assert said_by(program) == ["Too many open files", "1"]


FEW_PROCESSES = """
import errno, os
real = os.fork
def fork():
    if os.path.exists({full!r}):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
    return real()
os.fork = fork
"""


def test_no_more_processes(tmp_path: pathlib.Path) -> None:
    """The zygote is told so by a module that it was to preload. Whoever wants one is told, and nobody else."""
    full = str(tmp_path / "full")
    (tmp_path / "few_processes.py").write_text(FEW_PROCESSES.format(full=full))
    program = f"""
        sys.path.insert(0, {str(tmp_path)!r})

        def make_until_told():
            made = 0
            while True:
                try:
                    made += Computicle(abs, -1).wait()
                except OSError as error:
                    return made <= 1, os.strerror(error.errno)  # one may have been forked ahead

        def main():
            other = Computicle(preload=["few_processes"])
            open({full!r}, "w").close()
            for _ in range(3):
                say(*make_until_told())
            say(*other.call(make_until_told))
            say(other.call(abs, -1))
            os.unlink({full!r})
            say(Computicle(abs, -2).wait(), other.call(lambda: Computicle(abs, -3).wait()))
        run(main)
    """
    told = "True Resource temporarily unavailable"
    assert said_by(program) == [told] * 4 + ["1", "2 3"]
