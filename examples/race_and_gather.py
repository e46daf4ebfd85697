"""Several calls at once, as one call: the first value, or all of them."""

from functools import partial

from computicle import gather, race, run, sleep


def ask(name: str, seconds: float) -> str:
    print("asking", name)
    sleep(seconds)
    return f"an answer from {name}"


def broken() -> str:
    raise ConnectionError("nobody there")


def main() -> None:
    # They take functions, not calls: partial, or a lambda, holds the arguments.
    print(race(partial(ask, "a slow one", 3600), partial(ask, "a quick one", 0.01)))

    # All of them, in the order of the functions, whoever comes first.
    print(gather(partial(ask, "one", 0.02), partial(ask, "two", 0.01)))

    # The first error cancels the rest, and is raised as it is.
    try:
        gather(partial(ask, "another", 3600), broken)
    except ConnectionError as error:
        print("gather:", error)


run(main)
