"""Something that happens in the middle of a word, where others may come in between."""

from collections.abc import Callable


class Meanwhile:
    """In the place of a lock: as it is taken, or released, something happens elsewhere."""

    def __init__(self, happen: Callable[[], None], *, taken: bool = False) -> None:
        self._happen = happen
        self._taken = taken

    def acquire(self, _blocking: bool = True) -> bool:
        if self._taken:
            self._happen()
        return True

    def release(self) -> None:
        if not self._taken:
            self._happen()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()
