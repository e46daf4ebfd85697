"""A call that blocks would hold up every fiber. On a helper thread it holds up only its own."""

import hashlib
import time

from computicle import gather, offload, periodic, run


def slow_and_blocking(text: str) -> str:
    time.sleep(0.1)  # like a driver that knows nothing about fibers
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def main() -> None:
    beats = 0

    def beat() -> None:
        nonlocal beats
        beats += 1

    heart = periodic(beat, 0.001)
    # Two calls at once, in two threads; each fiber waits for its own.
    print(gather(lambda: offload(slow_and_blocking, "one"), lambda: offload(slow_and_blocking, "two")))
    heart.cancel()
    print("the other fibers went on:", beats > 0)

    # An error in the helper thread is raised here, with its traceback.
    try:
        offload(int, "not a number")
    except ValueError as error:
        print("offload:", error)


run(main)
