"""The schema equals genuine Caffe's, and its classes behave as generated code does."""

from __future__ import annotations

import copy
import hashlib
import os
import pickle
import subprocess
import sys

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, text_format

from caffe._caffe.files.proto_pool import build_file
from caffe._caffe.files.schema import SCHEMA
from caffe.proto import caffe_pb2
from tests.bvlc import run_bvlc

# What the oracle, a build with a few layers of its own, has beside Caffe's schema, and Caffe's that it lacks.
ORACLE_ONLY = ("CtcLoss", "ContinuationIndicator", "Permute", "LabelsequenceAccuracy", "Reverse")
ORACLE_LACKS = ("ClipParameter",)
RECORDED = "61f38e3bc4557588"  # sha256 of lines(genuine descriptor), first 16 digits


def lines(file):
    """One line per enum value and field that a stock build of Caffe and the oracle share."""
    odd = tuple(f"{name}Parameter" for name in ORACLE_ONLY) + ORACLE_LACKS
    found = [f"{e.name} {v.name}={v.number}" for e in file.enum_type for v in e.value]
    for message in file.message_type:
        if message.name in odd:
            continue
        for enum in message.enum_type:
            found += [f"{message.name}.{enum.name} {v.name}={v.number}" for v in enum.value
                      if v.name not in ("CTC_LOSS", "REVERSE") or message.name != "V1LayerParameter"]
        for field in message.field:
            if field.type_name.endswith(odd) or (message.name, field.name) == ("V0LayerParameter", "axis"):
                continue
            default = field.default_value
            if field.type == field.TYPE_FLOAT and default:
                default = f"{float(default):.6g}"  # the C back end prints more digits of the same number
            found.append(f"{message.name} {field.number} {field.label} {field.type} {field.type_name} "
                         f"{field.name} {field.options.packed} {field.HasField('default_value')} {default}")
    return sorted(found)


def ours():
    file = descriptor_pb2.FileDescriptorProto()
    caffe_pb2.DESCRIPTOR.CopyToProto(file)
    return file


def test_schema_is_caffes_recorded():
    digest = hashlib.sha256("\n".join(lines(ours())).encode()).hexdigest()
    assert digest[:16] == RECORDED


def test_oracle_schema_live():
    out = run_bvlc("""
        from caffe.proto import caffe_pb2
        from google.protobuf import descriptor_pb2
        file = descriptor_pb2.FileDescriptorProto()
        caffe_pb2.DESCRIPTOR.CopyToProto(file)
        out["bytes"] = np.frombuffer(file.SerializeToString(), np.uint8)
    """)
    theirs = descriptor_pb2.FileDescriptorProto.FromString(bytes(out["bytes"]))
    assert lines(ours()) == lines(theirs)


def test_size_of_the_schema():
    file = ours()
    assert len(file.message_type) == 63
    assert [enum.name for enum in file.enum_type] == ["Phase"]
    assert sum(len(message.enum_type) for message in file.message_type) == 25
    assert sum(len(message.field) for message in file.message_type) == 423
    clip = caffe_pb2.ClipParameter.DESCRIPTOR
    assert [(f.name, f.number) for f in clip.fields] == [("min", 1), ("max", 2)]
    assert caffe_pb2.ClipParameter().FindInitializationErrors() == ["min", "max"]


def test_names_of_generated_code():
    assert caffe_pb2._LAYERPARAMETER is caffe_pb2.LayerParameter.DESCRIPTOR
    assert caffe_pb2._LAYERPARAMETER.fields_by_name["convolution_param"].number == 106
    assert caffe_pb2._FILLERPARAMETER_VARIANCENORM.values_by_name["AVERAGE"].number == 2
    assert caffe_pb2._PHASE is caffe_pb2.Phase.DESCRIPTOR and not hasattr(caffe_pb2, "_NOPARAMETER")
    assert (caffe_pb2.TRAIN, caffe_pb2.TEST) == (0, 1)
    assert caffe_pb2.Phase.Name(1) == "TEST" and caffe_pb2.Phase.Value("TRAIN") == 0
    assert caffe_pb2.Phase.DESCRIPTOR.full_name == "caffe.Phase"
    assert caffe_pb2.PoolingParameter.MAX == 0 and caffe_pb2.PoolingParameter.PoolMethod.Value("AVE") == 1
    assert caffe_pb2.PoolingParameter.PoolMethod.DESCRIPTOR.values_by_number[2].name == "STOCHASTIC"
    assert caffe_pb2.V1LayerParameter.CONVOLUTION == 4 and caffe_pb2.LayerParameter.NAME_FIELD_NUMBER == 1
    assert caffe_pb2.V1LayerParameter.__name__ == "V1LayerParameter"
    assert caffe_pb2.V1LayerParameter.DESCRIPTOR.full_name == "caffe.V1LayerParameter"
    layer = caffe_pb2.LayerParameter()
    assert type(layer.pooling_param) is caffe_pb2.PoolingParameter
    assert layer.pooling_param.stride == 1 and not layer.HasField("pooling_param")
    namespace = {}
    exec("from caffe.proto.caffe_pb2 import *", namespace)
    assert namespace["NetParameter"] is caffe_pb2.NetParameter and namespace["TEST"] == 1
    with pytest.raises(AttributeError, match="no message or enum value 'Nothing'"):
        _ = caffe_pb2.Nothing


def test_messages_do_what_scripts_expect():
    net = caffe_pb2.NetParameter()
    text_format.Merge('name: "n" layer { name: "a" param { lr_mult: 1 } param { decay_mult: 1e-10 } }', net)
    other = caffe_pb2.NetParameter()
    other.CopyFrom(net)
    other.MergeFrom(net)
    assert [layer.name for layer in other.layer] == ["a", "a"]
    assert copy.deepcopy(net) == net and pickle.loads(pickle.dumps(net)) == net
    assert caffe_pb2.NetParameter.FromString(net.SerializeToString()) == net
    assert net != other


SHOW = """
from caffe.proto import caffe_pb2
net = caffe_pb2.NetParameter(name="a: 1.0")
layer = net.layer.add(loss_weight=[1, 0.1, 1e-10, 16777216, 1e20, 123456790, float("inf"), -2.5])
layer.param.add(lr_mult=1)
layer.blobs.add(double_data=[0.1, 1, 1 / 3], num=10)
print(net, end="")
"""
SHOWN = """name: "a: 1.0"
layer {
  loss_weight: 1
  loss_weight: 0.1
  loss_weight: 1e-10
  loss_weight: 16777216
  loss_weight: 1e+20
  loss_weight: 123456792
  loss_weight: inf
  loss_weight: -2.5
  param {
    lr_mult: 1
  }
  blobs {
    num: 10
    double_data: 0.1
    double_data: 1
    double_data: 0.33333333333333331
  }
}
"""


@pytest.mark.parametrize("backend", ["upb", "python"])
def test_text_is_the_same_on_both_back_ends(backend):
    env = os.environ | {"PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": backend}
    done = subprocess.run([sys.executable, "-c", SHOW], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == SHOWN


def test_pool_is_private():
    """Another package may register another caffe.proto in the default pool, before or after."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe")
    file.message_type.add(name="NetParameter")
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    assert "layer" in caffe_pb2.NetParameter.DESCRIPTOR.fields_by_name


def test_fields_of_forks_get_private_numbers():
    added = ("message PoolingParameter\n  10001 float fork=0.5; 10002 NewParameter other\n"
             "message NewParameter\n  1 int32 a")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(build_file(SCHEMA, added).SerializeToString())
    fields = pool.FindMessageTypeByName("caffe.PoolingParameter").fields_by_name
    assert fields["fork"].number == 10001 and fields["fork"].default_value == 0.5
    assert fields["other"].message_type.name == "NewParameter" and "kernel_size" in fields
    with pytest.raises(AssertionError, match="PoolingParameter"):
        build_file(SCHEMA, "message PoolingParameter\n  77 float fork")
