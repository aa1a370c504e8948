"""Plans of TEST nets: the same results as layer by layer, whatever a script looks at or changes."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch

import caffe
from caffe._caffe import common
from caffe._caffe.plan import space
from caffe._caffe.plan.plan import Plan
from caffe._caffe.plan.sliding import Convolve

TRUNK = """
layer { name: "c1" type: "Convolution" bottom: "data" top: "c1" convolution_param {
  num_output: 8 kernel_size: 3 pad: PAD weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "r1" type: "ReLU" bottom: "c1" top: "c1" }
layer { name: "c2" type: "Convolution" bottom: "c1" top: "c2" convolution_param {
  num_output: 8 kernel_size: 3 pad: 1 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "r2" type: "ReLU" bottom: "c2" top: "c2" }
layer { name: "p1" type: "Pooling" bottom: "c2" top: "p1" pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "c3" type: "Convolution" bottom: "p1" top: "c3" convolution_param {
  num_output: 260 kernel_size: 3 pad: 2 dilation: 2 group: 2
  weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "r3" type: "ReLU" bottom: "c3" top: "c3" }
layer { name: "c4" type: "Convolution" bottom: "c3" top: "c4" convolution_param {
  num_output: 12 kernel_size: 3 pad: 1 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "r4" type: "ReLU" bottom: "c4" top: "c4" }
layer { name: "p2" type: "Pooling" bottom: "c4" top: "p2" pooling_param { pool: MAX kernel_size: 3 stride: 2 } }
layer { name: "c5" type: "Convolution" bottom: "p2" top: "c5" convolution_param {
  num_output: 16 kernel_size: 5 weight_filler { type: "msra" } bias_filler { type: "uniform" } } }
layer { name: "d5" type: "Dropout" bottom: "c5" top: "c5" }
layer { name: "s5" type: "Convolution" bottom: "c5" top: "s5" convolution_param {
  num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "u5" type: "Deconvolution" bottom: "s5" top: "u5" convolution_param {
  num_output: 3 group: 3 kernel_size: 4 stride: 2 bias_term: false weight_filler { type: "bilinear" } } }
layer { name: "s4" type: "Convolution" bottom: "p1" top: "s4" convolution_param {
  num_output: 3 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "k4" type: "Crop" bottom: "s4" bottom: "u5" top: "k4" crop_param { axis: 2 offset: 3 } }
layer { name: "sum" type: "Eltwise" bottom: "u5" bottom: "k4" top: "sum" }
layer { name: "up" type: "Deconvolution" bottom: "sum" top: "up" convolution_param {
  num_output: 3 group: 3 kernel_size: 4 stride: 2 bias_term: false weight_filler { type: "bilinear" } } }
layer { name: "score" type: "Crop" bottom: "up" bottom: "data" top: "score" crop_param { axis: 2 offset: OFFSET } }
"""
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 40 dim: 50 } } }'


@pytest.fixture(params=["host", "stand-in", pytest.param("cuda", marks=[
    pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")])])
def device(request, monkeypatch):
    """Where nets compute. To the engine the stand-in is another device, with memory and ways of its own."""
    if request.param != "host":
        one = torch.device("cuda", 0) if request.param == "cuda" else torch.device("cpu")
        assert one is not common.CPU
        monkeypatch.setattr(common._state, "device", one)
    return request.param


on_host = pytest.mark.parametrize("device", ["host"], indirect=True)


@pytest.fixture
def make(tmp_path, device):
    def make(pad=30, head=INPUT, tail="", offset=10):
        caffe.set_random_seed(3)
        path = tmp_path / "net.prototxt"
        path.write_text(head + TRUNK.replace("PAD", str(pad)).replace("OFFSET", str(offset)) + tail)
        return caffe.Net(str(path), caffe.TEST)

    yield make
    common.set_plans(True)


def both(net, name="score"):
    """A blob after a pass by layers and after one by the plan, which must have run."""
    common.set_plans(False)
    net.forward()
    by_layer = net.blobs[name].data.copy()
    common.set_plans(True)
    net.forward()
    return by_layer, net.blobs[name].data.copy()


def alike(a, b):
    bound = 1e-4 if common.device().type == "cuda" else 1e-5
    return a.shape == b.shape and np.abs(a - b).max() <= bound * max(np.abs(a).max(), 1e-3)


def same(a, b):
    """To the bit, save on a card, whose sums may be in another order from run to run."""
    np.testing.assert_allclose(a, b, rtol=1e-3 if common.device().type == "cuda" else 0,
                               atol=1e-4 * np.nanmax(np.abs(b)) if common.device().type == "cuda" else 0)


def image(net, height, width, seed=0, n=1):
    x = np.random.RandomState(seed).randn(n, 3, height, width).astype(np.float32)
    net.blobs["data"].reshape(*x.shape)
    net.blobs["data"].data[...] = x


def left_out(net, name):
    return net.blobs[name]._data.is_left_out()


@pytest.mark.parametrize("size", [(40, 50), (41, 50), (43, 51), (1, 1), (7, 90), (64, 64), (97, 101)])
@pytest.mark.parametrize("pad", [20, 30, 60])
def test_scores_are_those_of_the_pass_by_layers(make, pad, size):
    net = make(pad)
    image(net, *size)
    assert alike(*both(net))
    assert left_out(net, "c2")


@pytest.mark.parametrize("size", [(40, 50), (39, 51), (5, 6)])
def test_without_a_wide_pad_all_is_computed(tmp_path, device, size):
    path = tmp_path / "net.prototxt"
    path.write_text(INPUT + TRUNK[:TRUNK.index('layer { name: "p2"')].replace("PAD", "1"))
    net = caffe.Net(str(path), caffe.TEST)
    image(net, *size)
    assert alike(*both(net, "c4"))
    assert left_out(net, "c2")


def test_sizes_may_change_from_image_to_image(make):
    net = make()
    for seed, size in enumerate([(40, 50), (33, 61), (40, 50), (60, 33), (41, 49), (40, 50)]):
        image(net, *size, seed=seed)
        assert alike(*both(net))


def test_several_images_in_a_batch(make):
    net = make()
    image(net, 40, 50, n=3)
    assert alike(*both(net))


def test_what_pads_see_is_computed_once(make, monkeypatch):
    net = make(60)
    image(net, 41, 50)
    net.forward()
    program = program_of(net)
    geometry = program.geometry({value: (1, 3, 41, 50) for value in program.inputs}, program.wanted)
    area = {step.layer.name: geometry.area[step.tops[0]] for step in program.steps if hasattr(step, "layer")}
    (top, bottom), (left, right) = area["c2"]
    assert bottom - top < 64 and right - left < 72  # of 159 x 168
    assert geometry.area[next(iter(program.wanted))] == ((0, 41), (0, 50))
    assert program._frames


def program_of(net):
    return next(iter(net._plan._compiled._programs.values()))._program


@pytest.mark.parametrize("name", ["c1", "c2", "p1", "c3", "p2", "c5", "s4", "k4", "sum", "up"])
def test_an_inner_blob_is_there_when_one_looks(make, name):
    net = make()
    image(net, 40, 50)
    common.set_plans(False)
    net.forward()
    want = net.blobs[name].data.copy()
    gc.collect()
    common.set_plans(True)
    net.forward()  # writes what was looked at
    net.forward()
    assert left_out(net, name)
    assert alike(net.blobs[name].data, want)  # not to the bit: a blob one has looked at changes its layout


def test_an_inner_blob_is_of_the_inputs_of_its_pass(make):
    net = make()
    image(net, 40, 50)
    common.set_plans(False)
    net.forward()
    want = net.blobs["p2"].data.copy()
    common.set_plans(True)
    net.forward()
    net.forward()
    assert left_out(net, "p2")
    image(net, 40, 50, seed=1)  # the next image is there already
    following = net.blobs["data"].data.copy()
    assert alike(net.blobs["p2"].data, want)
    np.testing.assert_array_equal(net.blobs["data"].data, following)
    net.forward()
    assert not alike(net.blobs["p2"].data, want)


def test_looking_after_a_reshape_keeps_the_new_shapes(make):
    net = make()
    image(net, 44, 50)
    net.forward()
    net.blobs["data"].reshape(1, 3, 40, 50)
    net.reshape()
    shapes = {name: blob.shape for name, blob in net.blobs.items()}
    for name in ("c2", "p2", "sum"):
        assert net.blobs[name].data.shape == shapes[name]
    assert {name: blob.shape for name, blob in net.blobs.items()} == shapes


@on_host
def test_memory_does_not_grow_with_the_number_of_sizes(make):
    net = make()
    views = []
    for side in range(100, 160, 6):
        image(net, side, side)
        views.append(net.blobs["c2"].data)  # is written in every pass
        net.forward()
    space = net._plan._compiled._space
    assert len(space._free) <= 4 and not space._taken


@on_host
def test_a_blob_with_a_live_view_is_written_in_every_pass(make):
    net = make()
    image(net, 40, 50)
    net.forward()
    row = net.blobs["p2"].data[0, 0]  # a slice keeps the view alive
    image(net, 40, 50, seed=1)
    net.forward()
    assert not left_out(net, "p2")
    now = row.copy()
    common.set_plans(False)
    net.forward()
    assert alike(net.blobs["p2"].data[0, 0], now)
    del row
    gc.collect()
    common.set_plans(True)
    net.forward()
    net.forward()
    assert left_out(net, "p2")


def test_a_blob_that_is_looked_at_after_every_pass_is_written(make):
    net = make()
    for seed in range(4):
        image(net, 40, 50, seed=seed)
        net.forward()
        assert left_out(net, "p2") == (seed == 0)
        now = net.blobs["p2"].data.copy()
        common.set_plans(False)
        net.forward()
        assert alike(net.blobs["p2"].data, now)
        common.set_plans(True)


def test_a_tensor_of_a_blob_is_kept_up_to_date(make):
    net = make()
    image(net, 40, 50)
    tensor = net.blobs["p2"].tensor
    a = (net.forward(), tensor.clone())[1]
    image(net, 40, 50, seed=1)
    b = (net.forward(), tensor.clone())[1]
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("layer", ["c1", "c3", "s4", "u5"])
def test_weights_written_in_passing_count_in_the_next_pass(make, layer):
    net = make()
    image(net, 40, 50)
    before = (net.forward(), net.blobs["score"].data.copy())[1]
    net.params[layer][0].data[...] *= 1.5
    a, b = both(net)
    assert alike(a, b) and not alike(before, b)


@on_host
def test_weights_written_through_a_view_that_stays_count_in_the_next_pass(make):
    net = make()
    image(net, 40, 50)
    weight = net.params["c3"][0].data
    before = (net.forward(), net.blobs["score"].data.copy())[1]
    for factor in (1.5, 0.1):
        weight *= factor
        a, b = both(net)
        assert alike(a, b) and not alike(before, b)


def test_weights_written_through_a_tensor_that_stays_count_in_the_next_pass(make):
    net = make()
    image(net, 40, 50)
    weight = net.params["c3"][0].tensor
    before = (net.forward(), net.blobs["score"].data.copy())[1]
    for factor in (1.5, 0.1):
        weight.mul_(factor)
        net.forward()
        b = net.blobs["score"].data.copy()
        common.set_plans(False)
        net.forward()
        assert alike(net.blobs["score"].data, b) and not alike(before, b)
        common.set_plans(True)


def test_an_inner_blob_is_of_the_weights_of_its_pass(make):
    net = make()
    image(net, 40, 50)
    common.set_plans(False)
    net.forward()
    want = net.blobs["p2"].data.copy()
    gc.collect()
    common.set_plans(True)
    net.forward()
    net.forward()
    assert left_out(net, "p2")
    net.params["c1"][0].data[...] = 0
    assert alike(net.blobs["p2"].data, want)


def test_an_inner_blob_is_of_the_weights_of_its_pass_also_where_they_were_written_through_an_old_view(make):
    net = make()
    image(net, 40, 50)
    common.set_plans(False)
    net.forward()
    want = net.blobs["p2"].data.copy()
    common.set_plans(True)
    weight = net.params["c1"][0].data
    net.forward()
    net.forward()
    assert left_out(net, "p2")
    weight *= 2
    edited = weight.copy()
    assert alike(net.blobs["p2"].data, want)
    np.testing.assert_array_equal(net.params["c1"][0].data, edited)
    assert alike(*both(net))


def test_weights_edited_through_a_view_can_be_read_saved_and_overwritten(make, tmp_path):
    net = make()
    image(net, 40, 50)
    weight = net.params["c1"][0].data
    net.forward()
    weight *= 2
    net.save(str(tmp_path / "edited.caffemodel"))
    assert np.array_equal(net.params["c1"][0].data, weight)
    net.params["c3"][0].data[...] *= 3
    net.copy_from(str(tmp_path / "edited.caffemodel"))
    other = make()
    image(other, 40, 50)
    other.copy_from(str(tmp_path / "edited.caffemodel"))
    assert alike(both(net)[0], both(other)[1])


def test_layers_run_one_by_one_bring_back_what_was_lost(make):
    net = make()
    image(net, 40, 50)
    weight = net.params["c1"][0].data
    net.forward()
    weight *= 2
    net.params["c3"][0].data[...] *= 3
    caffe.set_plans(False)
    net.forward()
    net.blobs["p2"].data.sum()
    net.backward()
    caffe.set_plans(True)


def test_weights_copied_from_a_file_count(make, tmp_path):
    net = make()
    image(net, 40, 50)
    other = make()
    other.params["c3"][0].data[...] *= 2
    other.save(str(tmp_path / "other.caffemodel"))
    net.forward()
    net.copy_from(str(tmp_path / "other.caffemodel"))
    a, b = both(net)
    image(other, 40, 50)
    assert alike(a, b) and alike(both(other)[1], b)


def test_shared_weights_count(make):
    net, other = make(), make()
    other.params["c3"][0].data[...] *= 2
    net.share_with(other)
    image(net, 40, 50)
    a, b = both(net)
    other.params["c3"][0].data[...] *= 2
    c, d = both(net)
    assert alike(a, b) and alike(c, d) and not alike(b, d)


def test_hooks_see_every_layer(make):
    net = make()
    image(net, 40, 50)
    seen = []
    net.after_forward(seen.append)
    net.forward()
    assert seen == list(range(len(net.layers)))


def test_a_range_of_layers_runs_on_what_the_plan_left_out(make):
    net = make()
    image(net, 40, 50)
    want = (net.forward(), net.blobs["score"].data.copy())[1]
    net.forward(start="c4")
    assert alike(want, net.blobs["score"].data)


def test_backward_after_a_plan(make):
    net = make()
    image(net, 40, 50)
    common.set_plans(False)
    net.forward()
    net.blobs["score"].diff[...] = 1
    net.backward(start="score", end="c1")
    want = net.params["c3"][0].diff.copy()
    net.clear_param_diffs()
    common.set_plans(True)
    net._plan = Plan.of(net.wiring, caffe.TEST, net._run_node, net._reshape_node, net.turn)
    net.forward()
    net.backward(start="score", end="c1")
    same(net.params["c3"][0].diff, want)


def test_nan_goes_caffes_way(make):
    net = make()
    image(net, 40, 50)
    net.blobs["data"].data[0, 0, 5, 5] = np.nan
    same(*both(net))


def test_layers_that_are_no_steps_stand_between(make):
    tail = """
layer { name: "label" type: "DummyData" top: "label" dummy_data_param { shape { dim: 1 dim: 1 dim: 40 dim: 50 }
  data_filler { type: "constant" value: 1 } } }
layer { name: "split" type: "Sigmoid" bottom: "score" top: "prob" }
layer { name: "again" type: "Convolution" bottom: "prob" top: "again" convolution_param {
  num_output: 2 kernel_size: 3 pad: 9 weight_filler { type: "msra" } } }
layer { name: "like" type: "Crop" bottom: "again" bottom: "label" top: "like" crop_param { axis: 2 offset: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "like" bottom: "label" top: "loss" }
"""
    net = make(tail=tail)
    image(net, 40, 50)
    assert alike(*both(net, "loss"))


def test_a_net_in_test_of_a_solver_follows_its_training(tmp_path, device):
    net = """
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 }
  data_filler { type: "gaussian" } } include { phase: TRAIN } }
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 }
  data_filler { type: "constant" value: 0.3 } } include { phase: TEST } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 40 kernel_size: 3 pad: 5 weight_filler { type: "msra" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 2
  weight_filler { type: "xavier" } } }
layer { name: "target" type: "DummyData" top: "target" dummy_data_param { shape { dim: 2 dim: 2 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
    (tmp_path / "net.prototxt").write_text(net)
    (tmp_path / "solver.prototxt").write_text(
        f'net: "{tmp_path}/net.prototxt" base_lr: 1e-4 lr_policy: "fixed" max_iter: 9 test_iter: 1 test_interval: 2 '
        f'random_seed: 1 snapshot_prefix: "{tmp_path}/s"')
    losses = []
    for plans in (False, True):
        common.set_plans(plans)
        solver = caffe.SGDSolver(str(tmp_path / "solver.prototxt"))
        seen = []
        for _ in range(4):
            solver.step(2)
            seen.append(float(solver.test_nets[0].forward()["loss"]))
        losses.append(seen)
    common.set_plans(True)
    np.testing.assert_allclose(*losses, rtol=1e-5)


@pytest.mark.parametrize("layer", [
    'layer { name: "py" type: "Python" bottom: "score" top: "p" python_param { module: "plan_layers" layer: "Same" } }',
    'layer { name: "out" type: "HDF5Output" bottom: "score" bottom: "score" hdf5_output_param { file_name: "F" } }'])
def test_a_net_with_layers_that_have_effects_runs_by_layer(make, monkeypatch, tmp_path, layer):
    (tmp_path / "plan_layers.py").write_text("""
import caffe
class Same(caffe.Layer):
    def setup(self, bottom, top): pass
    def reshape(self, bottom, top): top[0].reshape(*bottom[0].shape)
    def forward(self, bottom, top): top[0].data[...] = bottom[0].data
    def backward(self, top, propagate_down, bottom): pass
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert make(tail=layer.replace('"F"', f'"{tmp_path}/out.h5"'))._plan is None


def test_training_nets_and_nets_without_convolution_have_no_plan(make, tmp_path):
    (tmp_path / "small.prototxt").write_text(INPUT + 'layer { name: "r" type: "ReLU" bottom: "data" top: "r" }')
    assert caffe.Net(str(tmp_path / "small.prototxt"), caffe.TEST)._plan is None
    make()
    assert caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)._plan is None


def test_a_data_layer_draws_once_a_pass_also_where_values_are_not_finite(make, monkeypatch, tmp_path):
    (tmp_path / "plan_source.py").write_text("""
import caffe, numpy as np
class Images(caffe.Layer):
    def setup(self, bottom, top): self.number = 0
    def reshape(self, bottom, top): top[0].reshape(1, 3, 40 + self.number, 50)
    def forward(self, bottom, top):
        top[0].data[...] = self.number
        if self.number == 2:
            top[0].data[0, 0, 3, 3] = np.nan
        self.number += 1
    def backward(self, top, propagate_down, bottom): pass
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    head = 'layer { name: "data" type: "Python" top: "data" python_param { module: "plan_source" layer: "Images" } }'
    seen = []
    for plans in (False, True):
        common.set_plans(plans)
        net = make(head=head)
        assert net._plan is not None
        seen.append([])
        for _ in range(4):
            net.forward()
            seen[-1].append(net.blobs["score"].data.copy())
    for a, b in zip(*seen):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert [a.shape[2] for a in seen[1]] == [40, 41, 42, 43]


def test_on_another_device_the_padding_is_left_out_too_and_the_host_reads_once(make, device, monkeypatch):
    net = make(60)
    image(net, 41, 50)
    both(net)
    assert program_of(net)._frames
    packed = [step.weights() for step in program_of(net).steps if isinstance(step, Convolve)]
    assert any(weights._tiled is not None or weights._by_size for weights in packed) == (device == "host")
    reads = []
    read = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda x: (reads.append("tolist"), read(x))[1])
    for name in ("item", "__bool__", "__float__", "__int__"):
        monkeypatch.setattr(torch.Tensor, name, lambda x, name=name: reads.append(name))
    net.forward_from_to(0, len(net.layers) - 1)
    monkeypatch.undo()
    assert reads == ["tolist"]


def test_the_host_and_another_device_may_take_turns(make, device):
    there, net = common.device(), make()
    image(net, 40, 50)
    scores = []
    for one in (there, common.CPU, there, common.CPU):
        common._state.device = one
        net.params["c1"][0].data[...] *= 1.1
        scores.append(both(net))
        assert alike(*scores[-1])
        net.forward()
        image(net, 40, 50)
        scores.append((net.blobs["c3"].data.copy(), None))
    assert not alike(scores[0][0], scores[2][0])


def test_values_stand_as_the_devices_kernels_want_them(make, device, precision, monkeypatch):
    if device != "host":
        monkeypatch.setattr(common, "has_bf16", lambda: True)
    elif not common.has_bf16():
        pytest.skip("this CPU has no bf16")
    net = make()
    image(net, 40, 50)
    net.forward()
    exact = net.blobs["score"].data.copy()
    precision("bf16")
    a, b = both(net)
    assert 1e-4 < np.abs(b - exact).max() / np.abs(exact).max() < 3e-2 and np.abs(a - b).max() < 5e-2 * np.abs(a).max()
    orders = {dtype: space.order(dtype) for dtype in (torch.float32, torch.bfloat16)}
    assert orders[torch.bfloat16] == torch.channels_last
    assert orders[torch.float32] == (torch.channels_last if device == "host" else torch.contiguous_format)
    for dtype, wanted in orders.items():
        tensor = space.Space().take((2, 3, 300, 300), dtype)
        assert tensor.is_contiguous(memory_format=wanted) and tensor.device.type == common.device().type


@pytest.fixture
def precision():
    yield caffe.set_precision
    caffe.set_precision("fp32")


@pytest.mark.skipif(not common.has_bf16(), reason="this CPU has no bf16")
@on_host
def test_bf16_is_chosen_by_a_switch_and_left_again(make, precision):
    net = make()
    image(net, 40, 50)
    net.forward()
    exact = net.blobs["score"].data.copy()
    scores = []
    for plans in (True, False):
        common.set_plans(plans)
        precision("bf16")
        net.forward()
        scores.append(net.blobs["score"].data.copy())
        precision("fp32")
        net.forward()
        assert alike(net.blobs["score"].data, exact)
    for score in scores:
        assert 1e-4 < np.abs(score - exact).max() / np.abs(exact).max() < 3e-2


@pytest.mark.skipif(not common.has_bf16(), reason="this CPU has no bf16")
@on_host
def test_a_net_learns_in_bf16_with_weights_in_float32(make, precision, tmp_path):
    (tmp_path / "net.prototxt").write_text("""
layer { name: "data" type: "DummyData" top: "data" dummy_data_param { shape { dim: 2 dim: 3 dim: 12 dim: 12 }
  data_filler { type: "gaussian" } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {
  num_output: 40 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "loss" type: "Reduction" bottom: "conv" top: "loss" loss_weight: 1 reduction_param { operation: SUMSQ } }
""")
    caffe.set_random_seed(1)
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    net.forward()
    diffs = []
    for name in ("fp32", "bf16"):
        precision(name)
        net.clear_param_diffs()
        net.forward(start="conv")
        net.backward()
        diffs.append(net.params["conv"][0].diff.copy())
    difference = np.abs(diffs[0] - diffs[1]).max() / np.abs(diffs[0]).max()
    assert 1e-4 < difference < 3e-2


def test_bf16_is_refused_where_nothing_computes_in_it(monkeypatch):
    monkeypatch.setattr(common, "has_bf16", lambda: False)
    with pytest.raises(caffe.CaffeError, match="bf16 neither on the CPU .* stay with 'fp32'"):
        caffe.set_precision("bf16")
    with pytest.raises(caffe.CaffeError, match="got 'fp16', want 'fp32', 'tf32' or 'bf16'"):
        caffe.set_precision("fp16")


IN_PLACE = {  # each was wrong, as far as a plan reads and writes memories instead of values
    "after another part of the plan": 'type: "Scale" bottom: "c" top: "c"|type: "ReLU" bottom: "c" top: "c"',
    "on both sides of a split": 'type: "ReLU" bottom: "c" top: "c"|type: "Power" bottom: "c" top: "p"|'
                                'type: "Eltwise" bottom: "c" bottom: "p" top: "e"|type: "ReLU" bottom: "e" top: "e"',
    "on one top of a split": 'type: "Split" bottom: "c" top: "a" top: "b"|type: "Power" bottom: "a" top: "a" '
                             'power_param { shift: 1 }|type: "Eltwise" bottom: "a" bottom: "b" top: "e"',
    "on both bottoms of a sum": 'type: "Split" bottom: "c" top: "a" top: "b"|type: "Eltwise" bottom: "a" bottom: "b" '
                                'top: "a" eltwise_param { coeff: -1 coeff: -2 }',
    "and not, of one blob twice": 'type: "Dropout" bottom: "data" top: "o"|type: "Concat" bottom: "o" bottom: "data" '
                                  'top: "j" concat_param { axis: -1 }',
    "on memory seen in another shape": 'type: "Flatten" bottom: "c" top: "f"|type: "TanH" bottom: "f" top: "f"|'
                                       'type: "InnerProduct" bottom: "f" top: "i" inner_product_param { num_output: 2 '
                                       'weight_filler { type: "xavier" } }',
    "on the input, which a crop shows": 'type: "Crop" bottom: "data" bottom: "data" top: "k" crop_param { axis: 2 }|'
                                        'type: "Split" bottom: "data" top: "s"|type: "Power" bottom: "s" top: "s" '
                                        'power_param { scale: -1 }',
    "between convolutions": 'type: "BatchNorm" bottom: "c" top: "c"|type: "Scale" bottom: "c" top: "c" scale_param { '
                            'bias_term: true }|type: "ELU" bottom: "c" top: "c"|type: "Convolution" bottom: "c" top: '
                            '"d" convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "msra" } }|'
                            'type: "LRN" bottom: "d" top: "d"|type: "ReLU" bottom: "d" top: "d"'}


@pytest.mark.parametrize("case", IN_PLACE)
def test_layers_in_place_write_values_of_their_own(tmp_path, device, case):
    layers = "".join(f'layer {{ name: "l{i}" {text} }}\n' for i, text in enumerate(IN_PLACE[case].split("|")))
    (tmp_path / "net.prototxt").write_text(INPUT.replace("dim: 40 dim: 50", "dim: 9 dim: 8") + """
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "msra" } bias_filler { type: "uniform" min: -1 } } }""" + layers)
    found = []
    for plans in (False, True):
        common.set_plans(plans)
        caffe.set_random_seed(2)
        net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
        for name, blobs in net.params.items():
            if net.layer_dict[name].type in ("BatchNorm", "Scale"):
                for blob in blobs:
                    blob.data[...] = 0.5 + np.random.RandomState(1).rand(*blob.shape)
        image(net, 9, 8)
        net.forward()
        found.append({name: blob.data.copy() for name, blob in net.blobs.items()})
    common.set_plans(True)
    assert net._plan is not None
    for name, want in found[0].items():
        assert alike(want, found[1][name]), name


@pytest.mark.parametrize("pool", ["pool: AVE global_pooling: true", "pool: MAX kernel_size: 2 stride: 1 pad: 1"])
def test_what_lies_wholly_in_the_padding_needs_nothing_of_the_bottom(tmp_path, device, pool):
    (tmp_path / "net.prototxt").write_text(INPUT.replace("dim: 40 dim: 50", "dim: 1 dim: 1") + f"""
layer {{ name: "p" type: "Pooling" bottom: "data" top: "p" pooling_param {{ {pool} }} }}
layer {{ name: "c" type: "Convolution" bottom: "p" top: "c" convolution_param {{ num_output: 2 kernel_size: 1 pad: 4
  weight_filler {{ type: "msra" }} bias_filler {{ type: "constant" value: 2 }} }} }}
layer {{ name: "k" type: "Crop" bottom: "c" bottom: "data" top: "k" crop_param {{ axis: 2 }} }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    image(net, 1, 1)
    same(*both(net, "k"))
    assert (net.blobs["k"].data == 2).all() and not net._plan._rest


@pytest.mark.parametrize("pool", [1, 2])
@pytest.mark.parametrize("sides", [(1, 2), (1, 1), (2, 5), (4, 3)])
def test_windows_over_the_end_of_a_small_plane(tmp_path, device, sides, pool):
    (tmp_path / "net.prototxt").write_text(INPUT.replace("dim: 40 dim: 50", "dim: {} dim: {}".format(*sides)) + f"""
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {{ num_output: 2 kernel_size: 1 pad: 1
  stride: 2 weight_filler {{ type: "msra" }} bias_filler {{ type: "constant" value: 2 }} }} }}
layer {{ name: "p" type: "Pooling" bottom: "c" top: "p" pooling_param {{ pool: MAX kernel_size: 2 stride: {pool}
  pad: 1 }} }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    image(net, *sides)
    assert alike(*both(net, "p")) and not net._plan._rest


@pytest.mark.parametrize("in_place", [False, True])
def test_channels_are_weighed_by_a_second_bottom(tmp_path, device, in_place):
    (tmp_path / "net.prototxt").write_text(INPUT + f"""
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {{ num_output: 5 kernel_size: 3
  weight_filler {{ type: "msra" }} }} }}
layer {{ name: "w" type: "InnerProduct" bottom: "data" top: "w" inner_product_param {{ num_output: 5
  weight_filler {{ type: "xavier" }} }} }}
layer {{ name: "s" type: "Scale" bottom: "c" bottom: "w" top: "{'c' if in_place else 's'}" scale_param {{ axis: 0 }} }}
layer {{ name: "r" type: "ReLU" bottom: "{'c' if in_place else 's'}" top: "r" }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].reshape(2, 3, 40, 50)
    net.blobs["data"].data[...] = np.random.RandomState(3).randn(2, 3, 40, 50)
    assert alike(*both(net, "r")) and not net._plan._rest
    assert "Weigh" in [type(step).__name__ for step in net._plan._compiled._fuser.all_steps()]


@pytest.mark.parametrize("sides", [(4, 1), (7, 5), (12, 40)])
@pytest.mark.parametrize("strides", ["stride_h: 2 stride_w: 3", "stride_h: 3 stride_w: 2"])
def test_strides_of_rows_and_columns_may_differ(tmp_path, device, sides, strides):
    (tmp_path / "net.prototxt").write_text(INPUT.replace("dim: 3 dim: 40 dim: 50", "dim: 1 dim: {} dim: {}".format(
        *sides)) + f"""
layer {{ name: "a" type: "Convolution" bottom: "data" top: "a" convolution_param {{ num_output: 1 kernel_size: 1 pad: 30
  weight_filler {{ type: "msra" }} bias_filler {{ type: "constant" value: 2 }} }} }}
layer {{ name: "b" type: "Convolution" bottom: "a" top: "b" convolution_param {{ num_output: 2 kernel_size: 1 pad_h: 1
  pad_w: 0 {strides} weight_filler {{ type: "msra" }} bias_filler {{ type: "constant" value: 1 }} }} }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].data[...] = np.random.RandomState(3).randn(1, 1, *sides)
    assert alike(*both(net, "b"))


@pytest.mark.parametrize("layer", ["Scale", "Bias"])
def test_a_layer_in_place_whose_second_bottom_is_its_own_memory(tmp_path, device, layer):
    (tmp_path / "net.prototxt").write_text(INPUT.replace("dim: 40 dim: 50", "dim: 3 dim: 2") + f"""
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {{ num_output: 1 kernel_size: 1 pad: 1
  weight_filler {{ type: "msra" }} }} }}
layer {{ name: "j" type: "Concat" bottom: "c" top: "j" }}
layer {{ name: "s" type: "{layer}" bottom: "j" bottom: "c" top: "j" {layer.lower()}_param {{ axis: 0 }} }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    image(net, 3, 2)
    assert alike(*both(net, "j"))


@pytest.mark.parametrize(("sides", "slides"), [
    ((4, 2), "kernel_h: 3 kernel_w: 4 stride_h: 1 stride_w: 2 pad_h: 0 pad_w: 1"),
    ((7, 6), "kernel_size: 4 stride_h: 1 stride_w: 3 pad_h: 1 pad_w: 0"),
    ((400, 5), "kernel_h: 5 kernel_w: 5 stride_h: 1 stride_w: 2")])
def test_a_single_channel_whose_top_is_one_place_wide(tmp_path, device, sides, slides):
    (tmp_path / "net.prototxt").write_text(INPUT.replace("dim: 3 dim: 40 dim: 50", "dim: 1 dim: {} dim: {}".format(
        *sides)) + f"""
layer {{ name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param {{ num_output: 16 {slides}
  weight_filler {{ type: "msra" }} }} }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.blobs["data"].data[...] = np.random.RandomState(3).randn(1, 1, *sides)
    assert alike(*both(net, "c"))


def test_a_value_that_sees_no_image_at_all(tmp_path, device):
    (tmp_path / "net.prototxt").write_text(INPUT.replace("dim: 3 dim: 40 dim: 50", "dim: 1 dim: 11 dim: 1") + """
layer { name: "c" type: "Convolution" bottom: "data" top: "c" convolution_param { num_output: 1 kernel_size: 1 pad: 1
  stride: 3 weight_filler { type: "msra" } bias_filler { type: "constant" value: 2 } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
layer { name: "b" type: "BatchNorm" bottom: "c" top: "b" }
layer { name: "more" type: "Input" top: "more" input_param { shape { dim: 1 dim: 1 dim: 5 dim: 1 } } }
layer { name: "e" type: "Eltwise" bottom: "b" bottom: "more" top: "e" }
layer { name: "s" type: "Silence" bottom: "b" }""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.params["b"][1].data[...] = net.params["b"][2].data[...] = 1
    net.blobs["data"].data[...] = net.blobs["more"].data[...] = 1
    assert alike(*both(net, "e"))
    assert alike(*both(net, "b")) and not net._plan._rest
