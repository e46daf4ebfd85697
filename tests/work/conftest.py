"""Each kind of Block that this Python can have: one contract for all."""

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from computicle.work import heap as heap_module
from computicle.work.heap import Heap
from computicle.work.mmap_block import MmapBlock
from tests.process.conftest import give_back_the_flow

KINDS: list[Any] = [MmapBlock]
if sys.version_info >= (3, 12):
    from computicle.work.counted import CountedBlock

    KINDS.append(CountedBlock)

SIZE = 1 << 20


@pytest.fixture(params=KINDS, ids=lambda kind: kind.__name__)
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(heap_module, "Block", request.param)
    return request.param


@pytest.fixture(autouse=True)
def _plain_flow() -> Iterator[None]:
    give_back_the_flow()
    yield
    give_back_the_flow()


@pytest.fixture
def heap(kind: Any) -> Iterator[Heap]:
    heap = Heap(SIZE)
    yield heap
    assert heap.stats().blocks == 0, "the test has left a block"
    heap.check()
