"""The oldest FCN nets: Crop without offset is warned of, and given its offset; a loss of nan names its layer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format

import caffe
from caffe._caffe.errors import SolverError
from caffe._caffe.files.upgrade_proto import upgrade_net
from caffe._caffe.net.fix_crop import fix_crop
from caffe.proto import caffe_pb2
from caffe.tools import upgrade

ROOT = Path(__file__).resolve().parents[2]
NETS = sorted((ROOT / "models").glob("voc-fcn*/deploy.prototxt"))


def net_param(text):
    return upgrade_net(text_format.Parse(text, caffe_pb2.NetParameter()), "text")


def without_offsets(path):
    text, count = re.subn(r"\n\s+offset: \d+", "", path.read_text())
    assert count
    return text


@pytest.mark.parametrize("path", [p for p in NETS if "offset" in p.read_text()], ids=lambda path: path.parent.name)
def test_offsets_of_the_released_nets_come_back(path):
    want = {layer.name: list(layer.crop_param.offset)[0] for layer in net_param(path.read_text()).layer
            if layer.type == "Crop"}
    param = net_param(without_offsets(path))
    lacking = [layer.name for layer in param.layer if layer.type == "Crop"]
    fixed = fix_crop(param)
    assert list(fixed) == lacking
    for name, offset in fixed.items():
        assert offset == want[name]


def tiny(crop):
    return f"""input: "data" input_shape {{ dim: 1 dim: 1 dim: 8 dim: 8 }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{
  num_output: 1 kernel_size: 2 stride: 2 pad: 4 }} }}
layer {{ name: "up" type: "Deconvolution" bottom: "conv" top: "up" convolution_param {{
  num_output: 1 kernel_size: 2 stride: 2 bias_term: false }} }}
layer {{ name: "score" type: "Crop" bottom: "up" bottom: "data" top: "score" {crop} }}"""


def test_the_command_writes_offsets_and_loading_warns_without(tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("GLOG_minloglevel", "1")
    old, new = str(tmp_path / "old.prototxt"), str(tmp_path / "new.prototxt")
    Path(old).write_text(tiny(""))
    caffe.Net(old, caffe.TEST)
    assert "layer 'score' (Crop) has no offset, so 0 is used; its bottoms lie 4 apart" in capfd.readouterr().err
    assert upgrade.net_text(["--fix-crop", old, new]) == 0
    assert list(net_param(Path(new).read_text()).layer[-1].crop_param.offset) == [4]
    caffe.Net(new, caffe.TEST)
    assert "no offset" not in capfd.readouterr().err
    assert upgrade.net_text([old, new]) == 0
    assert not net_param(Path(new).read_text()).layer[-1].crop_param.offset


def test_what_cannot_be_told_is_named_and_nothing_changed():
    param = net_param(tiny(""))
    param.layer[1].convolution_param.stride[:] = [3]
    before = param.SerializeToString()
    with pytest.raises(caffe.ProtoError, match="layer 'score' .Crop.: its offset cannot be derived .*scale mismatch"):
        fix_crop(param)
    assert param.SerializeToString() == before


def test_a_net_of_many_branches_has_its_map():
    n = caffe.NetSpec()
    n.data = caffe.layers.Input()
    top = n.data
    for _ in range(60):
        top = caffe.layers.Eltwise(caffe.layers.ReLU(top), top)
    conv = caffe.layers.Convolution(top, kernel_size=3, pad=1)
    assert caffe.coord_map.coord_map_from_to(conv, n.data)[1:] == (1, 0)


NAN_NET = """layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 }
  data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "log" type: "Log" bottom: "ip" top: "log" }
layer { name: "loss" type: "EuclideanLoss" bottom: "log" bottom: "ip" top: "loss" }"""


@pytest.fixture
def nan_solver(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(NAN_NET)
    Path("solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 9')
    return caffe.SGDSolver("solver.prototxt")


def test_a_loss_that_is_not_finite_names_the_first_layer_once(nan_solver, recwarn):
    with pytest.warns(RuntimeWarning, match=r"iteration 0: the loss is inf; layer 'log' \(Log\) is the first that made "
                                            r"nan or inf, in its top 'log'.*CAFFE_STOP_ON_NAN=1 stops") as said:
        nan_solver.step(3)
    assert len(said) == 1
    assert said[0].filename == __file__


def test_the_switch_stops_before_the_weights_change(nan_solver, monkeypatch):
    monkeypatch.setenv("CAFFE_STOP_ON_NAN", "1")
    nan_solver.net.params["ip"][1].data[1] = np.nan
    with pytest.raises(SolverError, match=r"parameter 1 of layer 'ip' \(InnerProduct\) is the first that holds nan"):
        nan_solver.step(3)
    assert nan_solver.iter == 0
    assert (nan_solver.net.params["ip"][0].data == 0).all()
