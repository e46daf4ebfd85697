"""Scopes: no fiber is left behind, and no error is lost. Timeouts: no wait is too long."""

from computicle import fail_after, move_on_after, run, scope, shield, sleep, spawn


def work(name: str, seconds: float) -> None:
    try:
        sleep(seconds)
    finally:
        with shield():  # clean-up that waits itself is kept from being cancelled again
            sleep(0.001)
        print(name, "ends")


def main() -> None:
    with scope():  # left when both have ended
        spawn(work, "short", 0.01)
        spawn(work, "less short", 0.05)
    print("both have ended")

    try:
        with scope():  # an error that nobody waits for cancels the others, and is raised here
            spawn(work, "very long", 3600)
            spawn(int, "not a number")
    except* ValueError as group:
        print("failed:", *group.exceptions)

    with move_on_after(0.01) as deadline:
        work("too long", 3600)
    print("moved on:", deadline.expired)

    try:
        with fail_after(0.01):
            work("too long again", 3600)
    except TimeoutError as error:
        print("failed:", error)


run(main)
