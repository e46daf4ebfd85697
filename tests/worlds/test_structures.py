"""Classes of ctypes that are carried by value: those of `__main__`, and inner ones."""

import ctypes
from typing import Any

import pytest

from computicle import *


def kinds() -> tuple[Any, Any, Any]:
    """A union, a structure with all that can be said of one, and one that derives from it."""

    class Number(ctypes.Union):
        _fields_ = (("whole", ctypes.c_uint32), ("halves", ctypes.c_uint16 * 2))

    class Message(ctypes.Structure):
        _fields_ = (("tag", ctypes.c_char), ("time", ctypes.c_double), ("bits", ctypes.c_uint32, 3), ("of", Number))
        _pack_ = 1  # behind the fields, where a class may have it
        _layout_ = "ms"
        _anonymous_ = ("of",)

        def twice(self) -> int:
            return 2 * int(self.whole)

    class Longer(Message):
        _fields_ = (("more", Message * 2),)  # type: ignore[assignment]  # beside those of Message

    return Number, Message, Longer


def test_a_structure_is_laid_out_over_there_as_it_is_here() -> None:
    _Number, Message, Longer = kinds()  # noqa: N806

    def read(data: bytes) -> tuple[Any, ...]:
        message = Longer.from_buffer_copy(data)
        inner = message.more[1]
        return ctypes.sizeof(Longer), Message.time.offset, message.bits, message.twice(), inner.halves[0], inner.tag

    def main() -> None:
        filled = Longer(b"a", 0.5, 5)
        filled.whole = 21
        filled.more[1].whole = 7
        filled.more[1].tag = b"b"
        with Computicle() as world:
            for _ in range(2):  # the second time they are there already
                assert world.call(read, bytes(filled)) == (ctypes.sizeof(Longer), 1, 5, 42, 7, b"b")

    assert Message.time.offset == 1
    run(main)


def test_an_instance_goes_there_and_back() -> None:
    _Number, Message, _Longer = kinds()  # noqa: N806

    def changed(message: Any) -> Any:
        assert isinstance(message, Message)
        message.time += 1
        return message

    def main() -> None:
        message = Message(b"a", 0.5)
        with Computicle() as world:
            back = world.call(changed, message)
        assert isinstance(back, Message)
        assert (back.tag, back.time, message.time) == (b"a", 1.5, 0.5)

    run(main)


def test_one_whose_fields_are_not_set_yet() -> None:
    class Later(ctypes.Structure):
        pass

    def fields() -> bool:
        return hasattr(Later, "_fields_")

    def main() -> None:
        with Computicle() as world:
            assert not world.call(fields)
            Later._fields_ = (("next", ctypes.POINTER(Later)), ("number", ctypes.c_int))
            assert world.call(fields)

    run(main)


def test_what_cannot_be_carried_is_still_told() -> None:
    class Message(ctypes.Structure):
        _fields_ = (("number", ctypes.c_int),)
        door = Lock()

    def main() -> None:
        with Computicle() as world, pytest.raises(TypeError, match="cannot be carried"):
            world.call(lambda: Message)

    run(main)
