"""Ctrl-C on the spot: the spot lies inside the blocks that the program stands in, so what it has entered is left."""

import pytest

from tests.process.children import ended

LOOPS = {"a loop that calls": "while time.monotonic() < end: pass", "a tight loop": "while True: pass"}


@pytest.mark.parametrize("inside_run", [True, False])
@pytest.mark.parametrize("loop", LOOPS)
def test_the_block_around_a_busy_loop_is_left(loop: str, inside_run: bool) -> None:
    # CPython 3.13.0 leaves the jump back out of the block: raised there, an error would not be seen by it.
    program = f"""
import time

class Block:
    left = False
    def __enter__(self):
        return self
    def __exit__(self, *_error):
        self.left = True

def interrupt():
    begun.wait()
    os.kill(os.getpid(), signal.SIGINT)
    if {inside_run}:  # there the first one waits for main to wait
        while not noted.noted:
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)

def busy():
    global noted
    noted = current().kernel.interrupts._interrupts[signal.SIGINT]
    end = time.monotonic() + 60
    with block:
        begun.set()
        {LOOPS[loop]}

yield_()
for _ in range(20):
    block, begun = Block(), threading.Event()
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        {"run(busy)" if inside_run else "busy()"}
    except KeyboardInterrupt:
        pass
    thread.join()
    say(block.left)
"""
    result = ended(program)
    assert (result.status, result.lines, result.errors) == (0, ["True"] * 20, "")
