"""Work: memory that computicles share, and the queue by which they hand to each other what lies in it."""

from computicle.work.batch import Batch
from computicle.work.block import Block, Moved
from computicle.work.dead import Dead, DeadItem
from computicle.work.heap import Heap, HeapStats
from computicle.work.item import Item
from computicle.work.ledger import HeapShare
from computicle.work.queue import WorkQueue
from computicle.work.stats import QueueShare, QueueStats
from computicle.work.workers import Outcome, Workers, workers

__all__ = [
    "Batch",
    "Block",
    "Dead",
    "DeadItem",
    "Heap",
    "HeapShare",
    "HeapStats",
    "Item",
    "Moved",
    "Outcome",
    "QueueShare",
    "QueueStats",
    "WorkQueue",
    "Workers",
    "workers",
]
