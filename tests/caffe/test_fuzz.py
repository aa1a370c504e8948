"""Damaged files of every kind: the first thousand of `make fuzz`; and what that has found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import caffe
from tests.fuzz.__main__ import fuzz
from tests.fuzz.mutate import mutate
from tests.fuzz.targets import SHARES, TARGETS
from tests.fuzz.worker import case

ROOT = Path(__file__).resolve().parents[2]
GOOD = """
from tests.fuzz import seeds, targets
from pathlib import Path
Path("rows.h5").write_bytes(seeds._hdf5(False))
for kind, files in seeds.build().items():
    for file in files:
        for option in (0, 1):
            targets.TARGETS[kind](file, option)
"""


def test_a_thousand_damaged_files_end_in_success_or_a_documented_error(capsys):
    summary = fuzz(list(range(1000)), seed=1)
    assert summary["faults"] == []
    assert summary["run"] == 1000
    assert set(summary["outcomes"]) == set(TARGETS)
    assert summary["most_mb"] < 1024


def test_the_good_files_are_read(tmp_path):
    path = os.pathsep.join([str(ROOT), str(ROOT / "python")])
    subprocess.run([sys.executable, "-c", GOOD], cwd=tmp_path, check=True, timeout=120,
                   env=os.environ | {"PYTHONPATH": path, "GLOG_minloglevel": "3"})


def test_a_number_is_always_the_same_case():
    seeds = {kind: [kind.encode() * 9] for kind in SHARES}
    assert case(1, 5, seeds) == case(1, 5, seeds) != case(1, 6, seeds)
    import random
    assert mutate(b"0123456789" * 9, b"abc", random.Random(1), False) != b"0123456789" * 9


@pytest.mark.parametrize(("text", "words"), [
    ('layer { name: "p" type: "Pooling" bottom: "x" top: "p" pooling_param { pool: MAX kernel_size: 2147483649 '
     "stride: 1 pad: 2147483648 } }", "layer 'p' .Pooling."),
    ('layer { name: "d" type: "DummyData" top: "d" dummy_data_param { shape { dim: 9 } data_filler { type: "uniform" '
     "max: inf } } }", "layer 'd' .DummyData.: uniform: .* want finite"),
])
def test_what_the_fuzz_found(tmp_path, text, words):
    path = tmp_path / "net.prototxt"
    path.write_text('input: "x" input_shape { dim: 1 dim: 1 dim: 4 dim: 4 }\n' + text)
    with pytest.raises(caffe.CaffeError, match=words):
        caffe.Net(str(path), caffe.TEST).forward()
