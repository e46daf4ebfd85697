"""The longest line of each file of a folder: workers do it, one file at a time, and the results come back in order.

Run it with a folder: python longest_lines.py some/folder
"""

import os
import sys

from computicle import *


def longest_line(path: str) -> int:
    with open(path, encoding="utf-8", errors="replace") as file:
        return max((len(line.rstrip()) for line in file), default=0)


def put_files(queue: WorkQueue, folder: str) -> None:
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            queue.enqueue(path)
    queue.close()


def main() -> None:
    folder = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    queue = WorkQueue(100)
    crew = workers(queue, longest_line)
    spawn(put_files, queue, folder)
    for outcome in crew.in_order():
        print(outcome.error or outcome.value)


run(main)
