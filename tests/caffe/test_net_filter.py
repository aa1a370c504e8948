"""Include and exclude rules; test_caffemodel.py holds the nets called rules_* against genuine Caffe's."""

from __future__ import annotations

import pytest

from caffe._caffe.errors import NetError
from caffe._caffe.files.proto_text import parse_text
from caffe._caffe.net.filter import filter_net, state_meets_rule
from caffe.proto import caffe_pb2


@pytest.mark.parametrize(("state", "rule", "met"), [
    ("", "", True),
    ("", "phase: TEST", True), ("", "phase: TRAIN", False), ("phase: TRAIN", "phase: TRAIN", True),
    ("", "min_level: 0", True), ("", "min_level: 1", False), ("level: 2", "min_level: 1", True),
    ("", "max_level: 0", True), ("level: 2", "max_level: 1", False), ("", "max_level: -1", False),
    ("level: 2", "min_level: 2 max_level: 2", True),
    ("", 'stage: "a"', False), ('stage: "a"', 'stage: "a"', True), ('stage: "a"', 'stage: "a" stage: "b"', False),
    ('stage: "a" stage: "b"', 'stage: "b"', True), ('stage: "a"', 'not_stage: "a"', False),
    ('stage: "a"', 'not_stage: "b"', True), ('stage: "a" stage: "b"', 'stage: "a" not_stage: "b"', False),
    ('stage: "a" phase: TRAIN level: 1', 'stage: "a" phase: TRAIN min_level: 1 not_stage: "c"', True),
    ('stage: "a" phase: TEST level: 1', 'stage: "a" phase: TRAIN min_level: 1', False),
])
def test_rules(state, rule, met):
    state = parse_text(state, caffe_pb2.NetState())
    assert state_meets_rule(state, parse_text(rule, caffe_pb2.NetStateRule())) is met
    assert kept(f"include {{ {rule} }}", state) is met
    assert kept(f"exclude {{ {rule} }}", state) is not met


def kept(rules, state):
    net = parse_text(f'name: "n" layer {{ name: "a" {rules} }} layer {{ name: "b" }}', caffe_pb2.NetParameter())
    net.state.CopyFrom(state)
    filtered = filter_net(net)
    assert len(net.layer) == 2 and filtered.name == "n" and filtered.state == state
    names = [layer.name for layer in filtered.layer]
    assert names in (["a", "b"], ["b"])
    return "a" in names


def test_any_rule_suffices():
    state = caffe_pb2.NetState(phase=caffe_pb2.TRAIN)
    assert kept('include { stage: "x" } include { phase: TRAIN }', state)
    assert not kept('exclude { stage: "x" } exclude { phase: TRAIN }', state)


def test_not_both():
    with pytest.raises(NetError, match="layer 'a': Specify either include rules or exclude rules; not both"):
        kept("include { } exclude { }", caffe_pb2.NetState())
