"""Hello, computicle: worlds of their own, each a process, and what comes back from them.

No `if __name__ == "__main__"` is needed: a computicle is not given this file
to run again, only what it is started with.
"""

import os

from computicle import Computicle, run


def greet(name: str) -> str:
    print("hello from another process:", os.getpid() != parent)
    return f"{name} has been greeted"


parent = os.getpid()


def main() -> None:
    # A function, and what it is called with.
    world = Computicle(greet, "you")
    print(world.wait())

    # Source text; what is given by keyword it finds as globals. Its last expression is its value.
    print(Computicle("print('adding up', numbers)\nsum(numbers)", numbers=[1, 2, 3]).wait())

    # What goes wrong there is raised here.
    try:
        Computicle("1 / 0").wait()
    except ZeroDivisionError as error:
        print("it failed:", error)


run(main)
