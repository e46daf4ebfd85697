"""Lives: what a process does with two queues, of which the first has eight items in it, two of each kind.

Others may be at it, too, so each takes what is there.
"""

from computicle.work.block import Block
from tests.work.dying import HEAP_SIZE, KINDS, LATE_S, Hands


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
        try:
            batch = hands.queue.dequeue_many(4, timeout=0)
        except TimeoutError:
            continue
        for item in batch:
            hands.finish(item)


def finishes_whole_batch(hands: Hands) -> None:
    hands.finish_all()
    for number in range(hands.first, hands.first + 4):
        hands.put("small", number)
    try:
        batch = hands.queue.dequeue_many(10, timeout=0)
    except TimeoutError:
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


def gives_batches_back(hands: Hands) -> None:
    try:
        with hands.queue.dequeue_many(5, timeout=0) as batch:
            for item in batch:
                hands.finish(item)
                raise LookupError
    except (LookupError, TimeoutError):
        pass


def allocates_and_frees(hands: Hands) -> None:
    blocks = [hands.heap.alloc(n, timeout=0) for n in (10, 100, 40_000, 1_200_000)]
    for block in blocks:
        block.free()


def forwards(hands: Hands) -> None:
    """To another queue."""
    while (item := hands.take()) is not None:
        value = item.value
        if isinstance(value, Block):
            hands.second.enqueue(value, timeout=0)
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
                hands.queue.enqueue(value, timeout=0)
            else:
                hands.finish(item)


def works_on(hands: Hands) -> None:
    """For each item taken, puts in another one."""
    for number in range(hands.first, hands.first + 4):
        item = hands.take()
        if item is not None:
            hands.put(KINDS[number % 4], number, hands.second)
            hands.finish(item)


# These wait.


def waits_for_an_item(hands: Hands) -> None:
    item = hands.take(timeout=None)
    if item is not None:
        hands.finish(item)


def waits_for_an_item_for_a_while(hands: Hands) -> None:
    item = hands.take(timeout=LATE_S)
    if item is not None:
        hands.finish(item)


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
    gives_batches_back,
    allocates_and_frees,
    forwards,
    forwards_in_place,
    works_on,
]
