"""Records: whole through JSON, derived where they say nothing, refused value by value."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from nets import NetError
from nets.record import Head, Input, Record, load_record, record_path, save_record


def record() -> Record:
    return Record("shapes-fcn8s", "models/shapes-fcn8s/deploy.prototxt", "models/x.caffemodel",
                  ("background", "ball"), (128, 128, 128), 1 / 60, iteration=4000, scores={"mean_iu": 0.5})


def test_record_comes_back_as_it_was(tmp_path):
    weights = tmp_path / "net.caffemodel"
    assert save_record(record(), weights) == record_path(weights) == tmp_path / "net.json"
    assert load_record(weights) == record()
    assert "heads" not in json.loads(record_path(weights).read_text())  # they follow from the rest


def test_a_record_of_one_head_and_a_colour_image_need_not_say_so():
    plain = record()
    assert plain.heads == (Head(("background", "ball"), "score", "label", "loss"),)
    assert plain.inputs == (Input("data", "color", (128.0, 128.0, 128.0)),)


def test_a_record_with_two_heads_and_inputs_comes_back_as_it_was(tmp_path):
    heads = (Head(record().classes, "score_sem", "sem"), Head(("sky",), "score_geo", "geo", "loss_geo"))
    two = replace(record(), heads=heads,
                  inputs=({"blob": "color", "mean": (1, 2, 3)}, {"blob": "depth", "kind": "depth", "mean": [7.844]}))
    assert two.inputs[1] == Input("depth", "depth", (7.844,))
    save_record(two, tmp_path / "net.caffemodel")
    assert load_record(tmp_path / "net.caffemodel") == two


@pytest.mark.parametrize("text, words", [
    (None, "no record at"), ("", "not JSON"), ("[1]", "want"), ('{"net": "x"}', "classes"),
    (json.dumps({**asdict(record()), "mean_bgr": [1, 2]}), "three numbers"),
    (json.dumps({**asdict(record()), "classes": []}), "classes is [], want a name for each channel"),
    (json.dumps({**asdict(record()), "classes": "abc"}), "classes is 'abc', want"),
    (json.dumps({**asdict(record()), "mean_bgr": [1, 2, float("nan")]}), "three numbers"),
    (json.dumps({**asdict(record()), "mean_bgr": 128}), "mean_bgr is 128, want three numbers"),
    (json.dumps({**asdict(record()), "scale": "big"}), "scale is 'big', want a number"),
    (json.dumps({**asdict(record()), "scores": [0.5]}), "scores is [0.5], want numbers by name"),
    (json.dumps({**asdict(record()), "deploy": None}), "deploy is None, want the path"),
    (json.dumps({**asdict(record()), "heads": [{"score": "s"}]}), "heads: "),
    (json.dumps({**asdict(record()), "heads": [{"classes": ["sky"]}]}), "not those of the first of heads"),
    (json.dumps({**asdict(record()), "heads": [{"classes": ["sky"], "label": ""}]}), "label is '', want the name"),
    (json.dumps({**asdict(record()), "inputs": [{"mean": [1, 2]}]}), "input 'data': 2 means, want 3"),
    (json.dumps({**asdict(record()), "inputs": [{"kind": "heat"}]}), "kind is 'heat', want one of color, hha, depth"),
    (json.dumps({**asdict(record()), "colour": 1}), "colour")])
def test_a_wrong_record_is_refused_with_its_name(tmp_path, text, words):
    weights = tmp_path / "net.caffemodel"
    if text is not None:
        record_path(weights).write_text(text)
    with pytest.raises(NetError) as error:
        load_record(weights)
    assert words in str(error.value) and "net.json" in str(error.value)
