"""Pipes: records are whole, and none that was written is lost at the end."""

import errno
import os
import sys

import pytest

from computicle.engine.pipes import RECORD_MAX, PipeEnd, pipe_pair, read_to_the_end, write_waiting

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="pipe2(2), F_GETPIPE_SZ")


@pytest.mark.parametrize("size", [1, 100, 4095, RECORD_MAX])
def test_a_full_pipe_takes_nothing_more_and_has_whole_records(size: int) -> None:
    writing, reading = pipe_pair()
    count = 0
    while writing.write(bytes([count % 251]) * size):
        count += 1
    content = reading.read()
    assert content is not None
    assert content == b"".join(bytes([number % 251]) * size for number in range(count))
    assert reading.read() is None
    assert writing.write(b"again")


def test_one_read_takes_all() -> None:
    writing, reading = pipe_pair()
    while writing.write(b"x" * 1000):
        pass
    while writing.write(b"y"):
        pass
    content = reading.read()
    assert content is not None
    assert len(content) > reading.room() - RECORD_MAX
    assert reading.read() is None


def test_to_wait_for_room_at_an_end_that_was_closed_here() -> None:
    writing, _reading = pipe_pair()
    writing.close()
    with pytest.raises(BrokenPipeError):
        write_waiting(writing, b"x")


def test_nobody_left_to_read() -> None:
    writing, reading = pipe_pair()
    reading.close()
    with pytest.raises(BrokenPipeError):
        writing.write(b"x")


def test_an_end_that_was_closed_here() -> None:
    writing, _reading = pipe_pair()
    writing.close()
    writing.close()
    with pytest.raises(BrokenPipeError):
        writing.write(b"x")


def test_neither_end_is_inherited_nor_waits() -> None:
    for end in pipe_pair():
        assert not os.get_inheritable(end.fileno())
        assert not os.get_blocking(end.fileno())


def test_a_dropped_end_is_closed() -> None:
    writing, _reading = pipe_pair()
    number = writing.fileno()
    del writing
    with pytest.raises(OSError, match=os.strerror(errno.EBADF)):
        os.fstat(number)


class Hurried(PipeEnd):
    """One whose writer comes just before it is closed."""

    __slots__ = ("late", "writing")

    late: list[bytes]
    writing: PipeEnd

    def close(self) -> None:
        if self.number >= 0:
            for record in self.late:
                assert self.writing.write(record)
        super().close()


def test_what_comes_between_the_last_read_and_the_closing_is_read() -> None:
    writing, reading = pipe_pair()
    hurried = Hurried(reading.number)
    reading.number = -1
    hurried.writing, hurried.late = writing, [b"late", b"later"]
    writing.write(b"early")
    assert read_to_the_end(hurried, writing) == b"earlylatelater"
    with pytest.raises(BrokenPipeError):
        writing.write(b"too late")


class Flooded(PipeEnd):
    """One whose writer is always quicker."""

    __slots__ = ("writing",)

    writing: PipeEnd

    def read(self) -> bytes | None:
        some = super().read()
        self.writing.write(b"more")
        return some


def test_who_goes_on_writing_does_not_have_it_read_for_ever() -> None:
    writing, reading = pipe_pair()
    flooded = Flooded(reading.number)
    reading.number = -1
    flooded.writing = writing
    writing.write(b"first")
    content = read_to_the_end(flooded, writing)
    assert content == b"first" + b"more" * ((len(content) - 5) // 4)
    with pytest.raises(BrokenPipeError):
        writing.write(b"too late")


# Helper threads that other tests have left idle are no danger here.
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_whatever_another_process_has_written_is_read_or_it_is_told() -> None:
    for _ in range(30):
        writing, reading = pipe_pair()
        told, tell = pipe_pair()
        child = os.fork()
        if child == 0:
            reading.close()
            count = 0
            try:
                while True:
                    write_waiting(writing, count.to_bytes(4, "big"))
                    count += 1
            except BrokenPipeError:
                told.write(b"%d" % count)
            finally:
                os._exit(0)
        first = b""
        while not first:
            first = reading.read() or b""
        content = first + read_to_the_end(reading, writing)
        os.waitpid(child, 0)
        count = int(tell.read() or b"-1")
        assert content == b"".join(number.to_bytes(4, "big") for number in range(count))
