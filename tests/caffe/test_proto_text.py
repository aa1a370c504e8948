"""Prototxt: what is read, and what every kind of bad file is answered with."""

from __future__ import annotations

import numpy as np
import pytest

from caffe._caffe.errors import ProtoError
from caffe._caffe.files.proto_text import parse_text, read_net_param_from_text, read_solver_param
from caffe.proto import caffe_pb2
from tests.reference import record_files


def read(tmp_path, data, reader=read_net_param_from_text):
    path = tmp_path / "net.prototxt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return reader(path)


def error(tmp_path, data, reader=read_net_param_from_text):
    with pytest.raises(ProtoError) as caught:
        read(tmp_path, data, reader)
    said = str(caught.value)
    assert str(tmp_path / "net.prototxt") in said and "\n" not in said
    return said


NET = 'name: "n"\nlayer {\n  name: "a"  # comment\n  type: "ReLU"\n}\n'


def test_plain_mark_and_line_ends(tmp_path):
    for data in (NET, "\ufeff" + NET, NET.replace("\n", "\r\n")):
        net = read(tmp_path, data)
        assert (net.name, net.layer[0].name, net.layer[0].type) == ("n", "a", "ReLU")


def test_comments_in_any_encoding(tmp_path):
    assert read(tmp_path, NET.encode().replace(b"comment", b"caf\xe9 \xb5")).layer[0].type == "ReLU"
    assert read(tmp_path, NET.replace('"n"', '"é"')).name == "é"
    assert "line 1: text that is not UTF-8" in error(tmp_path, NET.encode().replace(b'"n"', b'"\xe9"'))


@pytest.mark.parametrize(("text", "line", "words"), [
    ('name: "n"\nlayer {\n  nmae: "a"\n}', 3, "LayerParameter\" has no field named \"nmae\". Did you mean 'name'?"),
    ("layer {\n  convolution_param {\n    kernel_sze: 3\n  }\n}", 3, "Did you mean 'kernel_size'?"),
    ("layer { pooling_param { pool: MEAN } }", 1, "no value named MEAN. It knows: MAX, AVE, STOCHASTIC"),
    ("state { phase: Test }", 1, "Did you mean 'TEST'?"),
    ('layers {\n type: CONVOLUTON }', 2, "Did you mean 'CONVOLUTION'?"),
    ("zzz: 1", 1, 'no field named "zzz". It knows: name, input'),
    ('name: "a"\n\nname: "b"', 3, 'should not have multiple "name" fields'),
    ("input_dim: 1.5", 1, "1.5"),
    ("layer {\n  name: 3\n}", 2, "'3'"),
    ("// comment", 1, "Expected"),
    ('layer {\n  name: "a"\n', 2, "The file ends early"),
    ('layer {\n  name: "a', 2, "The file ends early"),
    ('layer {\n  name: "a"\n  type', 3, "The file ends early"),
    ('layer { name: "a" } }', 1, "Expected"),
])
def test_errors_name_file_line_and_field(tmp_path, text, line, words):
    said = error(tmp_path, text)
    assert f"net.prototxt, line {line}: " in said and words in said


def test_a_closed_file_is_not_called_cut_off(tmp_path):
    assert "ends early" not in error(tmp_path, 'layer { name: "a" } }')


def test_required_fields(tmp_path):
    said = error(tmp_path, "layer { clip_param { min: 1 } }")
    assert "missing required fields: layer[0].clip_param.max" in said


@pytest.mark.parametrize(("data", "words"), [
    (b"", "the file is empty"), (b" \n\n", "the file is empty"),
    (b"\x89PNG\r\n\x1a\n" + bytes(30), "a PNG image"), (b"\x89HDF\r\n\x1a\n\x00", "an HDF5 file"),
    (bytes(record_files.load()["small_train"]), "a binary file"),
    (np.random.default_rng(0).bytes(500), "a binary file"),
    (b"<!DOCTYPE html>", "a web page"),
])
def test_other_files(tmp_path, data, words):
    for reader in (read_net_param_from_text, read_solver_param):
        assert words in error(tmp_path, data, reader)


def test_missing_file(tmp_path):
    for path in (tmp_path / "none.prototxt", tmp_path):
        with pytest.raises(RuntimeError, match="^Could not open file .*"):
            read_net_param_from_text(path)


def test_every_cut_of_a_net_is_read_or_refused(tmp_path):
    for cut in range(len(NET)):
        try:
            parse_text(NET[:cut], caffe_pb2.NetParameter())
        except ProtoError:
            pass


def test_solver(tmp_path):
    solver = read(tmp_path, 'net: "n"\nbase_lr: 1e-10\nsolver_type: NESTEROV', read_solver_param)
    assert solver.type == "Nesterov" and not solver.HasField("solver_type")
    assert solver.snapshot_prefix == str(tmp_path / "net")
    assert "Did you mean 'base_lr'?" in error(tmp_path, "bas_lr: 1", read_solver_param)
    assert "cannot be both specified" in error(tmp_path, 'type: "SGD" solver_type: ADAM', read_solver_param)
