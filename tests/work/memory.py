"""A heap without a file: what several processes share is a few bytearrays, and a process dies before any store."""

from typing import Any

from computicle.work.layout import BASE, Layout
from computicle.work.sizes import counted
from computicle.work.space import Part, Space, Tables


class Killed(BaseException):
    """The process is no more: it does nothing after that."""


class Memory:
    """A backing."""

    def __init__(self, layout: Layout) -> None:
        self.parts: dict[int, bytearray] = {}
        layout.write(self.part(0, BASE))

    def part(self, offset: int, length: int) -> bytearray:
        if offset not in self.parts:
            self.parts[offset] = bytearray(length)
        return self.parts[offset]

    def discard(self, part: Part, start: int, length: int) -> None:
        assert isinstance(part, bytearray)
        memoryview(part)[start : start + length] = bytes(length)


class Clock:
    """How many stores a process has left."""

    def __init__(self) -> None:
        self.left: int | None = None  # None: it lives on
        self.stores = 0

    def tick(self) -> None:
        if self.left is not None:
            if self.left == 0:
                raise Killed
            self.left -= 1
        self.stores += 1


class Watched:
    """A view, each store into which is one that a process may die before."""

    def __init__(self, view: memoryview, clock: Clock) -> None:
        self._view = view
        self._clock = clock

    def __getitem__(self, index: Any) -> Any:
        return self._view[index]

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice) and len(value) > 1:  # the processor may have copied some of it
            half = len(value) // 2
            start, _stop, _step = index.indices(len(self._view))
            self[start : start + half] = value[:half]
            self[start + half : start + len(value)] = value[half:]
            return
        self._clock.tick()
        self._view[index] = value


class MortalSpace(Space):
    """As one process sees it."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory)
        self.clock = Clock()
        for name in ("stamp", "active", "claims", "rows"):
            setattr(self, name, Watched(getattr(self, name), self.clock))

    def _map(self, place: int) -> Tables:
        tables = super()._map(place)
        for name in ("units", "pages", "holders"):
            view = getattr(tables, name)
            if not isinstance(view, Watched):
                setattr(tables, name, Watched(view, self.clock))
        return tables


def small_heap(size: int, units: int = 0) -> Memory:
    layout = Layout.of(size, counted(size))
    return Memory(layout._replace(units=units) if units else layout)
