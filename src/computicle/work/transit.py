"""Transit: a block on its way to another computicle, in a message.

Whoever it goes to may never get it: a mailbox may end with messages in it. So a descriptor goes along, the leash:
when nobody has that any more, and the block is still on its way, it has been lost, and its memory is free.

Rules:
  1. On its way it is nobody's: its holder is a number that no place has, and no two departures: one may
     have gone on already before the zygote hears that it had arrived.
  2. The zygote knows of it before that, and has the other end of the leash.
  3. Whoever gets it takes it first, and lets go of the leash then.

Not here: when it has left (worlds/codec.py), queues, where items lie that are on their way (queue_keeper.py).
"""

import os
from collections.abc import Callable
from struct import Struct
from typing import TYPE_CHECKING

from computicle.engine.pipes import PipeEnd, pipe_pair
from computicle.worlds.codec import take_descriptors
from computicle.worlds.launcher import launcher
from computicle.worlds.wards import giving

if TYPE_CHECKING:
    from computicle.work.heap import Heap
    from computicle.work.owned import Owned

__all__ = ["Departure", "Loans", "arrive"]

LOAN = Struct("<QI")  # where it is, and its holder while it is on its way


class Departure:
    """A block that is about to leave. It is the sender's again, if it has not left in the end."""

    def __init__(self, block: "Owned") -> None:
        self._block: Owned | None = None
        block.check_movable()
        self._leash, theirs = pipe_pair()
        holder = block.heap.depart()
        block.heap.share()
        launcher.ask(giving(block.heap.uid, LOAN.pack(block.offset, holder)), (theirs.number,))
        theirs.close()
        block.give_up()
        self._block = block
        block.heap.set_holder(block.offset, holder)

    @property
    def descriptor(self) -> int:
        """The leash."""
        return self._leash.number

    def sent(self) -> None:
        """It is another's."""
        block, self._block = self._block, None
        if block is not None:
            block.arrived()
        self._leash.close()  # only now: what it was on loan from must not seem to have it still

    def unsent(self) -> None:
        """It is still its owner's."""
        block, self._block = self._block, None
        if block is not None:
            block.heap.claim(block.offset)
            block.take_back()
        self._leash.close()  # only now: the zygote looks whose it is

    def __del__(self) -> None:
        if self._block is not None:
            self.unsent()


def arrive(heap: "Heap", offset: int, n: int, where: str, place: int) -> "Owned":
    """As it is unpacked."""
    (leash,) = take_descriptors(place, 1)
    heap.claim(offset)
    os.close(leash)
    try:
        return heap.wrap(offset, n, where)
    except BaseException:
        heap.release(offset)
        raise


class Loans:
    """Those of one heap that are on their way, as the zygote knows them."""

    def __init__(
        self,
        listen: Callable[[int, Callable[[], None]], None],
        ignore: Callable[[int], None],
        lost: Callable[[int, int], None],
    ) -> None:
        self._listen = listen
        self._ignore = ignore
        self._lost = lost
        self._leashes: dict[tuple[int, int], PipeEnd] = {}  # by where the block is, and its holder on its way
        self._kept: set[tuple[int, int]] = set()  # whose leashes have ended, and which are not to be freed for that

    def add(self, loan: bytes, leash: int) -> None:
        """One is about to leave."""
        offset, holder = LOAN.unpack(loan)
        end = PipeEnd(leash)
        if (offset, holder) in self._leashes:  # of one with the same number, so long ago that it must have arrived
            self._drop(offset, holder)
        self._leashes[offset, holder] = end

        def ended() -> None:
            if end.read() == b"":  # else the event was of another one's descriptor, closed just now, with this number
                self._drop(offset, holder)
                self._lost(offset, holder)

        self._listen(leash, ended)

    def keep(self, offset: int, holder: int) -> None:
        """It may not have left: whoever was sending it may have died before that."""
        self._kept.add((offset, holder))

    def has_ended(self, offset: int, holder: int) -> bool:
        """Nobody will get it. Asked once, it is forgotten."""
        end = self._leashes.get((offset, holder))
        if end is not None and end.read() == b"":
            self._drop(offset, holder)
            return True
        if (offset, holder) in self._kept:
            self._kept.remove((offset, holder))
            return True
        return False

    def close(self) -> None:
        """The heap is gone."""
        for loan in [*self._leashes]:
            self._drop(*loan)

    def _drop(self, offset: int, holder: int) -> None:
        end = self._leashes.pop((offset, holder))
        self._ignore(end.number)
        end.close()
