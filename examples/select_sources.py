"""One wait for several sources: select takes from exactly one of them."""

from computicle import Channel, run, select, sleep, spawn


def produce(channel: Channel[str], *values: str) -> None:
    for value in values:
        channel.send(value)
        sleep(0.01)


def clock(seconds: float) -> str:
    sleep(seconds)
    return "time is up"


def main() -> None:
    work: Channel[str] = Channel(10)
    news: Channel[str] = Channel(10)
    spawn(produce, work, "first job", "second job")
    spawn(produce, news, "a message")
    alarm = spawn(clock, 0.2)  # a fiber is a source, too: its value is taken when it has ended

    while True:
        source, value = select(work, news, alarm)
        if source is work:
            print("work:", value)
        elif source is news:
            print("news:", value)
        else:
            print(value)
            break


run(main)
