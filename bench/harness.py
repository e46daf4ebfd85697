"""Harness: run a case's variants in turn, round after round.

Rules:
  1. Rounds are interleaved: ours, a peer, the next peer, and again. Every second round goes backwards, so that no
     variant is always the one that runs after the same other one. What slows the machine slows all of them.
  2. Every measurement is a process of its own, in a process group of its own; when its time is up, that group is
     killed, and nothing else.
  3. Nothing is dropped silently: a variant that cannot be measured leaves a note.

Not here: what is measured (the cases), medians and ratios (report.py).
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

from bench.case import Case
from bench.child import MISSING

__all__ = ["Samples", "measure"]

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # where `-m bench.child` can be found


class Samples(NamedTuple):
    """What a case has given."""

    values: dict[str, list[dict[str, float]]]  # by label: one record a round, from the first round on without gaps
    notes: dict[str, str]  # by label: why there are none, or no more


class _NoNumberError(Exception):
    """A child has ended without a number."""


def measure(name: str, index: int, case: Case, rounds: int, tell: Callable[[str], None]) -> Samples:
    """Run all variants of `case`, which is the number `index` of the file `name`."""
    samples = Samples({label: [] for label in case.variants}, {})
    for turn in range(rounds):
        labels = list(case.variants)
        for label in labels if turn % 2 == 0 else reversed(labels):
            if label in samples.notes:
                continue
            tell(f"{case.title}: round {turn + 1} of {rounds}, {label}")
            try:
                samples.values[label].append(_numbers(name, index, label, case.timeout_s))
            except _NoNumberError as error:
                samples.notes[label] = str(error)
    return samples


def _numbers(name: str, index: int, label: str, timeout_s: float) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.child", name, str(index), label]
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        try:
            out, err = child.communicate(timeout=timeout_s)
        except BaseException as error:
            # The group is the child's own: it leads it, and is not reaped yet.
            os.killpg(child.pid, signal.SIGKILL)
            child.communicate()
            if isinstance(error, subprocess.TimeoutExpired):
                raise _NoNumberError(f"not done after {timeout_s:g} s") from None
            raise
    if child.returncode != 0:
        last = (err.strip().splitlines() or ["no word"])[-1]
        raise _NoNumberError(f"failed: {last}"[:200])
    record = json.loads(out.splitlines()[-1])
    if MISSING in record:
        raise _NoNumberError("not installed")
    return {measure: float(value) for measure, value in record.items()}
