"""Table: a report, for the terminal.

Not here: numbers (report.py).
"""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.case import OURS
from bench.report import Report, Row

__all__ = ["short", "show"]

VERDICTS = {True: "[green]pass[/]", False: "[red]miss[/]", None: "[yellow]unknown[/]"}


def show(report: Report, console: Console) -> None:
    """Print all rows, each variant on a line, with the targets beside the peers they are about."""
    machine = report["machine"]
    table = Table(title=f"Less is better. Python {machine['python']}, {machine['cores']} cores, {report['when']}")
    table.add_column("")
    for heading in ("median", "least", "most", "ours : it", "target"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("")
    for row in report["rows"]:
        _add(table, row)
    console.print(table)
    verdicts = [verdict["met"] for row in report["rows"] for verdict in row["verdicts"]]
    console.print(
        f"{len(verdicts)} targets: {verdicts.count(True)} met, {verdicts.count(False)} missed, "
        f"{verdicts.count(None)} unknown"
    )


def short(number: float) -> str:
    """Three figures are more than the noise leaves."""
    return f"{number:,.0f}" if number >= 1000 or number == int(number) else f"{number:.3g}"


def _add(table: Table, row: Row) -> None:
    verdicts = {verdict["of"] or OURS: verdict for verdict in row["verdicts"]}
    table.add_row(f"[bold]{row['title']}: {row['measure']}, {row['unit']}[/]")
    for label in sorted({*row["medians"], *row["notes"]}, key=lambda label: _place(row, label)):
        verdict = verdicts.get(label)
        numbers = row["values"].get(label)
        note = row["notes"].get(label)
        table.add_row(
            escape(f"  {label}" + (f" ({note})" if note else "")),
            *([short(row["medians"][label]), short(min(numbers)), short(max(numbers))] if numbers else ["", "", ""]),
            f"{row['ratios'][label]:.2f}" if label in row["ratios"] else "",
            f"<= {verdict['at_most']:g}" if verdict else "",
            VERDICTS[verdict["met"]] if verdict else "",
        )
    table.add_section()


def _place(row: Row, label: str) -> tuple[bool, float, str]:
    # Ours first, then the peers from the fastest down, those without a number last.
    return label != OURS, row["medians"].get(label, float("inf")), label
