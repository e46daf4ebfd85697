"""Child: the process in which one variant is measured once. Prints one line of JSON, last.

Event loops, memory and the state of the garbage collector disturb each other: so one process holds one library and
makes one measurement. The garbage collector is left as Python sets it.

Not here: which children run, and when (harness.py).
"""

import json
import sys

from bench.case import cases_of, library_of

__all__ = ["MISSING"]

MISSING = "missing"  # the key under which a library that is not installed is named


def main(name: str, index: str, label: str) -> None:
    case = cases_of(name)[int(index)]
    try:
        library = library_of(label)
    except ModuleNotFoundError as error:
        if error.name != label.split(maxsplit=1)[0]:
            raise  # it is there, and broken
        print(json.dumps({MISSING: error.name}))
        return
    print(json.dumps(case.variants[label](case.argument, library)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
