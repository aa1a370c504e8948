"""The good files that are damaged: `python -m tests.fuzz.seeds` writes them into the present folder.

Out:  KIND-NUMBER, one or more of each kind that the engine reads, and what these want beside them.
Not here: damage (mutate), what reads them (targets).
"""

from __future__ import annotations

import io
import os
import tempfile
from pathlib import Path

import h5py
import numpy as np
from PIL import Image

import caffe
from caffe.proto import caffe_pb2

SMALL = """name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 2 dim: 3 dim: 6 dim: 6 } shape { dim: 2 } data_filler { type: "gaussian" std: 1 }
  data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 } param { lr_mult: 2 }
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip" inner_product_param { num_output: 3
  weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""
FCN = """name: "fcn" input: "data" input_shape { dim: 1 dim: 3 dim: 12 dim: 10 }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1" convolution_param {
  num_output: 4 pad: 10 kernel_size: 3 group: 1 stride: 1 dilation: 1 weight_filler { type: "msra" } engine: CAFFE } }
layer { name: "bn" type: "BatchNorm" bottom: "conv1" top: "conv1" }
layer { name: "scale" type: "Scale" bottom: "conv1" top: "conv1" scale_param { axis: 1 bias_term: true } }
layer { name: "prelu" type: "PReLU" bottom: "conv1" top: "conv1" }
layer { name: "lrn" type: "LRN" bottom: "conv1" top: "lrn" lrn_param { local_size: 3 alpha: 0.1 norm_region: 0 } }
layer { name: "pool1" type: "Pooling" bottom: "lrn" top: "pool1" pooling_param {
  pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "pool2" type: "Pooling" bottom: "pool1" top: "pool2" pooling_param {
  pool: AVE kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 2 pad_h: 1 pad_w: 1 } }
layer { name: "fc6" type: "Convolution" bottom: "pool1" top: "fc6" convolution_param { num_output: 6 kernel_size: 5 } }
layer { name: "drop" type: "Dropout" bottom: "fc6" top: "fc6" dropout_param { dropout_ratio: 0.5 } }
layer { name: "up" type: "Deconvolution" bottom: "fc6" top: "up" param { lr_mult: 0 } convolution_param {
  num_output: 6 group: 6 bias_term: false kernel_size: 4 stride: 2 weight_filler { type: "bilinear" } } }
layer { name: "score" type: "Crop" bottom: "up" bottom: "data" top: "score" crop_param { axis: 2 offset: 1 } }
layer { name: "argmax" type: "ArgMax" bottom: "score" top: "best" argmax_param { axis: 1 top_k: 2 } }
layer { name: "silence" type: "Silence" bottom: "pool2" }
"""
SHAPES = """layer { name: "in" type: "Input" top: "a" top: "b" input_param {
  shape { dim: 4 dim: 6 } shape { dim: 4 dim: 6 } } }
layer { name: "p" type: "Parameter" top: "p" parameter_param { shape { dim: 4 dim: 6 } } param { name: "w" } }
layer { name: "sum" type: "Eltwise" bottom: "a" bottom: "b" bottom: "p" top: "sum" eltwise_param {
  operation: SUM coeff: 1 coeff: -1 coeff: 2 } }
layer { name: "slice" type: "Slice" bottom: "sum" top: "s1" top: "s2" top: "s3" slice_param {
  axis: 1 slice_point: 1 slice_point: 4 } }
layer { name: "concat" type: "Concat" bottom: "s3" bottom: "s2" bottom: "s1" top: "concat" concat_param { axis: 1 } }
layer { name: "reshape" type: "Reshape" bottom: "concat" top: "reshape" reshape_param { shape {
  dim: 0 dim: 1 dim: -1 dim: 2 } axis: 0 num_axes: -1 } }
layer { name: "tile" type: "Tile" bottom: "reshape" top: "tile" tile_param { axis: 2 tiles: 3 } }
layer { name: "mvn" type: "MVN" bottom: "tile" top: "mvn" mvn_param { eps: 1e-9 across_channels: true } }
layer { name: "im2col" type: "Im2col" bottom: "mvn" top: "im2col" convolution_param { kernel_h: 2 kernel_w: 1 pad_h: 1
  pad_w: 0 } }
layer { name: "spp" type: "SPP" bottom: "mvn" top: "spp" spp_param { pyramid_height: 2 pool: MAX } }
layer { name: "flat" type: "Flatten" bottom: "im2col" top: "flat" flatten_param { axis: 1 end_axis: -1 } }
layer { name: "red" type: "Reduction" bottom: "flat" top: "red" reduction_param { operation: SUMSQ axis: 1 coeff: 2 }
  loss_weight: 1 }
layer { name: "power" type: "Power" bottom: "spp" top: "power" power_param { power: 2 scale: 3 shift: 1 } }
layer { name: "zero" type: "DummyData" top: "zero" dummy_data_param { shape { dim: 3 } } }
layer { name: "embed" type: "Embed" bottom: "zero" top: "embed" embed_param { num_output: 2 input_dim: 5 } }
"""
RECURRENT = """state { phase: TEST level: 1 stage: "deploy" }
layer { name: "x" type: "DummyData" top: "x" top: "cont" dummy_data_param {
  data_filler { type: "uniform" min: -1 max: 1 }
  data_filler { type: "constant" value: 1 } num: 3 num: 3 channels: 2 channels: 2 height: 4 height: 1 width: 1
  width: 1 } }
layer { name: "cont2" type: "Reshape" bottom: "cont" top: "cont2" reshape_param { shape { dim: 3 dim: 2 } }
  include { min_level: 0 not_stage: "train" } }
layer { name: "lstm" type: "LSTM" bottom: "x" bottom: "cont2" top: "lstm" recurrent_param { num_output: 3
  weight_filler { type: "uniform" min: -0.1 max: 0.1 } debug_info: false } exclude { stage: "train" } }
layer { name: "acc" type: "Reduction" bottom: "lstm" top: "acc" reduction_param { axis: 0 } }
"""
LOSSES = """layer { name: "in" type: "DummyData" top: "x" top: "y" top: "label" top: "same" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 3 } shape { dim: 4 } shape { dim: 4 dim: 1 }
  data_filler { type: "uniform" min: 0.1 max: 1 } data_filler { type: "uniform" min: 0 max: 1 }
  data_filler { type: "constant" value: 2 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 axis: 1
  transpose: true weight_filler { type: "positive_unitball" } bias_filler { type: "constant" value: 0.5 } } }
layer { name: "l1" type: "SigmoidCrossEntropyLoss" bottom: "ip" bottom: "y" top: "l1" loss_weight: 2 loss_param {
  ignore_label: 1 normalization: VALID } }
layer { name: "l2" type: "HingeLoss" bottom: "ip" bottom: "label" top: "l2" hinge_loss_param { norm: L2 } }
layer { name: "l3" type: "ContrastiveLoss" bottom: "ip" bottom: "y" bottom: "same" top: "l3" contrastive_loss_param {
  margin: 2 legacy_version: false } }
layer { name: "l4" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "l4" top: "prob"
  softmax_param { axis: 1 } }
layer { name: "l5" type: "MultinomialLogisticLoss" bottom: "x" bottom: "label" top: "l5" }
layer { name: "l6" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "l6" }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" top: "each" accuracy_param {
  top_k: 2 axis: 1 ignore_label: 0 } }
"""
NEURONS = """layer { name: "in" type: "Input" top: "x" top: "index" input_param { shape { dim: 3 dim: 2 dim: 4 dim: 4 }
  shape { dim: 3 } } }
layer { name: "exp" type: "Exp" bottom: "x" top: "exp" exp_param { base: 2 scale: 0.5 shift: 1 } }
layer { name: "log" type: "Log" bottom: "exp" top: "log" log_param { base: 10 scale: 1 shift: 0.5 } }
layer { name: "abs" type: "AbsVal" bottom: "log" top: "abs" }
layer { name: "bnll" type: "BNLL" bottom: "abs" top: "bnll" }
layer { name: "elu" type: "ELU" bottom: "bnll" top: "elu" elu_param { alpha: 0.5 } }
layer { name: "sigmoid" type: "Sigmoid" bottom: "elu" top: "sigmoid" }
layer { name: "tanh" type: "TanH" bottom: "sigmoid" top: "tanh" }
layer { name: "clip" type: "Clip" bottom: "tanh" top: "clip" clip_param { min: -0.5 max: 0.5 } }
layer { name: "swish" type: "Swish" bottom: "clip" top: "swish" swish_param { beta: 1.5 } }
layer { name: "bias" type: "Bias" bottom: "swish" top: "bias" bias_param { axis: 1 num_axes: 2 filler { value: 1 } } }
layer { name: "threshold" type: "Threshold" bottom: "bias" top: "threshold" threshold_param { threshold: 0.5 } }
layer { name: "filter" type: "Filter" bottom: "bias" bottom: "index" top: "filter" }
layer { name: "reindex" type: "BatchReindex" bottom: "bias" bottom: "index" top: "reindex" }
layer { name: "softmax" type: "Softmax" bottom: "reindex" top: "softmax" softmax_param { axis: -1 } }
layer { name: "stochastic" type: "Pooling" bottom: "softmax" top: "stochastic" pooling_param { pool: STOCHASTIC
  kernel_size: 2 stride: 2 } }
layer { name: "cont" type: "DummyData" top: "cont" dummy_data_param { shape { dim: 3 dim: 2 } } }
layer { name: "rnn" type: "RNN" bottom: "reindex" bottom: "cont" top: "rnn" recurrent_param { num_output: 2
  weight_filler { type: "xavier" variance_norm: AVERAGE } } }
"""
V1 = """name: "v1" force_backward: true input: "data" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 5
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2 weight_decay: 1
  weight_decay: 0 convolution_param { num_output: 3 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "ip" type: INNER_PRODUCT bottom: "conv" top: "ip" param: "shared" inner_product_param { num_output: 2 } }
layers { name: "prob" type: SOFTMAX bottom: "ip" top: "prob" }
"""
V0 = """name: "v0" input: "data" input_dim: 1 input_dim: 2 input_dim: 5 input_dim: 5
layers { layer { name: "pad" type: "padding" pad: 1 } bottom: "data" top: "pad" }
layers { layer { name: "conv" type: "conv" num_output: 3 kernelsize: 3 stride: 1 weight_filler { type: "xavier" }
  blobs_lr: 1. blobs_lr: 2. } bottom: "pad" top: "conv" }
layers { layer { name: "relu" type: "relu" } bottom: "conv" top: "conv" }
layers { layer { name: "pool" type: "pool" pool: MAX kernelsize: 2 stride: 2 } bottom: "conv" top: "pool" }
"""
SOLVER = """net: "net.prototxt" test_iter: 1 test_interval: 2 base_lr: 0.01 momentum: 0.9 weight_decay: 0.0005
lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 4 display: 1 max_iter: 4 snapshot: 4 snapshot_prefix: "snap"
type: "SGD" random_seed: 1 iter_size: 1 average_loss: 2 clip_gradients: 10 regularization_type: "L2" debug_info: false
"""
ADAM = """train_net_param { name: "inner" layer { name: "d" type: "DummyData" top: "d" dummy_data_param {
  shape { dim: 2 dim: 2 } } } layer { name: "ip" type: "InnerProduct" bottom: "d" top: "ip" inner_product_param {
  num_output: 2 } } layer { name: "l" type: "EuclideanLoss" bottom: "ip" bottom: "d" top: "l" } }
base_lr: 0.001 lr_policy: "poly" power: 0.9 solver_type: ADAM momentum: 0.9 momentum2: 0.999 delta: 1e-8 max_iter: 3
"""


def build() -> dict[str, list[bytes]]:
    """Make all good files; net.prototxt and solver.prototxt are written, too."""
    solver_files = _solver_files()
    nets = [text.encode() for text in (SMALL, FCN, SHAPES, RECURRENT, LOSSES, NEURONS, V1, V0)]
    return {
        "net": nets,
        "solver": [SOLVER.encode(), ADAM.encode()],
        "caffemodel": [solver_files[".caffemodel"], _old_model()],
        "solverstate": [solver_files[".solverstate"]],
        "caffemodel.h5": [solver_files[".caffemodel.h5"]],
        "solverstate.h5": [solver_files[".solverstate.h5"]],
        "binaryproto": [caffe.io.array_to_blobproto(np.eye(3)[np.newaxis]).SerializeToString(), _old_mean()],
        "datum": _datums(),
        "hdf5 list": [b"rows.h5\n", b"rows.h5\nrows.h5\n./rows.h5"],
        "hdf5 data": [_hdf5(chunked) for chunked in (False, True)],
        "image": _images(),
    }


def _solver_files() -> dict[str, bytes]:
    Path("net.prototxt").write_text(SMALL)
    found = {}
    for suffix, more in (("", ""), (".h5", "snapshot_format: HDF5")):
        Path("solver.prototxt").write_text(f"{SOLVER} {more}")
        solver = caffe.SGDSolver("solver.prototxt")
        solver.step(3)
        solver.snapshot()
        for kind in (".caffemodel", ".solverstate"):
            found[kind + suffix] = Path(f"snap_iter_3{kind}{suffix}").read_bytes()
    return found


def _old_model() -> bytes:
    """A caffemodel of V1, with legacy shapes and numbers that are not packed."""
    net = caffe_pb2.NetParameter(name="small")
    layer = net.layers.add(name="ip", type=caffe_pb2.V1LayerParameter.INNER_PRODUCT)
    for shape in ((1, 1, 3, 144), (1, 1, 1, 3)):
        blob = layer.blobs.add(num=shape[0], channels=shape[1], height=shape[2], width=shape[3])
        blob.data.extend(np.arange(np.prod(shape)))
    return net.SerializeToString()


def _old_mean() -> bytes:
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=3, width=3)
    blob.double_data.extend(range(9))
    return blob.SerializeToString()


def _datums() -> list[bytes]:
    """Raw, of floats, and encoded."""
    rng, datums = np.random.default_rng(1), []
    pixels = rng.integers(0, 256, (3, 8, 7), np.uint8)
    datums.append(caffe.io.array_to_datum(pixels, 2))
    datums.append(caffe.io.array_to_datum(pixels / 255, 1))
    datums += [caffe_pb2.Datum(data=image, encoded=True, label=1) for image in _images()[:2]]
    return [datum.SerializeToString() for datum in datums]


def _images() -> list[bytes]:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 8, 3), np.uint8)
    images, rgb = [], Image.fromarray(pixels)
    for kind, image in (("png", rgb), ("jpeg", rgb), ("png", rgb.convert("P")), ("gif", rgb.convert("P")),
                        ("bmp", rgb), ("tiff", rgb), ("ppm", rgb), ("webp", rgb),
                        ("png", rgb.convert("LA")), ("jpeg", rgb.convert("CMYK"))):
        stream = io.BytesIO()
        image.save(stream, kind)
        images.append(stream.getvalue())
    return images


def _hdf5(chunked: bool) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=".h5") as file:
        with h5py.File(file.name, "w") as out:
            more = {"compression": "gzip", "chunks": (2, 3)} if chunked else {}
            out.create_dataset("data", data=np.arange(12, dtype=np.float32).reshape(4, 3), **more)
            out.create_dataset("label", data=np.arange(4, dtype=np.int32))
        return Path(os.fspath(file.name)).read_bytes()


if __name__ == "__main__":
    for kind, files in build().items():
        for number, data in enumerate(files):
            Path(f"{kind}-{number}").write_bytes(data)
    Path("rows.h5").write_bytes(_hdf5(False))
