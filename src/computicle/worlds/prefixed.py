"""Prefixed: a text stream whose lines begin with a name.

Not here: who is given one (world.py).
"""

from typing import Any

__all__ = ["Prefixed"]


class Prefixed:
    """A text stream whose lines begin with a name. Whole lines leave at once, so that several may share a terminal."""

    def __init__(self, stream: Any, name: str) -> None:
        self._stream = stream
        self._name = name
        self._begun = ""  # of a line that has not ended

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        if lines:
            self._stream.write("".join(f"{self._name}: {line}\n" for line in lines))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()

    def end(self) -> None:
        """Let out what has no end of line."""
        if self._begun:
            self.write("\n")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
