"""The table of docs/caffe.md: does it name every layer type, hold the bounds, and say what was measured?"""

from __future__ import annotations

import json
import re

import pytest
import torch

from caffe._caffe import common
from tests.caffe import layer_table, test_autograd, test_gpu, test_layer_cases
from tests.caffe.layer_types import TYPES

MEASURED = json.loads(layer_table.MEASURED.read_text(encoding="utf-8"))
PAGE = layer_table.PAGE.read_text(encoding="utf-8")
BOUNDS = {"forward": test_layer_cases.FORWARD, "backward": test_layer_cases.BACKWARD, "autograd": test_autograd.BOUND}
AGAIN = "measure again: make layer-table"


def test_every_layer_type_has_its_row():
    named = re.findall(r"^\| (\w+)(?: in TRAIN| STOCHASTIC)? \|", PAGE, re.M)
    assert set(TYPES) <= set(named)


def test_the_page_shows_what_was_measured():
    assert layer_table.put(PAGE, layer_table.table(MEASURED)) == PAGE, AGAIN


def test_all_settings_were_measured():
    counts = {row: len(cases) for row, cases in layer_table.recorded_cases().items()}
    for case in test_autograd.UNJUDGED:
        counts[layer_table.row_of(case)] = counts.get(layer_table.row_of(case), 0) + 1
    assert MEASURED["settings"] == counts, AGAIN
    assert set(MEASURED["rows"]) | set(MEASURED["passed"]) == set(layer_table.rows()), AGAIN
    assert all(MEASURED["passed"].values())


@pytest.mark.parametrize("column", BOUNDS)
def test_figures_are_within_the_bounds(column):
    figures = {row: values[column] for row, values in MEASURED["rows"].items() if column in values}
    assert len(figures) > 40
    assert max(figures.values()) <= BOUNDS[column], figures
    assert f"{BOUNDS[column]:.0e}".replace("e-0", "e-") in PAGE


def test_figures_of_a_gpu_are_within_the_bounds():
    gpu = MEASURED["gpu"] or {"rows": {}}
    for row, values in gpu["rows"].items():
        assert values["forward"] <= test_gpu.FORWARD and values.get("backward", 0) <= test_gpu.BACKWARD, row
    assert ("not measured" in PAGE) == (MEASURED["gpu"] is None)


def test_a_gpu_fills_its_columns(monkeypatch):
    """A second device stands in for the GPU, as in test_gpu.py."""
    cases = [case for case in layer_table.recorded_cases()["ReLU"] if not case.in_place]
    monkeypatch.setattr(common._state, "device", torch.device("cpu"))
    found = layer_table.against_answers(cases)
    assert set(found) == {"ReLU"} and set(found["ReLU"]) == {"forward", "backward"}
    gpu = {"device": "Stand-in 1", "rows": {"ReLU": {"forward": 0.0, "backward": 2.5e-7}}}
    text = layer_table.table({**MEASURED, "gpu": gpu})
    row = next(line for line in text.splitlines() if line.startswith("| ReLU |"))
    assert row.endswith("| 0 | 2.5e-07 |") and "The GPU was Stand-in 1." in text and "not measured" not in text


def test_a_case_that_differs_shows(monkeypatch):
    case = layer_table.recorded_cases()["TanH"][0]
    monkeypatch.setattr(layer_table, "run", lambda one: {k: v * 1.5 for k, v in test_autograd.run(one).items()})
    assert layer_table.against_answers([case])["TanH"] == pytest.approx({"forward": 0.5, "backward": 0.5}, rel=1e-5)


def test_marks_are_needed():
    with pytest.raises(ValueError, match="lacks its marks"):
        layer_table.put(PAGE.replace(layer_table.END, ""), "")


def test_deviations_named_on_the_page_are_rows():
    rows = (layer_table.ROOT / "DEVIATIONS.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\bD\d+\b", PAGE))
    assert len(named) > 20 and all(f"| {number} |" in rows for number in named)
