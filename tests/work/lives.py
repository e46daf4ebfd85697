"""Lives: what a process does with two queues, of which the first has eight items in it, two of each kind.

Others may be at it, too, so each takes what is there.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import partial

from computicle import run, scope, yield_
from computicle.work.batch import Batch
from computicle.work.block import Block
from tests.work.dying import HEAP_SIZE, LATE_S
from tests.work.hands import KINDS, Hands

TINY_S = 0.001  # a wait that ends by itself, when nothing is left


def comes(hands: Hands) -> None:
    """It begins to use them. (dying.py)"""


def puts_small(hands: Hands) -> None:
    hands.put("small", hands.first)
    hands.put("small", hands.first + 1)


def puts_large(hands: Hands) -> None:
    hands.put("large", hands.first)


def puts_parts(hands: Hands) -> None:
    hands.put("parts", hands.first)


def puts_block(hands: Hands) -> None:
    hands.put("block", hands.first)


def puts_many(hands: Hands) -> None:
    hands.put_many(hands.first)


def finishes(hands: Hands) -> None:
    hands.finish_all()


def frees_blocks(hands: Hands) -> None:
    while (item := hands.take()) is not None:
        value = item.value
        hands.finish(item, value.free if isinstance(value, Block) else None)


def gives_back(hands: Hands) -> None:
    items = [hands.take() for _ in KINDS]
    while items:
        item = items.pop()
        if item is not None:
            item.give_back()


def drops(hands: Hands) -> None:
    for _ in KINDS:
        hands.take()


def fails(hands: Hands) -> None:
    for _ in KINDS:
        item = hands.take()
        try:
            if item is not None:
                with item:
                    raise LookupError
        except LookupError:
            pass


def finishes_batches(hands: Hands) -> None:
    for _ in range(2):
        for item in hands.take_many(4) or ():
            hands.finish(item)


def finishes_whole_batch(hands: Hands) -> None:
    batch = take_small(hands)
    if batch is None:
        return
    values = [value for value in batch.values if isinstance(value, int)]
    if len(values) < len(batch):
        batch.give_back()
        return
    for value in values:
        hands.record.done[value] += 1
    batch.finish()
    for value in values:
        hands.record.finished[value] += 1


def finishes_small_ones_of_a_batch(hands: Hands) -> None:
    for item in take_small(hands) or ():
        hands.finish(item)


def leaves_a_batch(hands: Hands) -> None:
    """After the first one of it."""
    for item in take_small(hands) or ():
        hands.finish(item)
        break


def take_small(hands: Hands) -> Batch | None:
    """If nobody else puts something in, they are such as lie in one stretch of slots."""
    hands.finish_all()
    for number in range(hands.first, hands.first + 4):
        hands.put("small", number)
    return hands.take_many(10)


def gives_batches_back(hands: Hands) -> None:
    batch = hands.take_many(5)
    if batch is not None:
        with suppress(LookupError), batch:
            for item in batch:
                hands.finish(item)
                raise LookupError


def allocates_and_frees(hands: Hands) -> None:
    blocks = [hands.heap.alloc(n, timeout=0) for n in (10, 100, 40_000, 1_200_000)]
    for block in blocks:
        block.free()


def forwards(hands: Hands) -> None:
    """To another queue."""
    while (item := hands.take()) is not None:
        value = item.value
        if isinstance(value, Block):
            hands.pass_on(value, hands.second)
        else:
            hands.finish(item)
    hands.finish_all(hands.second)


def forwards_in_place(hands: Hands) -> None:
    """To the end of the same queue."""
    for _ in range(2 * len(KINDS)):
        item = hands.take()
        if item is not None:
            value = item.value
            if isinstance(value, Block):
                hands.pass_on(value, hands.queue)
            else:
                hands.finish(item)


def works_on(hands: Hands) -> None:
    """For each item taken, puts in another one."""
    for number in range(hands.first, hands.first + 4):
        item = hands.take()
        if item is not None:
            hands.put(KINDS[number % 4], number, hands.second)
            hands.finish(item)


def takes_from_both(hands: Hands) -> None:
    """With one word."""
    for number in range(hands.first, hands.first + 2):
        hands.put("small", number, hands.second)
    while (item := hands.take_from_any()) is not None:
        hands.finish(item)


def takes_in_several_fibers(hands: Hands) -> None:
    run(together, [partial(takes_some_time, hands) for _ in range(3)])


def takes_some_time(hands: Hands) -> None:
    while (item := hands.take(timeout=TINY_S)) is not None:
        yield_()
        hands.finish(item)


def together(each: list[Callable[[], None]]) -> None:
    with scope() as s:
        for one in each:
            s.spawn(one)


# These have to do with the dead: items are tried twice, and have been so before, or once (BEFORE).


def gives_up(hands: Hands) -> None:
    gives_back(hands)


def revives(hands: Hands) -> None:
    for dead in hands.queue.dead:
        with suppress(ValueError):
            dead.requeue(timeout=0)
    hands.finish_all()


def drops_dead(hands: Hands) -> None:
    for dead in hands.queue.dead:
        with suppress(ValueError):  # another one was quicker
            hands.drop_dead(dead)


# These wait.


def waits_for_an_item(hands: Hands) -> None:
    item = hands.take(timeout=None)
    if item is not None:
        hands.finish(item)


def waits_for_an_item_for_a_while(hands: Hands) -> None:
    item = hands.take(timeout=LATE_S)
    if item is not None:
        hands.finish(item)


def waits_for_a_batch(hands: Hands) -> None:
    for item in hands.take_many(5, timeout=None) or ():
        hands.finish(item)


def waits_at_both(hands: Hands) -> None:
    """Queues, with one word."""
    item = hands.take_from_any(timeout=LATE_S)
    if item is not None:
        hands.finish(item)


def waits_in_several_fibers(hands: Hands) -> None:
    run(together, [partial(waits_for_an_item, hands) for _ in range(3)])


def closes(hands: Hands) -> None:
    """While it has taken something, as others may have."""
    item = hands.take(timeout=None)
    hands.queue.close()
    if item is not None:
        hands.finish(item)
    takes_all(hands)


def takes_all(hands: Hands) -> None:
    while (item := hands.take(timeout=None)) is not None:
        hands.finish(item)


def waits_for_room(hands: Hands) -> None:
    hands.put("small", hands.first, timeout=None)


def waits_for_memory(hands: Hands) -> None:
    hands.heap.alloc(HEAP_SIZE).free()


LIVES = [
    comes,
    puts_small,
    puts_large,
    puts_parts,
    puts_block,
    puts_many,
    finishes,
    frees_blocks,
    gives_back,
    drops,
    fails,
    finishes_batches,
    finishes_whole_batch,
    finishes_small_ones_of_a_batch,
    leaves_a_batch,
    gives_batches_back,
    takes_from_both,
    takes_in_several_fibers,
    allocates_and_frees,
    forwards,
    forwards_in_place,
    works_on,
]

BEFORE: dict[Callable[[Hands], None], int] = {gives_up: 1, revives: 2, drops_dead: 2}
