"""The documentation's programs run, and print what it says they print.

Every ```python block of these pages is a program of its own. A ```text block
right behind it is all that it prints.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
PAGES = ["README.md", "docs/guide.md"]
HANG_S = 40  # only bounds a hang

PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")


class Program(NamedTuple):
    where: str
    code: str
    printed: str | None


def programs() -> list[Program]:
    found = []
    for page in PAGES:
        text = (ROOT / page).read_text()
        for block in PROGRAM.finditer(text):
            line = text.count("\n", 0, block.start()) + 1
            found.append(Program(f"{page}:{line}", block[1], block[2]))
    return found


@pytest.mark.parametrize("program", programs(), ids=lambda program: program.where)
def test_program(program: Program, tmp_path: Path) -> None:
    script = tmp_path / "program.py"
    script.write_text(program.code)
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        env={**os.environ, "PYTHONUNBUFFERED": "1"},  # as on a terminal: what computicles print comes in between
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    if program.printed is not None:
        assert done.stdout == program.printed


def test_every_page_has_programs() -> None:
    assert {program.where.split(":")[0] for program in programs()} == set(PAGES)


def test_links_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
    for page in pages:
        for target in LINK.findall(page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_file_is_on_the_map() -> None:
    rooms = (ROOT / "ARCHITECTURE.md").read_text().split("## Rooms")[1].split("## ")[0]
    # Names stand before what is said of them. Of a folder with one line, they are in what is said.
    columns = [re.split(r"  +", line.strip()) for line in rooms.splitlines()]
    named = {
        name for first, *rest in columns for name in re.findall(r"[a-z_]+", first + ",".join(rest * ("/" in first)))
    }
    files = {path.stem for path in (ROOT / "src/computicle").glob("*/*.py")} - {"__init__", "version"}
    assert files <= named, f"not in ARCHITECTURE.md: {sorted(files - named)}"
