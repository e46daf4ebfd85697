"""Footprint: the memory that an idle computicle has for itself alone.

20 of them wait for a message, after they have sent one. Counted is what each shares with nobody (Private_Clean and
Private_Dirty of /proc/PID/smaps_rollup): the mean of all.

Peers: as many processes of multiprocessing, by forkserver and by spawn, that have sent something and wait for a pipe.
"""

from functools import partial
from statistics import mean
from typing import Any

from bench.case import Case, Target

__all__ = ["CASES"]


def on_computicle(count: int, computicle: Any) -> dict[str, float]:
    def stand_by(maker: Any) -> None:
        maker.post("here")
        computicle.receive()

    def main() -> dict[str, float]:
        maker = computicle.self_()
        worlds = [computicle.Computicle(stand_by, maker) for _ in range(count)]
        for _ in worlds:
            computicle.receive()
        numbers = _private([world.pid for world in worlds])
        for world in worlds:
            world.post("end")
            world.wait()
        return numbers

    return dict(computicle.run(main))


def on_multiprocessing(method: str, count: int, multiprocessing: Any) -> dict[str, float]:
    context = multiprocessing.get_context(method)
    pipes = [context.Pipe() for _ in range(count)]
    processes = [context.Process(target=_stand_by, args=(there,)) for _here, there in pipes]
    for process in processes:
        process.start()
    for here, _there in pipes:
        here.recv()
    numbers = _private([process.pid for process in processes])
    for process, (here, _there) in zip(processes, pipes, strict=True):
        here.send("end")
        process.join()
    return numbers


def _stand_by(connection: Any) -> None:
    connection.send("here")
    connection.recv()


def _private(pids: list[int]) -> dict[str, float]:
    return {"private memory": mean(_private_bytes(pid) for pid in pids) / 2**20}


def _private_bytes(pid: int) -> int:
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) * 1024 for line in file if line.startswith(("Private_Clean", "Private_Dirty")))


CASES = [
    Case(
        "20 idle computicles, each",
        20,
        {
            "computicle": on_computicle,
            "multiprocessing forkserver": partial(on_multiprocessing, "forkserver"),
            "multiprocessing spawn": partial(on_multiprocessing, "spawn"),
        },
        {"private memory": "MiB"},
        (Target("private memory", 2.5),),
        rounds=3,
        rounds_quick=1,
    )
]
