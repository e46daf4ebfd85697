"""Ask a daytime server for the time: python daytime_client.py [host [port]]."""

import sys

from computicle import connect, gather, run, scope, sleep

DAYTIME_PORT = 13


def get_date_and_time(host: str = "localhost", port: int = DAYTIME_PORT) -> str:
    # Plain sequential code. Where it waits, the other fibers run.
    with connect(host, port) as stream:
        return stream.readline().decode().strip()


def main(host: str = "localhost", port: str = "13") -> None:
    naps = 0

    def keep_napping() -> None:
        nonlocal naps  # plain state needs no lock: fibers switch only where they wait
        while True:
            sleep(0.001)
            naps += 1

    with scope() as others:
        for _ in range(300):
            others.spawn(keep_napping)
        answers = gather(*[lambda: get_date_and_time(host, int(port))] * 200)
        print("the time is", answers[0])
        print(f"asked {len(answers)} times at once, while 300 other fibers took {naps} naps")
        others.cancel()


run(main, *sys.argv[1:])
