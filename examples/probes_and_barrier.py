"""Eighty probes at once, and something to do when the last one is back.

The barrier is no mechanism of its own: it is a predicate over a plain list.
"""

from computicle import Semaphore, Stream, connect, listen, run, serve, spawn, stop, when

PROBES = 80


def answer(stream: Stream) -> None:
    stream.sendall(b"hello, " + stream.readline())


def main() -> None:
    listener = listen(0)
    spawn(serve, answer, listener)
    at_once = Semaphore(20)  # politely: no more than 20 connections
    answers: list[bytes] = []

    def probe(number: int) -> None:
        with at_once, connect("127.0.0.1", listener.port) as stream:
            stream.sendall(b"probe %d\n" % number)
            answers.append(stream.readline())

    def all_back() -> None:
        print("all", len(answers), "probes are back, one of them with", answers[-1])
        stop()  # ends the server as well

    for number in range(PROBES):
        spawn(probe, number)
    when(lambda: len(answers) == PROBES, all_back)


run(main)
