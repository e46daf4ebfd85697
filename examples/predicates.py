"""Conditions over plain state: wait_for, when, whenever.

Nobody announces that the basket has changed. A predicate is asked again after
other fibers have run, since only they can have changed it.
"""

from computicle import run, spawn, wait_for, when, whenever

basket: list[str] = []
eaten: list[str] = []


def pick() -> None:
    for fruit in ("apple", "pear", "plum", "quince"):
        wait_for(lambda: not basket)
        basket.append(fruit)
        print("picked", fruit)


def eat() -> None:
    fruit = basket.pop()  # there is one: the predicate is asked once more right before this
    eaten.append(fruit)
    print("ate", fruit)


def main() -> None:
    spawn(pick)
    eating = whenever(lambda: basket, eat)
    when(lambda: len(eaten) == 2, lambda: print("half of them are gone"))

    count = wait_for(lambda: len(eaten) == 4 and len(eaten))  # gives what the predicate gave
    print("all", count, "are gone")
    eating.cancel()


run(main)
