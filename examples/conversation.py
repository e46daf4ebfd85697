"""Four fibers wait for one signal: the program of the first essay.

Try it either way: `computicle run conversation.py`, `python conversation.py`.
"""

from collections.abc import Callable

from computicle import *


def waiter(num: int = 0) -> Callable[[], None]:
    def closure() -> None:
        print(f"WAITED: {num}")

    return closure


# Four fibers, each of which waits from now on.
for i in range(1, 5):
    on_signal(waiter(i), "waiting")

# Signal only one of them: the one that has waited longest.
signal_one("waiting")

# Sleep a bit, giving the other fibers a chance to run.
sleep(0.1)

# Signal the rest of them.
signal_all("waiting")

sleep(0.1)
print("SLEEP AFTER signal_all")
