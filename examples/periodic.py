"""On a beat: periodic, delay, and what time it is.

A beat does not drift. If the function takes too long, beats are missed, and
they are skipped: they do not come in a bunch afterwards.
"""

from computicle import delay, periodic, run, wait_for


def main() -> None:
    beats = 0

    def tick() -> None:
        nonlocal beats
        beats += 1
        print("tick", beats)

    clock = periodic(tick, 0.02)  # the first one after 0.02 s
    wait_for(lambda: beats >= 5)
    clock.cancel()

    bomb = delay(lambda: print("never printed"), 60)
    bomb.cancel()
    delay(lambda: print("boom"), 0.02).join()  # waits for the fiber that waits


run(main)
