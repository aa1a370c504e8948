"""Nets written as Python: the same messages as genuine Caffe's net_spec, and errors that help."""

from __future__ import annotations

import numpy as np
import pytest
from bvlc import run_bvlc
from google.protobuf import text_format

import caffe
from caffe import layers as L
from caffe import params as P
from caffe.net_spec import Function, assign_proto, param_name_dict
from caffe.proto import caffe_pb2

# Functions that give a NetParameter, read by both Caffes.
NETS = '''
def lenet():
    n = caffe.NetSpec()
    n.data, n.label = L.DummyData(shape=[dict(dim=[2, 1, 28, 28]), dict(dim=[2, 1, 1, 1])], ntop=2,
                                  transform_param=dict(scale=1. / 255))
    n.conv1 = L.Convolution(n.data, kernel_size=5, num_output=20, weight_filler=dict(type="xavier"))
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool1, num_output=500, param=[dict(lr_mult=1), dict(lr_mult=2)])
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n.ip2 = L.InnerProduct(n.relu1, num_output=10)
    n.loss = L.SoftmaxWithLoss(n.ip2, n.label, loss_weight=2)
    return n.to_proto()

def made_up_names():
    data, label = L.Data(ntop=2, batch_size=1, source="x")
    conv = L.Convolution(data, kernel_size=[3, 5], num_output=2)
    return caffe.to_proto(L.EuclideanLoss(conv, L.Convolution(conv, kernel_size=1, num_output=2)),
                          conv, L.ReLU(label))

def one_top():
    return L.ReLU(L.Input(input_param=dict(shape=[dict(dim=[1, 2]), dict(dim=[3])]), ntop=2)[1]).to_proto()

def silence():
    n = caffe.NetSpec()
    n.data = L.DummyData(shape=dict(dim=[1, 2]))
    n.quiet = L.Silence(n.data, ntop=0)
    return n.to_proto()

def named_and_phased():
    n = caffe.NetSpec()
    n["a/b"] = L.Input(name="input", include=dict(phase=caffe.TEST), input_param=dict(shape=dict(dim=[1])))
    n.c = L.Python(n["a/b"], module="m", layer="l", param_str="{}", loss_weight=[1])
    n.d = L.Power(n["c"], power=2)
    return n.to_proto()

def unnamed_in_between():
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 4, 4]))
    n.sum = L.Eltwise(L.ReLU(n.data), L.ReLU(L.Convolution(n.data, num_output=1, kernel_size=1)),
                      operation=P.Eltwise.SUM, coeff=[1, -1])
    return n.to_proto()

def named_late():
    n = caffe.NetSpec()
    data = L.Input(shape=dict(dim=[1, 1, 4, 4]))
    n.top = L.ReLU(data)
    n.data = data
    n.same = L.Concat(*[n.data] * 3, concat_param=dict(axis=-1))
    return n.to_proto()

ALL = [lenet, made_up_names, one_top, silence, named_and_phased, unnamed_in_between, named_late]
'''
SPACE = {"caffe": caffe, "L": L, "P": P}
exec(NETS, SPACE)  # the same text that genuine Caffe runs


def test_oracle_messages_are_equal():
    theirs = run_bvlc("from caffe import layers as L, params as P\n" + NETS + """
for net in ALL:
    out[net.__name__] = np.frombuffer(net().SerializeToString(), np.uint8)
""")
    assert set(theirs) == {net.__name__ for net in SPACE["ALL"]}
    for net in SPACE["ALL"]:
        assert net().SerializeToString() == theirs[net.__name__].tobytes(), net.__name__


def test_oracle_stems_of_parameter_fields():
    theirs = run_bvlc("""
        from caffe.net_spec import param_name_dict
        out["names"] = np.array(sorted(param_name_dict().items()))
        """)["names"].tolist()
    added = {"CtcLoss", "ContinuationIndicator", "Permute", "LabelsequenceAccuracy", "Reverse"}
    for kind, stem in theirs:
        assert kind in added or param_name_dict()[kind] == stem


@pytest.mark.parametrize("net", SPACE["ALL"])
def test_text_is_a_prototxt(net):
    message = net()
    assert text_format.Parse(str(message), caffe_pb2.NetParameter()) == message


def test_names_and_order_are_literal():
    net = SPACE["unnamed_in_between"]()
    assert [(layer.name, list(layer.bottom), list(layer.top)) for layer in net.layer] == [
        ("data", [], ["data"]), ("ReLU1", ["data"], ["ReLU1"]), ("Convolution1", ["data"], ["Convolution1"]),
        ("ReLU2", ["Convolution1"], ["ReLU2"]), ("sum", ["ReLU1", "ReLU2"], ["sum"])]


def test_in_place_layer_keeps_its_blob():
    net = SPACE["lenet"]()
    relu, ip2 = net.layer[4], net.layer[5]
    assert (relu.name, list(relu.top), list(ip2.bottom)) == ("relu1", ["ip1"], ["ip1"])


def test_a_thousand_layers_do_not_exhaust_the_stack():
    top = L.Input(shape=dict(dim=[1]))
    for _ in range(3000):
        top = L.Power(top)
    assert len(top.to_proto().layer) == 3001


@pytest.mark.parametrize("bottom", ["data", None, 3, Function("ReLU", (), {})])
def test_bottom_that_is_no_top(bottom):
    with pytest.raises(TypeError, match=r"^Silence input 0 is not a Top \(type is <class '"):
        L.Silence(bottom)


def test_unknown_setting_names_layer_and_field():
    with pytest.raises(AttributeError, match=r"'Convolution1' \(Convolution\): no field 'kernal_size' in "
                                             r"convolution_param or LayerParameter"):
        L.Convolution(L.Input(), kernal_size=3).to_proto()


def test_unknown_enum_value_and_name():
    with pytest.raises(AttributeError):
        _ = P.Pooling.MEDIAN
    with pytest.raises(AttributeError):
        _ = P.Nothing.AT_ALL
    with pytest.raises(KeyError, match="conv9"):
        _ = caffe.NetSpec().conv9


def test_numpy_numbers_and_empty_messages():
    layer = L.Convolution(L.Input(), kernel_size=np.int64(3), pad=(1, 2), num_output=np.int32(4),
                          weight_filler={}).to_proto().layer[1].convolution_param
    assert (list(layer.kernel_size), list(layer.pad), layer.num_output) == ([3], [1, 2], 4)
    assert layer.HasField("weight_filler")


def test_assign_proto_goes_deep():
    solver = caffe_pb2.SolverParameter()
    assign_proto(solver, "net_param", dict(layer=[dict(name="a", bottom="x"), dict(name="b")]))
    assign_proto(solver, "test_iter", 5)
    assert [layer.name for layer in solver.net_param.layer] == ["a", "b"] and list(solver.test_iter) == [5]
    assert list(solver.net_param.layer[0].bottom) == ["x"]


def test_tops_can_be_looked_at_and_taken_away():
    n = caffe.NetSpec()
    n.a = caffe.layers.DummyData(shape=dict(dim=[2]))
    n.b = caffe.layers.ReLU(n.a)
    assert list(n.tops) == ["a", "b"] and n.tops["b"] is n.b
    del n.tops["b"]
    assert [layer.name for layer in n.to_proto().layer] == ["a"]
