"""A worker that crashes now and then, and a supervisor that starts it again.

Its handle follows the restarts. A call that was under way when the worker died
raises, for nobody knows what it has done already: what to do then is for the
caller to say. What is asked meanwhile waits for the next worker.
"""

import os

from computicle import ComputicleDied, Spec, Supervisor, run


def halve(number: int) -> int:
    if number % 2:
        os._exit(1)  # as if it had crashed
    return number // 2


def main() -> None:
    with Supervisor([Spec(name="worker")], max_restarts=10, backoff=0) as supervisor:
        worker = supervisor["worker"]
        for number in (2, 3, 4, 5, 6):
            try:
                print("half of", number, "is", worker.call(halve, number))
            except ComputicleDied as death:
                print("half of", number, "is too much:", death.how)


run(main)
