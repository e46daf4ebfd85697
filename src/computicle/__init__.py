"""computicle: plain sequential code, thousands of conversations at once.

from computicle import *

def main():
    spawn(greet, "one")
    spawn(greet, "two")

def greet(name):
    sleep(1)
    print("hello from", name)

run(main)
"""

from computicle.words import *
from computicle.work import *
from computicle.worlds import *

__all__ = [
    "Batch",
    "Block",
    "Cancelled",
    "Channel",
    "ClosedError",
    "Computicle",
    "ComputicleDied",
    "Dead",
    "DeadItem",
    "Deadlock",
    "Down",
    "Fiber",
    "FiberCancelled",
    "FiberLocal",
    "GaveUp",
    "Heap",
    "HeapShare",
    "HeapStats",
    "IncompleteRead",
    "Item",
    "LineTooLong",
    "Listener",
    "Lock",
    "Moved",
    "Outcome",
    "QueueShare",
    "QueueStats",
    "RemoteError",
    "Reply",
    "Restart",
    "Scope",
    "Semaphore",
    "Spec",
    "Stream",
    "Supervisor",
    "WorkQueue",
    "Workers",
    "connect",
    "current",
    "delay",
    "fail_after",
    "fibers",
    "gather",
    "listen",
    "move_on_after",
    "offload",
    "on_signal",
    "periodic",
    "race",
    "receive",
    "run",
    "scope",
    "select",
    "self_",
    "serve",
    "shield",
    "signal_all",
    "signal_one",
    "sleep",
    "spawn",
    "stop",
    "supervise",
    "wait_for",
    "wait_signal",
    "when",
    "whenever",
    "workers",
    "yield_",
]
