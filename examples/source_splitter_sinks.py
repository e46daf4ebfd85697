"""A source, a splitter and two sinks: each is given the handles of whom it posts to.

The messages do not pass through the parent. A source that is too quick waits.
"""

from computicle import Computicle, receive, run


def source(out: Computicle) -> None:
    for number in range(1000):
        out.post(number)
    out.quit()  # what it has accepted is still handled


def sink() -> int:
    total = 0
    while (number := receive()) is not None:
        total += number
    return total


SPLITTER = """
def on_message(number):
    sinks[number % 2].post(number * 10)

def on_exit():
    for sink in sinks:
        sink.post(None)
"""


def main() -> None:
    evens, odds = Computicle(sink), Computicle(sink)
    splitter = Computicle(SPLITTER, sinks=[evens, odds])
    Computicle(source, splitter)
    print("even numbers, times ten:", evens.wait())
    print("odd numbers, times ten:", odds.wait())


run(main)
