"""Winograd's minimal filtering: the convolutions are the direct ones, whatever the size and the padding."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common
from caffe._caffe.kernels.convolution import Convolution
from caffe._caffe.kernels.winograd import learning, tiles, tilings
from caffe._caffe.kernels.winograd.cook_toom import transforms
from caffe._caffe.kernels.winograd.learning import Winograd
from caffe._caffe.plan import packing
from caffe._caffe.plan.sliding import Convolve

NONE = ((0, 0), (0, 0))
SIZES = [(20, 31, NONE), (17, 23, ((1, 1), (1, 1))), (9, 90, ((2, 0), (0, 3))), (7, 7, ((3, 2), (1, 6))),
         (30, 8, ((0, 5), (0, 0))), (7, 7, NONE)]


def direct(x, weight, bias, around, relu):
    x = torch.nn.functional.pad(x.double(), [*around[1], *around[0]])
    y = torch.conv2d(x, weight.double(), bias.double())
    return y.clamp_min(0) if relu else y


def worst(kernel, dtype, size, n=1, relu=False, channels=130, num_output=140):
    """The largest error, relative to the largest value."""
    generator = torch.Generator().manual_seed(0)
    height, width, around = size
    x = torch.randn(n, channels, height, width, generator=generator).clamp_min(0).to(dtype)
    weight = torch.randn(num_output, channels, kernel, kernel, generator=generator) / (channels * kernel**2) ** 0.5
    bias = torch.randn(num_output, generator=generator).to(dtype)
    want = direct(x, weight, bias, around, relu)
    out = torch.full(want.shape, 7.0, dtype=dtype).contiguous(memory_format=torch.channels_last)
    tiles.ready(weight, dtype).convolve(x.contiguous(memory_format=torch.channels_last), around, bias, relu, out)
    return float((out - want).abs().max() / want.abs().max())


@pytest.mark.parametrize("points, taps", [
    ((0, 1, -1), 3), ((0, 1, -1, 2, -2), 3), (("0", "1", "-1", "2", "-2", "1/2", "-1/2"), 7)])
def test_transforms_make_the_products_of_polynomials(points, taps):
    weight, bottom, top = transforms([Fraction(p) for p in points], taps)
    f, d = torch.arange(1.0, taps + 1).double(), torch.linspace(-1, 2, len(bottom)).double() ** 3
    places = [float((d[i:i + taps] * f).sum()) for i in range(len(top))]
    np.testing.assert_allclose(top @ ((weight @ f) * (bottom @ d)), places, rtol=1e-12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", [3, 7])
def test_tiles(kernel, size):
    assert worst(kernel, torch.float32, size) < 5e-6
    assert worst(kernel, torch.bfloat16, size) < 1.5e-2


@pytest.mark.parametrize("relu", [False, True])
def test_batches_and_blocks(relu, monkeypatch):
    monkeypatch.setattr(tiles, "tiling_for", lambda *key: tilings.tiling_for(*key)._replace(at_once=20))
    assert worst(3, torch.float32, (70, 33, NONE), 2, relu, 128, 256) < 5e-6
    assert worst(7, torch.float32, (40, 20, NONE), 2, relu) < 5e-6
    assert worst(7, torch.bfloat16, (40, 20, NONE), 2, relu) < 1.5e-2


def test_threads_do_not_write_into_each_others_memory():
    sizes = [(40, 30 + 7 * i, NONE) for i in range(4)]
    with ThreadPoolExecutor(4) as pool:
        errors = list(pool.map(lambda size: worst(3, torch.float32, size), sizes * 8))
    assert max(errors) < 5e-6


@pytest.mark.parametrize("segments", [axis[1] for (_, dtype), axes in tilings.TILINGS.items() if dtype == torch.bfloat16
                                      for axis in axes])
def test_bf16_holds_the_transforms_exactly(segments):
    for taps, points in segments:
        for matrix in transforms([Fraction(p) for p in points.split()], taps)[1:]:
            both = torch.kron(matrix, matrix)
            assert torch.equal(both, both.bfloat16().double())


def test_which_convolutions_serve():
    for kernel, least in ((3, 64), (7, 128)):
        assert tiles.serves(torch.empty(least, least, kernel, kernel), torch.float32)
        assert not tiles.serves(torch.empty(least, least - 1, kernel, kernel), torch.float32)
        assert not tiles.serves(torch.empty(least, least, kernel, 5), torch.float32)
        assert not tiles.serves(torch.empty(least, least, kernel, kernel), torch.float64)
    assert tiles.serves(torch.empty(64, 128, 3, 3), torch.bfloat16)
    assert not tiles.serves(torch.empty(64, 127, 3, 3), torch.bfloat16)
    assert tiles.serves(torch.empty(128, 128, 7, 7), torch.bfloat16)


NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 40 dim: 50 } } }
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param {
  num_output: 256 kernel_size: 3 pad: 20 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param {
  num_output: 256 kernel_size: 3 pad: 1 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "p2" type: "Pooling" bottom: "c2" top: "p2" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "c3" type: "Convolution" bottom: "p2" top: "c3" convolution_param {
  num_output: 256 kernel_size: 3 weight_filler { type: "msra" } bias_term: false } }
layer { name: "fc6" type: "Convolution" bottom: "c3" top: "fc6" convolution_param {
  num_output: 130 kernel_size: 7 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "strided" type: "Convolution" bottom: "c3" top: "strided" convolution_param {
  num_output: 130 kernel_size: 3 stride: 2 weight_filler { type: "msra" } } }
layer { name: "dilated" type: "Convolution" bottom: "c3" top: "dilated" convolution_param {
  num_output: 130 kernel_size: 3 dilation: 2 weight_filler { type: "msra" } } }
layer { name: "grouped" type: "Convolution" bottom: "c3" top: "grouped" convolution_param {
  num_output: 256 kernel_size: 3 group: 2 weight_filler { type: "msra" } } }
"""
TOPS = ("fc6", "strided", "dilated", "grouped")


def test_small_tops_are_summed_directly():
    wide = tiles.ready(torch.zeros(256, 256, 3, 3), torch.float32)
    assert wide.pays(28, 28) and not wide.pays(7, 7) and not wide.pays(2, 2)
    assert not tiles.ready(torch.zeros(64, 64, 3, 3), torch.float32).pays(14, 14)
    assert tiles.ready(torch.zeros(256, 256, 3, 3), torch.bfloat16).pays(2, 2)


def convolutions(net):
    return [step for step in net._plan._compiled._fuser.all_steps() if isinstance(step, Convolve)]


@pytest.mark.parametrize("size", [(40, 50), (61, 47), (1, 1)])
def test_a_net_gives_what_it_gives_by_layers(tmp_path, size, monkeypatch):
    monkeypatch.setattr(tiles, "WORTH", math.inf)
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].reshape(1, 3, *size)
    net.blobs["data"].data[...] = np.random.RandomState(0).randn(1, 3, *size)
    common.set_plans(False)
    net.forward()
    want = {top: net.blobs[top].data.copy() for top in TOPS}
    common.set_plans(True)
    net.forward()
    used = {step.layer.name: type(step.weights()._tiled).__name__ for step in convolutions(net)
            if step.weights()._tiled is not None}
    assert used == {"c2": "TiledWeight", "c3": "TiledWeight", "fc6": "PackedWeight"}
    for top in TOPS:
        assert np.abs(net.blobs[top].data - want[top]).max() <= 1e-5 * np.abs(want[top]).max()


@pytest.mark.parametrize("pad", [[1, 1], [0, 2]])
@pytest.mark.parametrize(("n", "channels", "num_output", "height", "width"), [
    (1, 70, 130, 81, 102), (2, 130, 70, 81, 102), (1, 300, 310, 15, 14), (2, 310, 300, 14, 15)])
@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.bfloat16, 1.5e-2)])
def test_layers_that_learn(pad, n, channels, num_output, height, width, dtype, bound):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, channels, height, width, generator=generator).clamp_min(0)
    weight = torch.randn(num_output, channels, 3, 3, generator=generator) / (9 * channels) ** 0.5
    bias = torch.randn(num_output, generator=generator)
    exact_x, exact_weight = (t.double().requires_grad_() for t in (x, weight))
    y = torch.nn.functional.conv2d(exact_x, exact_weight, bias.double(), 1, pad)
    dy = torch.randn(y.shape, generator=generator)
    dx, dw = torch.autograd.grad(y, (exact_x, exact_weight), dy.double())

    conv = Convolution([3, 3], [1, 1], pad, [1, 1], dtype=dtype)
    last = torch.channels_last
    x, dy = x.contiguous(memory_format=last), dy.contiguous(memory_format=last)
    out, back, gradient = torch.full_like(dy, 9), torch.full_like(x, 9), torch.full_like(weight, 0.5)
    assert Winograd().serves("convolve", conv, weight, x, out) or dtype == torch.bfloat16 and height < 32
    Winograd().convolve(conv, x, weight, bias, out)
    Winograd().data_gradient(conv, dy, weight, back)
    Winograd().add_weight_gradient(conv, dy, x, gradient)
    for got, want in ((out, y.detach()), (back, dx), (gradient - 0.5, dw)):
        assert float((got - want).abs().max() / want.abs().max()) < bound


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float32, 5e-6), (torch.bfloat16, 1.5e-2)])
@pytest.mark.parametrize(("c", "k", "height", "width"), [(40, 9, 40, 3), (17, 9, 1, 20), (9, 40, 3, 5)])
def test_a_gradient_of_more_channels_than_tiles_has_memory_of_its_own(c, k, height, width, dtype, bound):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, c, height, width, generator=generator).contiguous(memory_format=torch.channels_last)
    dy = torch.randn(1, k, height, width, generator=generator).contiguous(memory_format=torch.channels_last)
    weight = torch.zeros(k, c, 3, 3, dtype=torch.double, requires_grad=True)
    want, = torch.autograd.grad(torch.nn.functional.conv2d(x.double(), weight, None, 1, 1), weight, dy.double())
    gradient = torch.zeros(k, c, 3, 3)
    Winograd().add_weight_gradient(Convolution([3, 3], [1, 1], [1, 1], [1, 1], dtype=dtype), dy, x, gradient)
    assert float((gradient - want).abs().max() / want.abs().max()) < bound


def test_which_layers_learn_by_tiles():
    def serves(slides=((3, 3), (1, 1), (1, 1), (1, 1)), channels=128, side=70, layout=torch.channels_last):
        y = torch.empty(1, 128, side, side).contiguous(memory_format=layout)
        x = torch.empty(1, channels, side, side).contiguous(memory_format=layout)
        return Winograd().serves("convolve", Convolution(*slides), torch.empty(128, channels, 3, 3), x, y)

    assert serves()
    assert not serves(side=10) and not serves(channels=63) and not serves(layout=torch.contiguous_format)
    assert not serves(((3, 3), (2, 2), (1, 1), (1, 1))) and not serves(((3, 3), (1, 1), (1, 1), (2, 2)))
    assert not serves(((3, 3), (1, 1), (3, 3), (1, 1)))


@pytest.mark.parametrize(("shape", "tile"), [
    ((64, 64, 1, 224, 224), (4, 4)), ((256, 256, 1, 28, 28), (4, 4)), ((512, 512, 1, 14, 14), (2, 2)),
    ((512, 512, 1, 7, 7), None), ((512, 512, 16, 7, 7), (4, 4))])
def test_small_planes_take_small_tiles_or_none(shape, tile):
    tiling = learning._best_tiling(*shape, torch.float32)
    assert (tiling and tiling.tile) == tile


@pytest.mark.parametrize("precision, bound", [("fp32", 1e-5), ("bf16", 3e-2)])
def test_pixels_run_as_a_product(tmp_path, precision, bound, monkeypatch):
    monkeypatch.setattr(packing, "SMALL", 0)
    head, _, _ = NET.partition('layer { name: "strided"')
    (tmp_path / "net.prototxt").write_text(head + """
layer { name: "fc7" type: "Convolution" bottom: "fc6" top: "fc7" convolution_param {
  num_output: 40 kernel_size: 1 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "r7" type: "ReLU" bottom: "fc7" top: "fc7" }
layer { name: "score" type: "Convolution" bottom: "fc7" top: "score" convolution_param {
  num_output: 5 kernel_size: 1 weight_filler { type: "msra" } bias_term: false } }""")
    caffe.set_random_seed(1)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].data[...] = np.random.RandomState(0).randn(1, 3, 40, 50)
    common.set_plans(False)
    want = net.forward()["score"].copy()
    common.set_plans(True)
    if precision == "bf16" and not common.has_bf16():
        pytest.skip("this CPU has no bf16")
    caffe.set_precision(precision)
    try:
        got = net.forward()["score"].copy()
        used = [step.layer.name for step in convolutions(net) if step.weights()._linear is not None]
    finally:
        caffe.set_precision("fp32")
    assert used == ["fc7", "score"]
    assert np.abs(got - want).max() <= bound * np.abs(want).max()


SPIKED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 30 dim: 30 } } }
""" + "".join(f"""
layer {{ name: "c{i}" type: "Convolution" bottom: "{below}" top: "c{i}" convolution_param {{
  num_output: {channels} kernel_size: {kernel} weight_filler {{ type: "msra" }} }} }}
layer {{ name: "r{i}" type: "ReLU" bottom: "c{i}" top: "c{i}" }}""" for i, (below, channels, kernel) in enumerate(
    [("data", 64, 1), ("c0", 256, 3), ("c1", 256, 3), ("c2", 130, 1), ("c3", 5, 1)]))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("where", ["pixel", "weight"])
@pytest.mark.parametrize("value", [np.nan, 3e38])
def test_what_is_not_finite_in_between_goes_caffes_way(tmp_path, where, value, precision):
    if precision == "bf16" and not common.has_bf16():
        pytest.skip("this CPU has no bf16")
    (tmp_path / "net.prototxt").write_text(SPIKED)
    caffe.set_random_seed(1)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].data[...] = np.random.RandomState(0).randn(1, 3, 30, 30)
    if where == "pixel":
        net.blobs["data"].data[0, 1, 7, 8] = value
    else:
        net.params["c0"][0].data[3, 1] = value
    caffe.set_precision(precision)
    try:
        common.set_plans(False)
        want = net.forward()["c4"].copy()
        common.set_plans(True)
        got = net.forward()["c4"].copy()
    finally:
        caffe.set_precision("fp32")
    assert not np.isfinite(want).all() or value == 3e38
    finite = np.isfinite(want)
    np.testing.assert_array_equal(np.isfinite(got), finite)
    largest = np.abs(want[finite].astype(np.float64)).max(initial=0)
    np.testing.assert_allclose(got[finite], want[finite], rtol=0, atol=1e-5 * largest)
