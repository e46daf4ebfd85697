"""How many descriptors this process has open."""

import gc
import os
import warnings

HERE = "/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"


def open_descriptors() -> int:
    """Without counting the one that it takes to list them."""
    return len(os.listdir(HERE)) - 1


def settled_descriptors() -> int:
    """What is open once the garbage of earlier tests is collected: it does not end in the middle of this one."""
    with warnings.catch_warnings():  # theirs to have closed
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
    return open_descriptors()
