"""Convolutions as one product, and written where they are wanted: the numbers of the usual kernel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common
from caffe._caffe.kernels import bf16, in_place, matmul, onednn, strips, torch_kernel
from caffe._caffe.kernels.convolution import Convolution
from caffe._caffe.kernels.in_place import InPlace
from caffe._caffe.kernels.matmul import Matmul
from caffe._caffe.kernels.strips import Strips

has_kernel = pytest.mark.skipif(not in_place.HAS_KERNEL, reason="this torch has no kernel that writes into a tensor")
LAST = torch.channels_last
THREE = Convolution([3, 3], [1, 1], [1, 1], [1, 1])
STRIDED = Convolution([1, 1], [1, 1], [0, 0], [2, 3])
CONVOLUTIONS = [Convolution([3, 2], [1, 1], [0, 0], [1, 1]), Convolution([2, 3], [2, 1], [1, 2], [2, 1]),
           Convolution([1, 1], [1, 1], [0, 0], [1, 1]), Convolution([1, 1], [1, 1], [1, 0], [2, 2]), STRIDED]


def tensors(conv: Convolution, n: int, layout, seed: int = 0):
    """Return x, weight, bias, dy and, by autograd, y, dx, dw."""
    torch.manual_seed(seed)
    x = torch.randn(n, 5, 6, 7, requires_grad=True)
    weight, bias = torch.randn(40 * n, 5, *conv.kernel, requires_grad=True), torch.randn(40 * n)
    y = torch.nn.functional.conv2d(x, weight, bias, conv.stride, conv.pad, conv.dilation)
    dy = torch.randn_like(y)
    dx, dw = torch.autograd.grad(y, (x, weight), dy)
    given = [t.detach().contiguous(memory_format=layout) for t in (x, dy, y, dx)]
    return *given, weight.detach(), bias, dw


def close(got, want):
    np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("conv", CONVOLUTIONS, ids=str)
@pytest.mark.parametrize(("n", "layout"), [(1, LAST), (3, LAST), (1, torch.contiguous_format)])
def test_a_product_gives_the_convolution_and_adds_the_weights_gradient(conv, n, layout, monkeypatch):
    x, dy, y, dx, weight, bias, dw = tensors(conv, n, layout)
    assert Matmul().serves("add_weight_gradient", conv, weight, x, y)
    many = y.numel() // y.shape[1] > matmul.FEW
    assert Matmul().serves("convolve", conv, weight, x, y) == (conv.is_pixel or not many), "torch orders a small weight"
    monkeypatch.setattr(matmul, "LARGE", weight.numel())
    assert Matmul().serves("convolve", conv, weight, x, y)
    out, back, gradient = torch.full_like(y, 9), torch.full_like(dx, 9), torch.ones_like(weight)
    Matmul().convolve(conv, x, weight, bias, out)
    Matmul().data_gradient(conv, dy, weight, back)
    Matmul().add_weight_gradient(conv, dy, x, gradient)
    close(out, y)
    close(back, dx)
    close(gradient, dw + 1)
    Matmul().convolve(conv, x, weight, None, out)
    close(out, y - bias.view(-1, 1, 1))


def test_products_are_left_alone_where_they_cannot_be_viewed_or_do_not_pay():
    conv = CONVOLUTIONS[0]
    x, _, y, _, weight, _, _ = tensors(conv, 2, torch.contiguous_format)
    assert not Matmul().serves("add_weight_gradient", conv, weight, x, y), "two items in Caffe's order are not a matrix"
    x, _, y, _, weight, _, _ = tensors(conv, 1, LAST)
    few = y[:, :4].contiguous(memory_format=LAST)
    assert not Matmul().serves("add_weight_gradient", conv, weight[:4], x, few), "windows outweigh it"
    x, _, y, _, weight, _, _ = tensors(CONVOLUTIONS[2], 1, LAST)
    assert not Matmul().serves("convolve", CONVOLUTIONS[2]._replace(group=5), weight, x, y)


@has_kernel
@pytest.mark.parametrize("conv", [CONVOLUTIONS[0], CONVOLUTIONS[1], THREE._replace(group=4)], ids=str)
def test_written_is_bitwise_the_usual_kernel(conv, monkeypatch):
    monkeypatch.setattr(in_place, "LARGE", 1)
    torch.manual_seed(1)
    x, weight, bias = torch.randn(2, 16, 20, 24), torch.randn(32, 16 // conv.group, *conv.kernel), torch.randn(32)
    y = torch.convolution(x.contiguous(memory_format=LAST), weight, bias, conv.stride, conv.pad, conv.dilation,
                          False, [0, 0], conv.group)
    out = torch.full_like(y, float("nan"), memory_format=LAST)
    assert InPlace().serves("convolve", conv, weight, x, out)
    assert not InPlace().serves("convolve", conv, weight, x, out.contiguous())
    InPlace().convolve(conv, x, weight, bias, out)
    assert torch.equal(out, y)


@has_kernel
@pytest.mark.parametrize("conv", [THREE, Convolution([3, 2], [2, 1], [4, 0], [1, 1])], ids=str)
def test_written_data_gradient(conv, monkeypatch):
    monkeypatch.setattr(in_place, "LARGE", 1)
    torch.manual_seed(2)
    x, weight = torch.randn(2, 6, 9, 8, requires_grad=True), torch.randn(10, 6, *conv.kernel)
    y = torch.nn.functional.conv2d(x, weight, None, 1, conv.pad, conv.dilation)
    dy = torch.randn_like(y)
    want = torch.autograd.grad(y, x, dy)[0]
    out = torch.full_like(want, float("nan")).contiguous(memory_format=LAST)
    assert InPlace().serves("data_gradient", conv, weight, out, dy)
    InPlace().data_gradient(conv, dy, weight, out)
    close(out, want)


@has_kernel
@pytest.mark.parametrize("change", [{"stride": [2, 1]}, {"pad": [100, 100]}, {"group": 2}], ids=str)
def test_other_data_gradients_are_not_written(change, monkeypatch):
    monkeypatch.setattr(in_place, "LARGE", 1)
    out, weight = torch.zeros(1, 4, 8, 8).contiguous(memory_format=LAST), torch.zeros(4, 4, 3, 3)
    assert InPlace().serves("data_gradient", THREE, weight, out, out)
    assert not InPlace().serves("data_gradient", THREE._replace(**change), weight, out, out)


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 16 dim: 9 dim: 11 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2"
  convolution_param { num_output: 64 kernel_size: 5 weight_filler { type: "msra" } } }
layer { name: "c3" type: "Convolution" bottom: "c2" top: "c3"
  convolution_param { num_output: 8 kernel_size: 1 weight_filler { type: "msra" } } }
"""


@has_kernel
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_net_gives_the_same_whichever_way_it_convolves(precision, monkeypatch, tmp_path):
    if precision == "bf16" and not common.has_bf16():
        pytest.skip("this CPU has no bf16")
    (tmp_path / "net.prototxt").write_text("force_backward: true\n" + NET)
    monkeypatch.setattr(common._state, "precision", precision)
    found, ran = [], []
    for way in (Matmul, InPlace):
        convolve = way.convolve
        monkeypatch.setattr(way, "convolve", lambda *a, call=convolve, name=way.__name__: (ran.append(name), call(*a)))
    for ways in (True, False):
        monkeypatch.setattr(in_place, "LARGE", 1 if ways else 1 << 60)
        with monkeypatch.context() as patch:
            if not ways:
                patch.setattr(Matmul, "serves", lambda *_: False)
            found.append(run(tmp_path / "net.prototxt"))
        assert bool(ran) == ways
        ran.clear()
    bound = 1e-5 if precision == "fp32" else 2e-2
    for one, other in zip(*found, strict=True):
        assert np.abs(one - other).max() <= bound * np.abs(other).max()


def run(path) -> list[np.ndarray]:
    """Return scores, the gradient of the data and of all parameters."""
    caffe.set_random_seed(4)
    net = caffe.Net(str(path), caffe.TRAIN)
    net.blobs["data"].data[...] = np.random.default_rng(5).normal(size=net.blobs["data"].shape)
    net.forward()
    net.blobs["c3"].diff[...] = np.random.default_rng(6).normal(size=net.blobs["c3"].shape)
    net.backward()
    blobs = [blob.diff for blobs in net.params.values() for blob in blobs]
    return [np.copy(a) for a in (net.blobs["c3"].data, *blobs, net.blobs["data"].diff)]


def test_the_weight_gradient_of_products_in_bf16(monkeypatch):
    monkeypatch.setattr(matmul, "PART", 16)
    conv = CONVOLUTIONS[0]
    x, dy, _, _, weight, _, dw = tensors(conv, 1, LAST)
    gradient = torch.ones_like(weight)
    Matmul().add_weight_gradient(conv, dy.bfloat16(), x.bfloat16(), gradient)
    assert float((gradient - 1 - dw).abs().max() / dw.abs().max()) < 1e-2


@pytest.mark.parametrize("copied", [0, 1 << 22])
@pytest.mark.parametrize("shape", [(1, 3, 4, 5), (2, 3, 9, 7), (1, 3, 1, 1)], ids=str)
@pytest.mark.parametrize("options", ["pad: 20", "pad_h: 9 pad_w: 1", "pad: 9 dilation: 2", "pad: 9 stride: 2",
                                     "pad_h: 7 pad_w: 8 stride_h: 1 stride_w: 3"])
def test_the_weight_gradient_under_a_wide_pad(options, shape, copied, monkeypatch, tmp_path):
    monkeypatch.setattr(torch_kernel, "COPIED", copied)
    dims = " ".join(f"dim: {n}" for n in shape)
    (tmp_path / "net.prototxt").write_text(f"""force_backward: true
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {dims} }} }} }}
        layer {{ name: "y" type: "Convolution" bottom: "x" top: "y"
          convolution_param {{ num_output: 4 kernel_h: 3 kernel_w: 2 {options} }} }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    rng = np.random.default_rng(7)
    x = net.blobs["x"].data[...] = rng.normal(size=shape).astype("f")
    net.forward()
    dy = net.blobs["y"].diff[...] = rng.normal(size=net.blobs["y"].shape).astype("f")
    net.backward()
    layer = net.layers[1]
    weight = torch.zeros(4, 3, 3, 2, requires_grad=True)
    y = torch.nn.functional.conv2d(torch.tensor(x), weight, None, layer.stride, layer.pad, layer.dilation)
    close(torch.tensor(net.params["y"][0].diff), torch.autograd.grad(y, weight, torch.tensor(dy))[0])
    close(torch.tensor(net.params["y"][1].diff), torch.tensor(dy).sum((0, 2, 3)))
    seen, left = torch_kernel.where_x_is_seen(layer._slides, torch.tensor(dy))
    for axis in (0, 1):
        reach = layer.dilation[axis] * (layer.kernel[axis] - 1)
        cut = layer.stride[axis] == 1 and layer.pad[axis] > reach and (axis == 0 or copied)
        assert left.pad[axis] == (reach if cut else layer.pad[axis])
        assert seen.shape[2 + axis] == (shape[2 + axis] + reach if cut else dy.shape[2 + axis])


def convolution(folder, shape: str, options: str) -> caffe.Net:
    """Return a net of one convolution, with a bottom and a top's gradient of random values."""
    (folder / "net.prototxt").write_text(f"""force_backward: true
        layer {{ name: "x" type: "Input" top: "x" input_param {{ shape {{ {shape} }} }} }}
        layer {{ name: "y" type: "Convolution" bottom: "x" top: "y" convolution_param {{ {options} }} }}""")
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TRAIN)
    rng = np.random.default_rng(8)
    net.blobs["x"].data[...] = rng.normal(size=net.blobs["x"].shape)
    net.forward()
    net.blobs["y"].diff[...] = rng.normal(size=net.blobs["y"].shape)
    return net


def test_d40_what_sees_only_padding_does_not_reach_the_weight(tmp_path):
    net = convolution(tmp_path, "dim: 1 dim: 2 dim: 3 dim: 3", "num_output: 2 kernel_size: 3 pad: 9")
    net.blobs["y"].diff[0, 0, 0, 0] = np.nan
    net.backward()
    assert np.isfinite(net.params["y"][0].diff).all() and np.isnan(net.params["y"][1].diff[0])


@pytest.mark.skipif(not common.has_bf16(), reason="this CPU has no bf16")
@pytest.mark.parametrize(("shape", "options"), [
    ("dim: 1 dim: 24 dim: 48 dim: 48", "num_output: 64 kernel_size: 3 pad: 2 dilation: 2"),
    ("dim: 1 dim: 21 dim: 40 dim: 40", "num_output: 21 kernel_size: 3 pad: 4 dilation: 4"),
    ("dim: 2 dim: 4 dim: 2 dim: 1", "num_output: 5 kernel_h: 1 kernel_w: 3 pad_h: 0 pad_w: 2 stride_h: 1 stride_w: 3"),
    ("dim: 1 dim: 16 dim: 9 dim: 3", "num_output: 64 kernel_h: 4 kernel_w: 3 pad: 2 stride_h: 1 stride_w: 4")])
def test_where_the_kernel_in_bf16_errs_the_weight_gradient_is_float32(shape, options, monkeypatch, tmp_path):
    found = []
    for precision in ("fp32", "bf16"):
        monkeypatch.setattr(common._state, "precision", precision)
        net = convolution(tmp_path, shape, options)
        net.backward()
        x, slides = net.blobs["x"].read_data(), net.layers[1]._slides
        assert onednn.bf16_kernel_errs("add_weight_gradient", slides, x, net.layers[1].num_output)
        found.append(net.params["y"][0].diff.copy())
    assert np.array_equal(*found)


@pytest.mark.skipif(not common.has_bf16(), reason="this CPU has no bf16")
@pytest.mark.parametrize(("outputs", "is_float32"), [(6, True), (3, False)])
def test_where_the_kernel_in_bf16_errs_the_convolution_is_float32(outputs, is_float32, monkeypatch, tmp_path):
    options = f"""num_output: {outputs} group: 3 kernel_size: 3 kernel_size: 2 stride: 1 stride: 3 pad: 3 pad: 1
        dilation: 2 dilation: 1 weight_filler {{ type: "msra" }}"""
    found = []
    for precision in ("fp32", "bf16"):
        monkeypatch.setattr(common._state, "precision", precision)
        caffe.set_random_seed(1)
        found.append(convolution(tmp_path, "dim: 1 dim: 3 dim: 14 dim: 2", options).blobs["y"].data.copy())
    assert np.array_equal(*found) == is_float32
    assert np.abs(found[0] - found[1]).max() <= 2e-2 * np.abs(found[0]).max()


@pytest.mark.skipif(not common.has_bf16(), reason="this CPU has no bf16")
@pytest.mark.parametrize(("precision", "strip_by_strip"), [("fp32", 0), ("bf16", 1)])
def test_a_layer_sums_its_weight_gradient_in_strips(precision, strip_by_strip, monkeypatch, tmp_path):
    monkeypatch.setattr(strips, "LARGE", 1)
    monkeypatch.setattr(Matmul, "serves", lambda *_: False)
    monkeypatch.setattr(common._state, "precision", precision)
    ran, add = [], Strips.add_weight_gradient
    monkeypatch.setattr(Strips, "add_weight_gradient", lambda *args: (ran.append(1), add(*args)))
    net = caffe.Net(str(chain(tmp_path)), caffe.TRAIN)
    net.forward()
    net.backward()
    assert len(ran) == strip_by_strip


def chain(folder):
    """Write a net of two convolutions, whose blob between them stands with channels last."""
    path = folder / "net.prototxt"
    path.write_text("force_backward: true\n" + NET)
    return path


@pytest.mark.parametrize("conv", [THREE, Convolution([3, 2], [1, 1], [2, 0], [1, 1])], ids=str)
@pytest.mark.parametrize("rows", [1, 4, 99])
def test_the_weight_gradient_in_strips(conv, rows, monkeypatch):
    torch.manual_seed(3)
    x = torch.randn(2, 16, 11, 9).contiguous(memory_format=LAST)
    weight = torch.randn(6, 16, *conv.kernel, requires_grad=True)
    y = torch.nn.functional.conv2d(x, weight, None, 1, conv.pad, conv.dilation)
    dy = torch.randn_like(y)
    want = torch.autograd.grad(y, weight, dy)[0]
    conv = conv._replace(dtype=torch.bfloat16)
    assert not Strips().serves("add_weight_gradient", conv, weight, x, dy), "small"
    monkeypatch.setattr(strips, "LARGE", 1)
    monkeypatch.setattr(strips, "STRIP", rows * 6 * dy.shape[3])
    assert Strips().serves("add_weight_gradient", conv, weight, x, dy)
    assert not Strips().serves("add_weight_gradient", conv, weight, x, dy.contiguous())
    for change in ({"stride": [2, 1]}, {"dilation": [2, 1]}, {"group": 2}, {"dtype": torch.float32}):
        assert not Strips().serves("add_weight_gradient", conv._replace(**change), weight, x, dy)
    gradient = torch.ones_like(want)
    Strips().add_weight_gradient(conv, dy, x, gradient)
    assert float((gradient - 1 - want).abs().max() / want.abs().max()) < 1e-2


@pytest.mark.parametrize("size", [5, 1 << 19, (1 << 19) + 3])
def test_sums_of_bf16_in_float32(size):
    values = torch.arange(size).remainder(200).bfloat16()
    sums = torch.full((size,), 0.5)
    bf16.add(values, sums)
    assert torch.equal(sums, values.float() + 0.5)


@pytest.mark.parametrize(("shape", "options"), [
    ((2, 4, 16, 1), "num_output: 4 kernel_size: 3 pad: 7 stride: 2 dilation: 2"),
    ((2, 24, 16, 2), "num_output: 1 kernel_size: 3 pad: 7 stride: 3 dilation: 3")])
def test_stride_and_dilation_over_a_plane_narrower_than_its_pad(tmp_path, shape, options):
    net = convolution(tmp_path, " ".join(f"dim: {n}" for n in shape), options)
    test = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    test.share_with(net)
    for _ in range(20):  # a kernel that pads for itself reads foreign memory here, and the process may die of it
        got = test.forward(x=net.blobs["x"].data)["y"]
        assert np.abs(got - net.blobs["y"].data).max() < 1e-5


@pytest.mark.parametrize("kernels", [True, False])
def test_one_channel_whose_strides_are_those_of_channels_last(kernels, monkeypatch, tmp_path):
    monkeypatch.setattr(common._state, "kernels", kernels)
    (tmp_path / "net.prototxt").write_text("""
        layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 2 dim: 19 dim: 3 } } }
        layer { name: "a" type: "Convolution" bottom: "x" top: "a" convolution_param { num_output: 1 kernel_size: 1
          weight_filler { type: "msra" } } }
        layer { name: "r" type: "ReLU" bottom: "a" top: "a" }
        layer { name: "y" type: "Convolution" bottom: "a" top: "y" convolution_param { num_output: 3 kernel_size: 2
          stride_h: 1 stride_w: 2 weight_filler { type: "msra" } } }""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.blobs["x"].data[...] = np.random.default_rng(3).normal(size=(4, 2, 19, 3))
    net.forward()
    below, weight = (torch.tensor(array).double() for array in (net.blobs["a"].data, net.params["y"][0].data))
    want = torch.nn.functional.conv2d(below, weight, stride=(1, 2))
    for plans in (False, True):
        caffe.set_plans(plans)
        test = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
        test.share_with(net)
        close(torch.tensor(test.forward(x=net.blobs["x"].data)["y"]), want.float())
    close(torch.tensor(net.blobs["y"].data), want.float())
