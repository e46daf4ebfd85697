"""A token goes round a ring of a hundred computicles, three times.

Each knows only its neighbour, which it is told in its first message. Whoever
receives the token counts it up and hands it on.
"""

from computicle import Computicle, receive, run, self_

NODES = 100
ROUNDS = 3


def node() -> int:
    neighbour = receive()
    passed = 0
    while (token := receive()) is not None:
        passed += 1
        neighbour.post(token + 1)
    return passed


def main() -> None:
    ring = [Computicle(node, name=f"node {number}") for number in range(NODES)]
    for one, neighbour in zip(ring, [*ring[1:], self_()], strict=True):
        one.post(neighbour)  # the last one's neighbour is this program, which closes the ring

    token = 0
    for turn in range(ROUNDS):
        ring[0].post(token)
        token = receive()
        print(f"round {turn + 1}: the token has been handed on {token} times")

    for one in ring:
        one.post(None)
    print("each node has seen it:", {one.wait() for one in ring}, "times")


run(main)
