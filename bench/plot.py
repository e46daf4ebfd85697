"""Plot: a report as one picture, a panel for each row, a bar for each variant.

Rules:
  1. Bars are medians, whiskers the least and the most of all rounds, the dashed line the strictest target.

Not here: numbers (report.py). Nothing is drawn that the JSON does not hold.
"""

import math
from importlib import import_module
from typing import Any

from bench.case import OURS
from bench.report import Report, Row
from bench.table import short

__all__ = ["draw"]

COLUMNS = 3
PANEL_INCHES = (4.6, 2.3)
OURS_COLOUR, PEERS_COLOUR = "#c2410c", "#94a3b8"


def draw(report: Report, path: str) -> None:
    """Draw into the PNG file `path`.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    matplotlib = import_module("matplotlib")
    matplotlib.use("Agg")
    pyplot = import_module("matplotlib.pyplot")
    rows = [row for row in report["rows"] if row["medians"]]
    lines = max(1, math.ceil(len(rows) / COLUMNS))
    figure, panels = pyplot.subplots(
        lines,
        COLUMNS,
        figsize=(PANEL_INCHES[0] * COLUMNS, PANEL_INCHES[1] * lines),
        squeeze=False,
        layout="constrained",
    )
    for panel, row in zip(panels.flat, rows, strict=False):
        _fill(panel, row)
    for panel in panels.flat[len(rows) :]:
        panel.axis("off")
    figure.suptitle(f"Less is better; dashed: what ours must not exceed. Python {report['machine']['python']}")
    figure.savefig(path, dpi=110)
    pyplot.close(figure)


def _fill(axes: Any, row: Row) -> None:
    medians, values = row["medians"], row["values"]
    labels = sorted(medians, key=lambda label: (label == OURS, -medians[label]))  # ours on top
    heights = [medians[label] for label in labels]
    whiskers = [
        [medians[label] - min(values[label]) for label in labels],
        [max(values[label]) - medians[label] for label in labels],
    ]
    colours = [OURS_COLOUR if label == OURS else PEERS_COLOUR for label in labels]
    bars = axes.barh(labels, heights, xerr=whiskers, color=colours, ecolor="#475569", height=0.7)
    axes.set_title(f"{row['title']}: {row['measure']}", fontsize=9)
    axes.set_xlabel(row["unit"], fontsize=8)
    axes.tick_params(labelsize=8)
    axes.bar_label(bars, [short(height) for height in heights], fontsize=7, padding=2)
    axes.margins(x=0.15)
    axes.set_xlim(left=0)  # last: it ends the making of room
    bounds = [
        verdict["at_most"] * (medians[verdict["of"]] if verdict["of"] else 1)
        for verdict in row["verdicts"]
        if verdict["of"] is None or verdict["of"] in medians
    ]
    if bounds:
        axes.axvline(min(bounds), linestyle="--", linewidth=1, color="#0f172a")
