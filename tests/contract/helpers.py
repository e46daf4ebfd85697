"""Small things that many of these tests say."""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from computicle import *


def turns(count: int = 3) -> None:
    """Let the others run, a few times."""
    for _ in range(count):
        yield_()


def forever() -> None:
    """Wait until cancelled."""
    sleep(math.inf)


def fail(error: BaseException) -> Any:
    raise error


def failing(error: BaseException) -> Callable[[], Any]:
    """A function that raises it."""
    return lambda: fail(error)


@contextmanager
def raises_group(*errors: BaseException) -> Iterator[None]:
    """The body raises a group of just these, in this order."""
    with pytest.raises(BaseExceptionGroup) as caught:
        yield
    assert list(caught.value.exceptions) == list(errors)


@contextmanager
def without_the_collector() -> Iterator[None]:
    """Only what is no circle goes when it is dropped."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


class Asked:
    """A predicate that counts how often it is asked."""

    def __init__(self, value: Any = None, log: list[str] | None = None, name: str = "") -> None:
        self.value = value
        self.count = 0
        self._log = log
        self._name = name

    def __call__(self) -> Any:
        self.count += 1
        if self._log is not None:
            self._log.append(self._name)
        return self.value


def nobody_waits() -> None:
    """No name has left anything behind."""
    assert current().kernel.signals._names == {}
