"""Which words do these examples have most? Files to read go one way, counts come back another.

Three worlds take the paths of files from one queue and put what they have
counted into a second one. A path, or a few counts, is a small object: it needs no block.
"""

import re
from collections import Counter
from pathlib import Path

from computicle import Computicle, WorkQueue, run

WORKERS = 3


def count(paths: WorkQueue, counts: WorkQueue) -> None:
    for item in paths:  # to ask for the next one finishes the last
        text = Path(item.value).read_text()
        counts.enqueue(Counter(re.findall(r"[a-z]+", text.lower())))


def main() -> None:
    files = sorted(Path(__file__).parent.glob("*.py"))
    paths, counts = WorkQueue(100), WorkQueue(100)
    for _ in range(WORKERS):
        Computicle(count, paths, counts)
    paths.enqueue_many(str(file) for file in files)
    paths.close()  # the workers' loops end once every file was read

    total: Counter[str] = Counter()
    for _ in files:
        with counts.dequeue() as item:
            total += item.value
    print(f"{total.total():,} words in {len(files)} files, most often:", *[word for word, _ in total.most_common(3)])


run(main)
