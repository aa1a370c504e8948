"""DEVIATIONS.md against the marks in the code and the tests it names."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def rows():
    found = {}
    for line in (ROOT / "DEVIATIONS.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if re.fullmatch(r"D\d+", cells[0]):
            assert len(cells) == 5 and all(cells), f"a row has number, what, why, size and test: {line}"
            assert cells[0] not in found, f"{cells[0]} twice"
            found[cells[0]] = cells
    return found


def sources():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split("\n")
    return [ROOT / name for name in listed if name and not name.startswith("tests/") and (ROOT / name).exists()]


def test_every_mark_has_its_row_and_every_row_its_mark():
    marks = {}
    for path in sources():
        for mark in re.findall(r"DEVIATION (\S+?):", path.read_text(encoding="utf-8")):
            marks.setdefault(mark, []).append(str(path.relative_to(ROOT)))
    assert set(marks) == set(rows()), marks


def test_rows_stand_in_the_order_of_their_numbers():
    numbers = [int(number[1:]) for number in rows()]
    assert numbers == sorted(numbers)


def test_every_row_names_a_test_that_is_there():
    for number, cells in rows().items():
        named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", cells[4])
        assert named, f"{number} names no test"
        for file, test in named:
            found = [p for p in (ROOT / "tests").rglob(file) if f"def {test}(" in p.read_text()]
            assert found, f"{number}: no {test} in {file}"
