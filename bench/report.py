"""Report: medians, ratios and verdicts, and the JSON they are kept in.

Rules:
  1. A row is one number of one case. Everything shown or drawn comes from the rows of one run, read from the JSON.
  2. The ratio to a peer is the median of the ratios of each round: ours and the peer's a moment apart.
  3. A target without its numbers is not met: it is unknown.

Not here: running (harness.py), showing (table.py, plot.py).
"""

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib import metadata
from statistics import median
from typing import Any, TypedDict

from bench.case import OURS, Case, Target
from bench.harness import Samples

__all__ = ["Report", "Row", "Verdict", "new_report", "read", "rows_of", "write"]

VERSIONS_OF = ("greenlet", "cloudpickle", "gevent", "uvloop", "trio", "tealetio", "numpy", "ray", "distributed")


class Verdict(TypedDict):
    at_most: float
    of: str | None  # the peer; None: the number itself is bounded
    measured: float | None
    met: bool | None  # None: could not be measured


class Row(TypedDict):
    name: str  # the file of the case
    title: str
    measure: str
    unit: str
    values: dict[str, list[float]]  # by label, by round
    medians: dict[str, float]
    ratios: dict[str, float]  # ours to each peer's
    notes: dict[str, str]
    verdicts: list[Verdict]


class Report(TypedDict):
    when: str
    machine: dict[str, Any]
    versions: dict[str, str]
    rows: list[Row]


def new_report() -> Report:
    """A report without rows, saying where and with what it was made."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": len(os.sched_getaffinity(0)),
            "python": platform.python_version(),
        },
        "versions": {name: _version(name) for name in VERSIONS_OF},
        "rows": [],
    }


def rows_of(name: str, case: Case, samples: Samples) -> Iterable[Row]:
    """One row for each number of the case."""
    for measure, unit in case.units.items():
        values: dict[str, list[float]] = {}
        notes = dict(samples.notes)
        for label, records in samples.values.items():
            if all(measure in record for record in records):
                values[label] = [record[measure] for record in records]
            else:
                notes.setdefault(label, "cannot be measured here")
        medians = {label: median(numbers) for label, numbers in values.items() if numbers}
        ours = values.get(OURS, [])
        ratios = {label: ratio for label in medians if (ratio := _ratio(ours, values[label])) is not None}
        ratios.pop(OURS, None)
        yield {
            "name": name,
            "title": case.title,
            "measure": measure,
            "unit": unit,
            "values": values,
            "medians": medians,
            "ratios": ratios,
            "notes": notes,
            "verdicts": [_verdict(target, medians, ratios) for target in case.targets if target.measure == measure],
        }


def write(report: Report, path: str) -> None:
    """Whole or not at all: a run that is broken off leaves the last whole file."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(f"{path}.tmp", "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1)
        file.write("\n")
    os.replace(f"{path}.tmp", path)


def read(path: str) -> Report:
    with open(path, encoding="utf-8") as file:
        report: Report = json.load(file)
    return report


def _ratio(ours: list[float], peers: list[float]) -> float | None:
    # To nothing there is no ratio. A variant that stopped early has fewer rounds.
    pairs = [(mine, its) for mine, its in zip(ours, peers, strict=False) if its]
    return median(mine / its for mine, its in pairs) if pairs else None


def _verdict(target: Target, medians: dict[str, float], ratios: dict[str, float]) -> Verdict:
    measured = medians.get(OURS) if target.of is None else ratios.get(target.of)
    met = None if measured is None else measured <= target.at_most
    return {"at_most": target.at_most, "of": target.of, "measured": measured, "met": met}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
