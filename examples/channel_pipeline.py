"""A pipeline: three fibers, two channels, and a line that never gets long.

A full channel makes its sender wait, so the source is never more than a few
values ahead of the sink, however slow that is.
"""

from computicle import Channel, run, sleep, spawn


def source(numbers: Channel[int]) -> None:
    for number in range(1, 9):
        numbers.send(number)
    numbers.close()


def times_ten(numbers: Channel[int], products: Channel[int]) -> None:
    for number in numbers:  # ends when the channel is closed and empty
        products.send(number * 10)
    products.close()


def sink(products: Channel[int]) -> int:
    total = 0
    for product in products:
        sleep(0.001)  # a slow one
        print("got", product)
        total += product
    return total


def main() -> None:
    numbers: Channel[int] = Channel(2)
    products: Channel[int] = Channel(2)
    spawn(source, numbers)
    spawn(times_ten, numbers, products)
    print("in all", spawn(sink, products).join())


run(main)
