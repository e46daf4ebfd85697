"""Bare fork: what the system alone takes to make and end a process as large as the zygote.

`python -m bench.bare_fork COUNT` imports what a zygote imports, freezes it as a zygote does, and forks children that
end at once, each of them waited for. It prints the middle time, in nanoseconds, from the fork to the news of the end.
"""

import gc
import os
import sys
import time
from statistics import median

import computicle.worlds.birth  # noqa: F401  # what a zygote has imported

__all__: list[str] = []

WARM = 3


def main(count: int) -> None:
    gc.collect()
    gc.freeze()
    gc.disable()
    times = [_once() for _ in range(WARM + count)]
    print(median(times[WARM:]), flush=True)


def _once() -> int:
    start = time.monotonic_ns()
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return time.monotonic_ns() - start


if __name__ == "__main__":
    main(int(sys.argv[1]))
