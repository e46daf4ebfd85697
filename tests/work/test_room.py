"""Room: who waits for it is told of all there is, whatever becomes of others. On every engine."""

import pytest

from computicle import *
from tests.conftest import World


def test_a_wake_that_comes_while_it_lies_down_is_not_its_last(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> None:
        heap = Heap(1 << 20)
        small, large = heap.alloc(64), heap.alloc(800_000)
        take_wakes = heap._room._take_wakes
        others = [small]

        def free_and_take_wakes() -> bool:
            for block in others:
                block.free()  # which is told, but is not enough
            others.clear()
            return take_wakes()

        monkeypatch.setattr(heap._room, "_take_wakes", free_and_take_wakes)
        waiting = spawn(heap.alloc, 500_000)
        sleep(0.01)
        large.free()
        waiting.join(timeout=1).free()

    world.run(main)
