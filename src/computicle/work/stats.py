"""Stats: what has been done at a work queue, and who has what, for people.

Rules:
  1. What moves meanwhile is counted twice, not missed: where nothing is queued or leased, nothing was.

Not here: the counters themselves (table.py).
"""

from typing import NamedTuple

from computicle.work.gate import Gate
from computicle.work.record import DEAD, EMPTY, REVIVED
from computicle.work.table import CLOSED, PID, PUT_BEFORE, RETURNED, RETURNS, TAKEN, WAKES, Table
from computicle.worlds.places import KEEPER

__all__ = ["QueueShare", "QueueStats", "stats_of"]


class QueueShare(NamedTuple):
    """What one process has done; those that have ended are together at place 0.

    What a process had that was killed counts as given back. One killed right between doing something and counting it
    may leave its numbers off by one for each of its threads, or by one batch: nobody can tell.
    """

    pid: int
    put: int  # items put in
    taken: int
    leased: int  # taken, and neither finished nor put back
    given_back: int
    wakes: int  # how often it was woken, or one of its threads, because something had come


class QueueStats(NamedTuple):
    """A work queue, at a moment. While others use it, some of it may be newer than the rest.

    An item that is taken or put back at that moment may be counted both as queued and as leased, but never as neither.
    What was taken, and is neither leased nor was given back, has been finished, or its Block handed on; what is with the dead was given back.
    """

    capacity: int
    queued: int
    leased: int
    dead: int  # items that were tried too often
    closed: bool
    put: int
    taken: int
    given_back: int
    wakes: int
    places: dict[int, QueueShare]  # by place


def stats_of(table: Table, gate: Gate) -> QueueStats:
    """What there is."""
    while True:
        returns = table.longs[RETURNS // 8]
        # First: what is taken meanwhile is leased then.
        queued = gate.items() + table.states(KEEPER).count(REVIVED)
        places = {place: _share(table, place) for place in (KEEPER, *table.members())}
        if table.longs[RETURNS // 8] == returns:  # nothing was put back meanwhile
            break
    shares = places.values()
    return QueueStats(
        table.capacity,
        queued,
        sum(share.leased for share in shares),
        table.states(KEEPER).count(DEAD),
        bool(table.bytes[CLOSED]),
        sum(share.put for share in shares),
        sum(share.taken for share in shares),
        sum(share.given_back for share in shares),
        sum(share.wakes for share in shares),
        places,
    )


def _share(table: Table, place: int) -> QueueShare:
    row = table.row_at(place)
    states = table.states(place)
    before, taken, returned, wakes = (table.longs[(row + at) // 8] for at in (PUT_BEFORE, TAKEN, RETURNED, WAKES))
    put = table.put(place) - before
    leased = 0 if place == KEEPER else len(states) - states.count(EMPTY)
    return QueueShare(table.ints[(row + PID) // 4], put, taken, leased, returned, wakes)
