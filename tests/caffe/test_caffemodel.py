"""Binary files: byte for byte as genuine Caffe's, of every age, and clear errors for everything else."""

from __future__ import annotations

import io
import os
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import caffe
from caffe._caffe.errors import ProtoError
from caffe._caffe.files import caffemodel
from caffe._caffe.files.proto_text import parse_text
from caffe._caffe.files.upgrade_proto import upgrade_net
from caffe._caffe.files.wire import varint
from caffe._caffe.net.filter import filter_net
from caffe._caffe.net.insert_splits import insert_splits
from caffe.proto import caffe_pb2
from tests.reference import record_files


@pytest.fixture(scope="module")
def recorded():
    return record_files.load()


def as_built(name):
    """The NetParameter that genuine Caffe saves: upgraded, filtered, split; phases and loss weights set."""
    text, phase, level, stages = record_files.NETS[name]
    param = upgrade_net(parse_text(text, caffe_pb2.NetParameter()))
    param.state.phase, param.state.level = phase, level
    param.state.stage.extend(stages)
    param = insert_splits(filter_net(param))
    built = caffe_pb2.NetParameter(name=param.name, layer=param.layer)
    for layer in built.layer:
        layer.phase = layer.phase if layer.HasField("phase") else phase
        if layer.type.endswith("Loss") and not layer.loss_weight:
            layer.loss_weight.append(1)
        if layer.type == "BatchNorm":  # its SetUp keeps the three blobs from being learned
            for spec in layer.param:
                spec.lr_mult = 0
    return built


def blobs_of(data):
    """Arrays of each layer as protobuf itself reads them."""
    return [[np.array(blob.data, np.float32).reshape(tuple(blob.shape.dim)) for blob in layer.blobs]
            for layer in caffe_pb2.NetParameter.FromString(data).layer]


def check_rewritten(name, data, tmp_path):
    data = bytes(data)
    caffemodel.write_net(tmp_path / "net.caffemodel", as_built(name), blobs_of(data))
    ours = (tmp_path / "net.caffemodel").read_bytes()
    assert str(caffe_pb2.NetParameter.FromString(ours)) == str(caffe_pb2.NetParameter.FromString(data))
    assert ours == data


@pytest.mark.parametrize("name", record_files.NETS)
def test_oracle_net_bytes_recorded(name, recorded, tmp_path):
    check_rewritten(name, recorded[name], tmp_path)


def check_reader(data, tmp_path, diffs=False):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(bytes(data))
    want = caffe_pb2.NetParameter.FromString(bytes(data))
    layers = caffemodel.read_layers(path)
    assert [(layer.name, layer.type) for layer in layers] == [(w.name, w.type) for w in want.layer]
    for layer, wanted in zip(layers, want.layer, strict=True):
        assert len(layer.blobs) == len(wanted.blobs)
        for blob, proto in zip(layer.blobs, wanted.blobs, strict=True):
            assert blob.shape == tuple(proto.shape.dim) and not blob.legacy
            assert blob.data.dtype == np.float32 and blob.array.shape == blob.shape
            np.testing.assert_array_equal(blob.data, np.array(proto.data, np.float32))
            assert (blob.diff is not None) == diffs
            if diffs:
                np.testing.assert_array_equal(blob.diff, np.array(proto.diff, np.float32))
    return layers


@pytest.mark.parametrize("name", [*record_files.NETS, "solver_sgd"])
def test_oracle_reader_recorded(name, recorded, tmp_path):
    check_reader(recorded[name], tmp_path)


def check_state(name, files, tmp_path):
    """Reading a genuine state and weights and writing them again gives the same bytes."""
    state, net = bytes(files[f"state_{name}"]), bytes(files[f"solver_{name}"])
    path = tmp_path / "x.solverstate"
    path.write_bytes(state)
    found = caffemodel.read_solver_state(path)
    assert found.iter == 2
    assert found.current_step == (1 if name == "steps" else 0)
    assert found.learned_net == {"adam": "folder/adam"}.get(name, name) + "_iter_2.caffemodel"
    assert [b.shape for b in found.history] == [(2, 3), (2,)] * (2 if name == "adam" else 1)
    assert all(np.abs(b.data).max() > 0 for b in found.history)
    caffemodel.write_solver_state(path, found.iter, found.learned_net,
                                  [b.array for b in found.history], found.current_step)
    assert path.read_bytes() == state

    layers = check_reader(net, tmp_path, diffs=name == "steps")
    param = caffe_pb2.NetParameter.FromString(net)
    diffs = [[b.diff.reshape(b.shape) for b in layer.blobs] for layer in layers] if name == "steps" else None
    caffemodel.write_net(tmp_path / "y", param, [[b.array for b in layer.blobs] for layer in layers], diffs)
    assert (tmp_path / "y").read_bytes() == net


@pytest.mark.parametrize("name", record_files.SOLVERS)
def test_oracle_solver_files_recorded(name, recorded, tmp_path):
    check_state(name, recorded, tmp_path)


def test_oracle_live(tmp_path):
    files = record_files.ask_oracle()
    for name in record_files.NETS:
        check_rewritten(name, files[name], tmp_path)
        check_reader(files[name], tmp_path)
    for name in record_files.SOLVERS:
        check_state(name, files, tmp_path)


# -- forms of old files ------------------------------------------------------------------------

def write(tmp_path, message, name="old.caffemodel"):
    (tmp_path / name).write_bytes(message.SerializeToString())
    return tmp_path / name


def legacy_blob(*dims, **values):
    return caffe_pb2.BlobProto(**dict(zip(("num", "channels", "height", "width"), dims, strict=True)), **values)


def test_v1_and_v0_files(tmp_path):
    net = caffe_pb2.NetParameter(name="old")
    net.layers.add(name="conv", type=caffe_pb2.V1LayerParameter.CONVOLUTION).blobs.append(
        legacy_blob(2, 1, 1, 3, data=range(6), diff=range(6, 12)))
    v0 = net.layers.add().layer
    v0.name, v0.type = "fc", "innerproduct"
    v0.blobs.append(legacy_blob(1, 1, 2, 2, double_data=[1, 2, 3, 1e-300]))
    conv, fc = caffemodel.read_layers(write(tmp_path, net))
    assert (conv.name, conv.type, fc.name, fc.type) == ("conv", "Convolution", "fc", "InnerProduct")
    assert conv.blobs[0].shape == (2, 1, 1, 3) and conv.blobs[0].legacy
    np.testing.assert_array_equal(conv.blobs[0].data, np.arange(6, dtype=np.float32))
    np.testing.assert_array_equal(conv.blobs[0].diff, np.arange(6, 12, dtype=np.float32))
    np.testing.assert_array_equal(fc.blobs[0].array, [[[[1, 2], [3, 1e-300]]]])


@pytest.mark.parametrize("count", [1, 5, 70_000])  # the last crosses the reader's block of 65536
def test_unpacked_numbers(tmp_path, count):
    values = np.arange(count, dtype=np.float32)
    blob = b"".join(b"\x2d" + value.tobytes() for value in values)  # each float behind tag 5
    blob += b"\x3a" + varint(len(varint(count)) + 1) + b"\x08" + varint(count)  # shape, dim unpacked
    layer = b"\x0a\x01a\x3a" + varint(len(blob)) + blob
    (tmp_path / "x").write_bytes(b"\xa2\x06" + varint(len(layer)) + layer)
    (read,) = caffemodel.read_layers(tmp_path / "x")
    assert read.blobs[0].shape == (count,)
    np.testing.assert_array_equal(read.blobs[0].data, values)


def test_numbers_in_several_pieces(tmp_path):
    pieces = b"".join(b"\x2a" + varint(4 * len(p)) + np.array(p, "<f4").tobytes() for p in ([1, 2], [3]))
    blob = b"\x2d" + struct.pack("<f", 0) + pieces + b"\x2d" + struct.pack("<f", 4) + b"\x08\x05"
    (tmp_path / "mean").write_bytes(blob + b"\x10\x01\x18\x01\x20\x01")
    mean = caffemodel.read_blob(tmp_path / "mean")
    assert mean.legacy and mean.shape == (5, 1, 1, 1)
    np.testing.assert_array_equal(mean.data, [0, 1, 2, 3, 4])


def test_fields_of_forks_do_not_matter(tmp_path):
    layer = b"\x0a\x01a" + b"\x82\x09\x03\xff\xff\xff"  # field 144 with bytes that are no CropParameter
    (tmp_path / "x").write_bytes(b"\xa2\x06" + varint(len(layer)) + layer)
    assert [(read.name, read.blobs) for read in caffemodel.read_layers(tmp_path / "x")] == [("a", [])]


def test_mean_files(tmp_path):
    mean = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    caffemodel.write_blob(tmp_path / "new", mean)
    caffemodel.write_blob(tmp_path / "old", mean, legacy=True)
    for name, shape in (("new", (3, 2, 2)), ("old", (1, 3, 2, 2))):
        read = caffemodel.read_blob(tmp_path / name)
        assert read.shape == shape and read.legacy == (name == "old")
        np.testing.assert_array_equal(read.data, mean.ravel())
        proto = caffe_pb2.BlobProto.FromString((tmp_path / name).read_bytes())
        assert proto.SerializeToString() == (tmp_path / name).read_bytes()
    with pytest.raises(ProtoError, match="5 axes"):
        caffemodel.write_blob(tmp_path / "bad", np.zeros((1, 1, 1, 1, 1)), legacy=True)


arrays = st.lists(st.integers(0, 4), max_size=5).map(
    lambda dims: np.random.default_rng(len(dims)).normal(size=dims).astype(np.float32))
layers_drawn = st.lists(st.tuples(st.text(max_size=5), st.sampled_from(["", "ReLU", "Loss"]),
                                  st.lists(st.sampled_from([0.0, 0.1, 3.0]), max_size=2),
                                  st.lists(arrays, max_size=3)), min_size=1, max_size=4)


@settings(max_examples=40, deadline=None)
@given(layers_drawn, st.booleans())
def test_round_trip(tmp_path_factory, layers, with_diffs):
    path = tmp_path_factory.mktemp("net") / "net.caffemodel"
    param, want = caffe_pb2.NetParameter(name="n"), caffe_pb2.NetParameter(name="n")
    for name, kind, weights, blobs in layers:
        for net in (param, want):
            layer = net.layer.add(name=name, type=kind, loss_weight=weights, propagate_down=[True])
            layer.pooling_param.kernel_size = 2
        for blob in blobs:
            proto = want.layer[-1].blobs.add(data=blob.ravel())
            if with_diffs:
                proto.diff.extend(-blob.ravel())
            if blob.ndim:
                proto.shape.dim.extend(blob.shape)
    data = [layer[3] for layer in layers]
    caffemodel.write_net(path, param, data, [[-b for b in d] for d in data] if with_diffs else None)
    assert path.read_bytes() == want.SerializeToString()
    for read, (name, kind, _, blobs) in zip(caffemodel.read_layers(path), layers, strict=True):
        assert (read.name, read.type) == (name, kind)
        for got, blob in zip(read.blobs, blobs, strict=True):
            assert got.shape == blob.shape
            np.testing.assert_array_equal(got.array, blob)


# -- faults ------------------------------------------------------------------------------------

def png():
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (40, 40)).save(file, "PNG")
    return file.getvalue()


WRONG = {
    "empty": b"",
    "png": png(),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "prototxt": b'name: "net"\nlayer { name: "a" type: "ReLU" }\n',
    "zip": b"PK\x03\x04" + bytes(40),
    "zeros": bytes(1000),
    "page": b"<!DOCTYPE html><html>",
    "noise": np.random.default_rng(1).bytes(5000),
}


@pytest.mark.parametrize("read", [caffemodel.read_layers, caffemodel.read_solver_state, caffemodel.read_blob])
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_files(read, kind, tmp_path):
    path = tmp_path / "some.file"
    path.write_bytes(WRONG[kind])
    with pytest.raises(ProtoError) as caught:
        read(path)
    said = str(caught.value)
    assert str(path) in said and "want a ." in said
    for word, name in {"png": "PNG", "hdf5": "HDF5", "prototxt": "prototxt", "empty": "empty"}.items():
        assert kind != word or name in said


def test_files_of_caffe_in_each_others_place(recorded, tmp_path):
    files = {"net": bytes(recorded["small_train"]), "state": bytes(recorded["state_sgd"]),
             "mean": caffe_pb2.BlobProto(num=1, channels=1, height=1, width=2, data=[1, 2]).SerializeToString(),
             "blob": caffe_pb2.BlobProto(shape={"dim": [2]}, data=[1, 2]).SerializeToString()}
    readers = {"net": caffemodel.read_layers, "state": caffemodel.read_solver_state, "mean": caffemodel.read_blob}
    for kind, data in files.items():
        (tmp_path / kind).write_bytes(data)
        for want, read in readers.items():
            if want == kind or (want, kind) == ("mean", "blob"):
                read(tmp_path / kind)
            else:
                with pytest.raises(ProtoError):
                    read(tmp_path / kind)


def test_truncated_anywhere_is_noticed(recorded, tmp_path):
    data = bytes(recorded["small_train"])
    whole = caffe_pb2.NetParameter.FromString(data)
    ends, size = set(), len(caffe_pb2.NetParameter(name=whole.name).SerializeToString())
    for layer in whole.layer:  # a cut between two layers leaves a valid file: nothing can tell
        size += len(caffe_pb2.NetParameter(layer=[layer]).SerializeToString())
        ends.add(size)
    path = tmp_path / "cut"
    for cut in [c for c in range(len(data)) if c not in ends][::7]:
        path.write_bytes(data[:cut])
        with pytest.raises(ProtoError):
            caffemodel.read_layers(path)


def test_missing_file_and_folder(tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(RuntimeError, match="Could not open file"):
            caffemodel.read_layers(path)


@pytest.mark.parametrize("blob", [
    caffe_pb2.BlobProto(shape={"dim": [3]}, data=[1, 2]),
    caffe_pb2.BlobProto(shape={"dim": [-1, 2]}, data=[1, 2]),
    caffe_pb2.BlobProto(shape={"dim": [0, 1 << 40]}),
    caffe_pb2.BlobProto(num=2, data=[1, 2]),
    caffe_pb2.BlobProto(shape={"dim": [2]}, data=[1, 2], diff=[1]),
])
def test_shapes_and_numbers_must_agree(blob, tmp_path):
    net = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="a", blobs=[blob])])
    with pytest.raises(ProtoError, match="a blob of shape"):
        caffemodel.read_layers(write(tmp_path, net))


def test_writing_is_all_or_nothing(tmp_path, monkeypatch):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(b"what was there")
    param = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="a")])

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ProtoError, match="Could not write file .*No space left"):
        caffemodel.write_net(path, param, {"a": [np.zeros(3, np.float32)]})
    assert os.listdir(tmp_path) == ["net.caffemodel"] and path.read_bytes() == b"what was there"
    with pytest.raises(ProtoError, match="Could not write file"):
        caffemodel.write_net(tmp_path / "no" / "net.caffemodel", param, {})


def test_blobs_must_fit_the_layers(tmp_path):
    param = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="a"), caffe_pb2.LayerParameter(name="a")])
    with pytest.raises(ProtoError, match="no layer 'b'"):
        caffemodel.write_net(tmp_path / "x", param, {"b": []})
    with pytest.raises(ProtoError, match="two layers have the same name"):
        caffemodel.write_net(tmp_path / "x", param, {"a": []})
    with pytest.raises(ProtoError, match="3 layers given, the net has 2"):
        caffemodel.write_net(tmp_path / "x", param, [[], [], []])
    with pytest.raises(ProtoError, match="1 blobs but 2 diffs"):
        caffemodel.write_net(tmp_path / "x", param, [[np.zeros(1)], []], [[np.zeros(1)] * 2, []])
    with pytest.raises(ProtoError, match="has a diff of shape"):
        caffemodel.write_net(tmp_path / "x", param, [[np.zeros(1)], []], [[np.zeros(2)], []])
    assert os.listdir(tmp_path) == []


def test_blobs_in_the_message_are_left_out(tmp_path):
    param = caffe_pb2.NetParameter(layer=[caffe_pb2.LayerParameter(name="a", blobs=[legacy_blob(1, 1, 1, 1)])])
    caffemodel.write_net(tmp_path / "x", param, {"a": [np.ones(1, np.float32)]})
    assert [b.shape for b in caffemodel.read_layers(tmp_path / "x")[0].blobs] == [(1,)]
    assert len(param.layer[0].blobs) == 1


# -- through the engine's own nets -------------------------------------------------------------

@pytest.mark.parametrize("name", ["rules_1", "rules_2", "rules_3", "v0", "small_train", "small_test", "splits"])
def test_oracle_net_saves_what_genuine_caffe_saved(name, recorded, tmp_path, monkeypatch):
    """Built, filled from genuine Caffe's file and saved by our Net, the file is the same."""
    text, phase, level, stages = record_files.NETS[name]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(text)
    (tmp_path / "genuine.caffemodel").write_bytes(bytes(recorded[name]))
    net = caffe.Net("net.prototxt", phase, level=level, stages=stages)
    net.copy_from("genuine.caffemodel")
    net.save("ours.caffemodel")
    assert (tmp_path / "ours.caffemodel").read_bytes() == bytes(recorded[name])
