"""What fails is tried again, by whoever takes it next, and at last put aside.

An item whose with-statement an error goes through is given back, and so is one
whose taker dies. After three tries it is with the dead: to be looked at, and
tried again or dropped.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

from computicle import Computicle, WorkQueue, run, wait_for


def measure(paths: WorkQueue, sizes: WorkQueue) -> None:
    for item in paths:
        try:
            with item:
                sizes.enqueue(len(Path(item.value).read_text()))
        except OSError:
            pass  # it was given back


def main() -> None:
    paths, sizes = WorkQueue(10, max_tries=3), WorkQueue(10)
    for _ in range(2):
        Computicle(measure, paths, sizes)
    with TemporaryDirectory() as folder:
        file = Path(folder, "late.txt")
        paths.enqueue(file)
        wait_for(lambda: paths.dead, every=0.01)  # others put it there, so it is looked for now and then
        for dead in paths.dead:
            print(dead.value.name, "was tried", dead.tries, "times")
            file.write_text("here at last")
            dead.requeue()
        with sizes.dequeue() as item:
            print("now it has", item.value, "characters")
    paths.close()


run(main)
