"""`python -m bench`: measure, keep, show, draw.

    python -m bench [--only NAME]... [--quick] [--out DIR]

Ours must be importable: installed, or with PYTHONPATH=src.

Rules:
  1. Numbers of different runs are never put side by side: a run with --only replaces the whole report.
  2. The JSON is written after every case; the table and the picture are made from it.

Not here: cases (one file each, see case.NAMES).
"""

import os

import click
from rich.console import Console

from bench.case import NAMES, cases_of
from bench.harness import measure
from bench.plot import draw
from bench.report import new_report, read, rows_of, write
from bench.table import show

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")


@click.command()
@click.option("--only", multiple=True, type=click.Choice(NAMES), help="Measure only this; may be repeated.")
@click.option("--quick", is_flag=True, help="Fewer rounds.")
@click.option("--out", default=OUT, type=click.Path(file_okay=False), help="Where latest.json and latest.png go.")
def main(only: tuple[str, ...], quick: bool, out: str) -> None:
    """Run computicle beside its peers."""
    console = Console()
    path = os.path.join(out, "latest.json")
    report = new_report()
    with console.status("") as status:
        for name in only or NAMES:
            for index, case in enumerate(cases_of(name)):
                rounds = case.rounds_quick if quick else case.rounds
                samples = measure(name, index, case, rounds, status.update)
                report["rows"].extend(rows_of(name, case, samples))
                write(report, path)
    report = read(path)
    show(report, console)
    try:
        draw(report, os.path.join(out, "latest.png"))
    except ModuleNotFoundError as error:
        console.print(f"no picture: {error.name} is not installed")


if __name__ == "__main__":
    main()
