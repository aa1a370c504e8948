"""Record files as genuine Caffe writes them: `python -m tests.reference.record_files`.

In:   the nets and solvers below, built and saved in genuine Caffe (.venv-bvlc).
Out:  tests/reference/files.npz: the bytes of each .caffemodel and .solverstate.
Not here: the comparison (tests/caffe/test_caffemodel.py, test_upgrade_proto.py, ...).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc

RECORDED = Path(__file__).with_name("files.npz")
TRAIN, TEST = 0, 1

_SMALL = """
name: "small"
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 2 dim: 3 dim: 6 dim: 5 } shape { dim: 2 }
    data_filler { type: "uniform" } data_filler { type: "constant" value: 1 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv" param { lr_mult: 1 decay_mult: 0.1 }
  param { name: "shared" lr_mult: 2 } propagate_down: false
  convolution_param { num_output: 4 kernel_size: 3 pad: 1 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "conv" top: "conv" relu_param { negative_slope: 0.1 } }
layer { name: "drop" type: "Dropout" bottom: "conv" top: "drop" dropout_param { dropout_ratio: 0.25 } }
layer { name: "sum" type: "Eltwise" bottom: "conv" bottom: "drop" top: "sum"
  eltwise_param { coeff: 0.3 coeff: -1e-10 } }
layer { name: "ip" type: "InnerProduct" bottom: "sum" top: "ip" include { phase: TRAIN }
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "ip_test" type: "InnerProduct" bottom: "sum" top: "ip" include { phase: TEST }
  inner_product_param { num_output: 5 bias_term: false } }
layer { name: "scale" type: "Scale" bottom: "ip" top: "scale" scale_param { axis: 0 num_axes: 0 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "scale" bottom: "label" top: "loss"
  loss_param { ignore_label: 255 normalize: false } }
layer { name: "accuracy" type: "Accuracy" bottom: "scale" bottom: "label" top: "accuracy"
  exclude { phase: TRAIN } }
"""

_RULES = """
state { stage: "given" }
layer { name: "in" type: "Input" top: "a" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "r1" type: "Power" bottom: "a" top: "r1" include { stage: "given" stage: "asked" } }
layer { name: "r2" type: "Power" bottom: "a" top: "r2" include { stage: "given" not_stage: "asked" } }
layer { name: "r3" type: "Power" bottom: "a" top: "r3" include { min_level: 2 max_level: 3 } }
layer { name: "r4" type: "Power" bottom: "a" top: "r4" include { min_level: 3 } include { phase: TEST } }
layer { name: "r5" type: "Power" bottom: "a" top: "r5" include { max_level: 1 } }
layer { name: "r6" type: "Power" bottom: "a" top: "r6" exclude { phase: TRAIN } exclude { max_level: 1 } }
layer { name: "r7" type: "Power" bottom: "a" top: "r7" exclude { not_stage: "other" } }
layer { name: "r8" type: "Power" bottom: "a" top: "r8" include { } }
layer { name: "r9" type: "Power" bottom: "a" top: "r9" exclude { } }
"""

_SPLITS = """
force_backward: true
debug_info: false
layer { name: "in" type: "Input" top: "a" top: "b"
  input_param { shape { dim: 2 dim: 2 } shape { dim: 2 dim: 2 } } }
layer { name: "p/1" type: "Power" bottom: "a" top: "p" power_param { scale: 0.5 } loss_weight: 0.7 }
layer { name: "s" type: "Sigmoid" bottom: "p" top: "s" }
layer { name: "t" type: "TanH" bottom: "s" top: "s" }
layer { name: "u" type: "Slice" bottom: "s" top: "u0" top: "u1" loss_weight: 0 loss_weight: 0.1 }
layer { name: "l1" type: "EuclideanLoss" bottom: "s" bottom: "p" top: "l1" loss_weight: 2 }
layer { name: "l2" type: "EuclideanLoss" bottom: "u1" bottom: "u1" top: "l2" }
layer { name: "end" type: "Silence" bottom: "u0" bottom: "b" }
"""

_V1 = """
name: "v1"
input: "data" input: "label" input_dim: 2 input_dim: 3 input_dim: 4 input_dim: 4
input_dim: 2 input_dim: 1 input_dim: 1 input_dim: 1
layers { name: "conv" type: CONVOLUTION bottom: "data" top: "conv" blobs_lr: 1 blobs_lr: 2
  weight_decay: 1 weight_decay: 0 convolution_param { num_output: 2 kernel_size: 3 } }
layers { name: "relu" type: RELU bottom: "conv" top: "conv" }
layers { name: "pool" type: POOLING bottom: "conv" top: "pool"
  pooling_param { pool: AVE kernel_size: 2 } include { phase: TRAIN not_stage: "x" } }
layers { name: "lrn" type: LRN bottom: "pool" top: "lrn" lrn_param { local_size: 3 norm_region: WITHIN_CHANNEL } }
layers { name: "ip1" type: INNER_PRODUCT bottom: "lrn" top: "ip1" param: "w" param: "b"
  blob_share_mode: PERMISSIVE blob_share_mode: STRICT inner_product_param { num_output: 2 } }
layers { name: "ip2" type: INNER_PRODUCT bottom: "lrn" top: "ip2" param: "w" param: "b"
  blob_share_mode: PERMISSIVE inner_product_param { num_output: 2 } }
layers { name: "tanh" type: TANH bottom: "ip1" top: "tanh" }
layers { name: "abs" type: ABSVAL bottom: "tanh" top: "abs" exclude { phase: TEST } }
layers { name: "bnll" type: BNLL bottom: "abs" top: "bnll" }
layers { name: "exp" type: EXP bottom: "bnll" top: "exp" exp_param { base: 2 } }
layers { name: "mvn" type: MVN bottom: "exp" top: "mvn" }
layers { name: "dummy" type: DUMMY_DATA top: "dummy" dummy_data_param { num: 2 channels: 2 height: 1 width: 1 } }
layers { name: "loss" type: SOFTMAX_LOSS bottom: "ip2" bottom: "label" top: "loss" loss_weight: 0.5 }
layers { name: "euclid" type: EUCLIDEAN_LOSS bottom: "mvn" bottom: "dummy" top: "euclid" }
layers { name: "top" type: ARGMAX bottom: "mvn" top: "top" argmax_param { top_k: 2 } }
layers { name: "silence" type: SILENCE bottom: "top" }
"""

_V1_DATA = """
layers { name: "images" type: IMAGE_DATA top: "data" top: "label"
  image_data_param { source: "list.txt" batch_size: 2 scale: 0.5 crop_size: 3 mirror: true } }
layers { name: "conv" type: DECONVOLUTION bottom: "data" top: "up"
  convolution_param { num_output: 1 kernel_size: 2 stride: 2 } }
"""

_V0 = """
name: "v0"
input: "data"
input_dim: 1 input_dim: 2 input_dim: 8 input_dim: 8
force_backward: true
layers { layer { name: "pad1" type: "padding" pad: 2 } bottom: "data" top: "pad1" }
layers { layer { name: "conv1" type: "conv" num_output: 4 kernelsize: 5 group: 2 stride: 2 biasterm: false
  weight_filler { type: "gaussian" std: 0.01 } blobs_lr: 1. weight_decay: 0.5 } bottom: "pad1" top: "conv1" }
layers { layer { name: "relu1" type: "relu" } bottom: "conv1" top: "conv1" }
layers { layer { name: "pad2" type: "padding" pad: 1 } bottom: "conv1" top: "pad2" }
layers { layer { name: "pool1" type: "pool" pool: MAX kernelsize: 3 stride: 2 } bottom: "pad2" top: "pool1" }
layers { layer { name: "norm1" type: "lrn" local_size: 3 alpha: 0.0001 beta: 0.75 k: 2 }
  bottom: "pool1" top: "norm1" }
layers { layer { name: "conv2" type: "conv" num_output: 2 kernelsize: 1 pad: 1
  bias_filler { type: "constant" value: 1. } blobs_lr: 1. blobs_lr: 2. weight_decay: 1. weight_decay: 0. }
  bottom: "norm1" top: "conv2" }
layers { layer { name: "cat" type: "concat" concat_dim: 1 } bottom: "conv2" bottom: "conv2" top: "cat" }
layers { layer { name: "fc" type: "innerproduct" num_output: 3
  weight_filler { type: "gaussian" std: 0.005 } bias_filler { type: "constant" } kernelsize: 9 }
  bottom: "cat" top: "fc" }
layers { layer { name: "drop" type: "dropout" dropout_ratio: 0.4 } bottom: "fc" top: "fc" }
layers { layer { name: "prob" type: "softmax" } bottom: "fc" top: "prob" }
"""

_INPUTS = """
input: "x" input_shape { dim: 1 dim: 2 dim: 3 } input: "y" input_shape { dim: 4 }
layer { name: "sum" type: "Reduction" bottom: "x" top: "s" }
layer { name: "bn" type: "BatchNorm" bottom: "x" top: "bn" param { lr_mult: 1 } param { decay_mult: 2 name: "m" }
  param { } }
"""

# name -> text, phase, level, stages
NETS = {
    "small_train": (_SMALL, TRAIN, 0, []),
    "small_test": (_SMALL, TEST, 0, []),
    "rules_1": (_RULES, TRAIN, 0, []),
    "rules_2": (_RULES, TEST, 2, ["asked"]),
    "rules_3": (_RULES, TRAIN, 4, ["other"]),
    "splits": (_SPLITS, TRAIN, 0, []),
    "v1": (_V1, TRAIN, 0, []),
    "v1_data": (_V1_DATA, TEST, 0, []),
    "v0": (_V0, TEST, 0, []),
    "inputs": (_INPUTS, TEST, 0, []),
}

_SOLVED = """
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 2 dim: 3 } shape { dim: 2 dim: 2 } data_filler { type: "uniform" } data_filler { type: "uniform" } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 weight_filler { type: "uniform" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "y" top: "loss" }
"""

SOLVERS = {  # file name of the solver -> text; each takes two steps, then a snapshot
    "sgd": 'snapshot_prefix: "sgd" momentum: 0.9 lr_policy: "fixed"',
    "steps": 'momentum: 0.5 lr_policy: "multistep" gamma: 0.5 stepvalue: 1 snapshot_diff: true',
    "adam": 'snapshot_prefix: "folder" type: "Adam" momentum: 0.9 lr_policy: "fixed"',
}

SCRIPT = """
import os
from PIL import Image
Image.fromarray(np.arange(75, dtype=np.uint8).reshape(5, 5, 3)).save("image.png")
open("list.txt", "w").write("image.png 3\\n" * 2)
def saved(path):
    return np.frombuffer(open(path, "rb").read(), np.uint8)
for name, (text, phase, level, stages) in NETS.items():
    caffe.set_random_seed(7)
    open("net.prototxt", "w").write(text)
    caffe.Net("net.prototxt", phase, level=level, stages=stages).save("net.caffemodel")
    out[name] = saved("net.caffemodel")
os.mkdir("folder")
open("solved.prototxt", "w").write(SOLVED)
for name, text in SOLVERS.items():
    open(name + ".prototxt", "w").write('net: "solved.prototxt" base_lr: 0.1 max_iter: 9 '
                                        "random_seed: 5 solver_mode: CPU " + text)
    solver = caffe.get_solver(name + ".prototxt")
    solver.step(2)
    solver.snapshot()
    path = "folder/adam" if name == "adam" else name
    out["solver_" + name] = saved(path + "_iter_2.caffemodel")
    out["state_" + name] = saved(path + "_iter_2.solverstate")
"""


def ask_oracle() -> dict[str, np.ndarray]:
    """Have genuine Caffe write every file; skips where it is not installed."""
    return run_bvlc(f"NETS = {NETS!r}\nSOLVED = {_SOLVED!r}\nSOLVERS = {SOLVERS!r}\n{SCRIPT}")


def load() -> dict[str, np.ndarray]:
    """The recorded files, each as uint8 bytes."""
    with np.load(RECORDED) as recorded:
        return dict(recorded)


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **ask_oracle())
    print(f"{RECORDED}: {RECORDED.stat().st_size} bytes")
