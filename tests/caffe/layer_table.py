"""The table of docs/caffe.md: each layer type's worst differences, measured.

Run:  python -m tests.caffe.layer_table        (make layer-table)

In:   the recorded cases and their answers; the formulas; the tests that layer_types.py names; a GPU where there is one.
Out:  tests/reference/layer_table.json, what was measured; docs/caffe.md, the table between its two marks.
      Without a GPU the figures that one gave before are kept.
Not here: bounds (test_layer_cases.py, test_autograd.py, test_gpu.py), the page's text.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import torch

import caffe
from tests.caffe import test_autograd
from tests.caffe.layer_case import Case, relative, run
from tests.caffe.layer_types import ELSEWHERE, TYPES, case_type
from tests.reference.record_layers import FAMILIES, answers_of, load

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE, MEASURED = ROOT / "docs" / "caffe.md", ROOT / "tests" / "reference" / "layer_table.json"
BEGIN, END = "<!-- layer table: begin (make layer-table) -->", "<!-- layer table: end -->"
UNJUDGED_ROWS = {"BatchNorm": "BatchNorm in TRAIN", "Pooling": "Pooling STOCHASTIC", "Clip": "Clip"}
HEAD = """| type | settings | forward | backward | autograd | GPU forward | GPU backward |
|---|---|---|---|---|---|---|"""
Row = dict[str, float]


def row_of(case: Case) -> str:
    """Return the row that a case counts for: its type, or the type's settings that genuine Caffe cannot judge."""
    kind = case_type(case)
    return UNJUDGED_ROWS[kind] if case in test_autograd.UNJUDGED else kind


def rows() -> list[str]:
    """Return all rows in order."""
    return sorted({*TYPES, *UNJUDGED_ROWS.values()})


def recorded_cases() -> dict[str, list[Case]]:
    """Return the recorded cases of each row."""
    found = defaultdict(list)
    for cases in FAMILIES.values():
        for case in cases:
            found[row_of(case)].append(case)
    return found


def _worse(row: Row, key: str, value: float) -> None:
    row[key] = max(row.get(key, 0.0), value)


def against_answers(cases: list[Case]) -> dict[str, Row]:
    """Run cases on the present device, and compare with what genuine Caffe answered."""
    answers = {name: value for family in FAMILIES for name, value in load(family).items()}
    found: dict[str, Row] = defaultdict(dict)
    for case in cases:
        got = run(case)
        for name, want in answers_of(case, answers).items():
            _worse(found[row_of(case)], "backward" if "diff" in name else "forward", relative(got[name], want))
    return found


def against_formulas() -> dict[str, Row]:
    """Compare gradients with autograd's; of what genuine Caffe cannot judge, the forward pass with the formula."""
    found: dict[str, Row] = defaultdict(dict)
    for name, case in test_autograd.CASES.items():
        if name in test_autograd.EXCEPTIONS:
            continue
        forward, backward = test_autograd.worst(case)
        _worse(found[row_of(case)], "autograd", backward)
        if case in test_autograd.UNJUDGED:
            _worse(found[row_of(case)], "forward", forward)
    return found


def passed() -> dict[str, int]:
    """Run the tests that stand for types without recorded cases; return how many of each passed.

    Raises:
        RuntimeError: one failed, or was left out.
    """
    names = {name: kind for kind, tests in ELSEWHERE.items() if kind not in UNJUDGED_ROWS for name in tests}
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-rA", *(f"tests/caffe/{name}" for name in names)],
                          cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    found = re.findall(r"^PASSED tests/caffe/([\w.]+::\w+)", done.stdout, re.M)
    if done.returncode or set(found) != set(names):
        raise RuntimeError(f"want all of these passed: {' '.join(set(names) - set(found))}\n{done.stdout[-2000:]}")
    return dict(Counter(names[name] for name in found))


def on_gpu() -> dict | None:
    """Measure on the GPU; None where there is none."""
    if not torch.cuda.is_available():
        return None
    # dropout masks on the GPU are torch's (DEVIATION D14)
    cases = [case for cases in FAMILIES.values() for case in cases if case_type(case) != "Dropout"]
    caffe.set_mode_gpu()
    try:
        found = against_answers(cases)
        for case in test_autograd.UNJUDGED:
            for key, value in zip(("forward", "backward"), test_autograd.worst(case), strict=True):
                _worse(found[row_of(case)], key, value)
        return {"device": torch.cuda.get_device_name(), "rows": _short(found)}
    finally:
        caffe.set_mode_cpu()


def measure(before: dict) -> dict:
    """Measure everything that this machine can."""
    counts = {row: len(cases) for row, cases in recorded_cases().items()}
    for case in test_autograd.UNJUDGED:
        counts[row_of(case)] = counts.get(row_of(case), 0) + 1
    measured = against_answers([case for cases in FAMILIES.values() for case in cases])
    for row, values in against_formulas().items():
        measured[row].update(values)
    return {"settings": counts, "rows": _short(measured), "gpu": on_gpu() or before.get("gpu"),
            "passed": passed()}


def _short(found: dict[str, Row]) -> dict[str, Row]:
    return {row: {key: float(f"{value:.1e}") for key, value in found[row].items()} for row in sorted(found)}


def table(measured: dict) -> str:
    """Return the table as Markdown."""
    gpu = measured["gpu"]
    lines = [HEAD]
    for row in rows():
        if row in measured["passed"]:
            cells = ["–", f"tests passed: {measured['passed'][row]}", *["–"] * 4]
        else:
            cells = [str(measured["settings"][row]), *_cells(measured["rows"][row], "forward", "backward", "autograd")]
            cells += _cells(gpu["rows"].get(row, {}), "forward", "backward") if gpu else ["not measured"] * 2
        lines.append(f"| {' | '.join([row, *cells])} |")
    where = f"The GPU was {gpu['device']}." if gpu else "No GPU has measured its two columns yet."
    return "\n".join([*lines, "", where])


def _cells(values: Row, *keys: str) -> list[str]:
    return ["–" if key not in values else "0" if values[key] == 0 else f"{values[key]:.1e}" for key in keys]


def put(page: str, text: str) -> str:
    """Return the page with this text between its two marks.

    Raises:
        ValueError: the marks are not there.
    """
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/caffe.md lacks its marks: want {BEGIN!r} and {END!r}")
    return f"{head}{begin}\n\n{text}\n\n{end}{tail}"


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)


if __name__ == "__main__":
    known = json.loads(MEASURED.read_text(encoding="utf-8")) if MEASURED.exists() else {}
    new = measure(known)
    _write(MEASURED, json.dumps(new, indent=1) + "\n")
    _write(PAGE, put(PAGE.read_text(encoding="utf-8"), table(new)))
    print(f"{PAGE.relative_to(ROOT)}: {len(rows())} rows; GPU: {(new['gpu'] or {}).get('device', 'not measured')}")
