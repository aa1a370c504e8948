"""Is the corpus whole: is every layer type judged by genuine Caffe in three settings, or by tests of its own?"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import caffe
from tests.caffe.layer_types import ELSEWHERE, JUDGED_BY_FORMULAS, NO_GRADIENT, TYPES, case_type
from tests.reference import record_layers
from tests.reference.record_layers import FAMILIES

HERE = Path(__file__).parent
COUNTS = Counter(case_type(case) for cases in FAMILIES.values() for case in cases)
NAMED = [name for table in (ELSEWHERE, JUDGED_BY_FORMULAS) for names in table.values() for name in names]


def test_all_types_of_bvlc_are_there():
    assert len(TYPES) == len(set(TYPES)) == 61
    assert set(TYPES) <= set(caffe.layer_type_list())


@pytest.mark.parametrize("kind", TYPES)
def test_every_type_is_recorded_in_three_settings_or_tested_elsewhere(kind):
    assert COUNTS[kind] >= 3 or kind in ELSEWHERE, f"{kind}: {COUNTS[kind]} recorded cases"
    assert not (COUNTS[kind] and kind in ELSEWHERE)


def test_no_case_is_of_an_unknown_type_or_has_anothers_name():
    assert set(COUNTS) <= set(TYPES)
    names = [case.name for cases in FAMILIES.values() for case in cases]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_case_is_recorded_with_its_gradients(family):
    answers = record_layers.load(family)
    for case in FAMILIES[family]:
        mine = {name.split("/")[1] for name in answers if name.startswith(f"{case.name}/")}
        want = {f"top{i}" for i in range(case.tops)}
        if case.backward:
            want |= {f"bottom_diff{i}" for i in range(len(case.shapes))}
        assert want <= mine, f"{case.name}: stale record? python -m tests.reference.record_layers"
        assert case.backward or case_type(case) in NO_GRADIENT or case.in_place, f"{case.name}: no backward recorded"


@pytest.mark.parametrize("name", NAMED)
def test_tests_named_are_there(name):
    file, test = name.split("::")
    assert f"def {test}(" in (HERE / file).read_text()
