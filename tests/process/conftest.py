"""Each test finds its thread as a new program does, and leaves it so."""

from collections.abc import Iterator

import pytest

from computicle.scheduler.carrier import fiber_here
from computicle.scheduler.ends import leave


def give_back_the_flow() -> None:
    """A word outside run gives the thread a kernel, which stays. Here it would stay for the next test."""
    fiber = fiber_here()
    if fiber is not None:
        leave(fiber.kernel, cancel=True)


@pytest.fixture(autouse=True)
def _plain_flow() -> Iterator[None]:
    give_back_the_flow()
    yield
    give_back_the_flow()
