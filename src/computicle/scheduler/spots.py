"""Spots: where in the program an error may be raised that comes from outside, by a signal.

A signal handler runs between any two bytecodes. Raised in the middle of this
library, an error would leave it half-done; raised in the program's own code it
is what Ctrl-C is in any program.

Rules:
  1. A spot is good if it lies in the program's own code, called by it or by a
     function marked `calls_out`: never in the middle of this library.
  2. A function that is marked copes with an error at any point of its call.

Not here: when an error is raised on the spot (interrupts.py).
"""

import dis
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, TypeVar

__all__ = ["calls_out", "escapes", "is_good_spot"]

PROGRAMS = ("computicle.tools.", "computicle.testing.")  # ours, but written with the words, as programs are

F = TypeVar("F", bound=Callable[..., Any])

_calling_out: dict[CodeType, tuple[range, ...]] = {}  # filled while modules are imported


def calls_out(function: F) -> F:
    """Mark a function of this library that calls the program's own.

    It does so in its first try or with block, and copes with any error there
    at any point; or it has none, and does so anywhere.
    """
    _calling_out[function.__code__] = _first_block(function.__code__)
    return function


def _first_block(code: CodeType) -> tuple[range, ...]:
    """The bytecode offsets of its first try or with block; all of them if there is none."""
    blocks = _blocks(code)
    if not blocks:
        return (range(len(code.co_code)),)
    return tuple(covered for covered, target in blocks if target == blocks[0][1])


def _blocks(code: CodeType) -> list[tuple[range, int]]:
    """What its try and with blocks cover, in bytecode offsets, each with what tells it from the others.

    Source: CPython's InternalDocs/exception_handling.md. An entry of the table is four numbers (start, length, target
    and depth) of six bits a byte, the highest first; 64 says that more follow. A block may have several entries,
    all with the same target.
    """
    numbers: list[int] = []
    more = 0
    for byte in code.co_exceptiontable:
        if more:
            numbers[-1] = numbers[-1] << 6 | byte & 63
        else:
            numbers.append(byte & 63)
        more = byte & 64
    entries = zip(*[iter(numbers)] * 4, strict=True)
    return [(range(start * 2, (start + length) * 2), target) for start, length, target, _depth in entries]


def is_good_spot(frame: FrameType | None) -> bool:
    """True if raising in `frame` leaves nothing of ours half-done."""
    spot = frame
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.startswith("computicle.") and not name.startswith(PROGRAMS):
            blocks = _calling_out.get(frame.f_code, ())
            return frame is not spot and any(frame.f_lasti in block for block in blocks)
        frame = frame.f_back
    return True


def escapes(frame: FrameType | None) -> bool:
    """True if an error raised here would pass by the block that the program stands in.

    CPython 3.13.0 (seen there, and not in 3.11) leaves the jump back of a loop out of the block around the loop.
    """
    if frame is None:
        return False
    blocks = [covered for covered, _target in _blocks(frame.f_code)]
    if not blocks:
        return False
    for instruction in dis.get_instructions(frame.f_code):
        if instruction.offset == frame.f_lasti and instruction.opname.startswith("JUMP_BACKWARD"):
            return any(instruction.argval in block and frame.f_lasti not in block for block in blocks)
    return False
