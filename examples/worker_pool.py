"""A pool of worlds that answer calls, on as many cores as there are.

A computicle without a target waits for code until it is told to quit. A fiber
for each job takes a free one, calls a function there and gives it back. Calls
look like calls: they wait, return the value, or raise the error.
"""

from contextlib import ExitStack
from functools import partial

from computicle import Channel, Computicle, gather, run

WORKERS = 3


def count_primes(begin: int, end: int) -> int:
    return sum(all(number % divisor for divisor in range(2, int(number**0.5) + 1)) for number in range(begin, end))


def main() -> None:
    free: Channel[Computicle] = Channel(WORKERS)

    def work(begin: int, end: int) -> int:
        worker = free.receive()
        try:
            count: int = worker.call(count_primes, begin, end)
            return count
        finally:
            free.send(worker)

    with ExitStack() as pool:  # in the end they quit, and are waited for
        for number in range(WORKERS):
            free.send(pool.enter_context(Computicle(name=f"worker {number}")))
        counts = gather(*[partial(work, begin, begin + 1000) for begin in range(2, 10_002, 1000)])
    print("primes in each thousand:", counts)
    print("in all:", sum(counts))


run(main)
