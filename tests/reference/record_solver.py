"""Record genuine Caffe's training of a small FCN: `python -m tests.reference.record_solver`.

In:   CASES, run by `train`, a function that knows only public caffe: the same text in both engines.
Out:  tests/reference/solver.npz: losses, last weights and updates, log lines; update_rules.npz: the same
      of the six rules, losses only, and weights after updates from given diffs.
Not here: the comparison (tests/caffe/test_sgd_solver.py, test_solver.py).
"""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc

RECORDED = Path(__file__).with_name("solver.npz")
RECORDED_RULES = Path(__file__).with_name("update_rules.npz")

FCN = """
name: "small-fcn"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 1 dim: 3 dim: 12 dim: 10 } shape { dim: 1 dim: 1 dim: 12 dim: 10 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" min: 0 max: 3.99 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 5 kernel_size: 3 pad: 4 weight_filler { type: "gaussian" std: 0.2 } } }
layer { name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: MAX kernel_size: 2 stride: 2 } }
layer { name: "fc2" type: "Convolution" bottom: "pool1" top: "fc2"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 6 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu2" type: "ReLU" bottom: "fc2" top: "fc2" }
layer { name: "drop2" type: "Dropout" bottom: "fc2" top: "fc2" }
layer { name: "score" type: "Convolution" bottom: "fc2" top: "score"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 1 weight_filler { type: "msra" } } }
layer { name: "up" type: "Deconvolution" bottom: "score" top: "up" param { lr_mult: 0 }
  convolution_param { num_output: 4 group: 4 kernel_size: 4 stride: 2 bias_term: false
    weight_filler { type: "bilinear" } } }
layer { name: "crop" type: "Crop" bottom: "up" bottom: "data" top: "crop" crop_param { axis: 2 offset: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "crop" bottom: "label" top: "loss" loss_weight: 1
  loss_param { normalize: false } }
"""

SHARED = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 5 } shape { dim: 4 dim: 5 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" } } }
layer { name: "a" type: "InnerProduct" bottom: "data" top: "a" param { name: "w" lr_mult: 0.5 }
  inner_product_param { num_output: 5 bias_term: false weight_filler { type: "xavier" } } }
layer { name: "b" type: "InnerProduct" bottom: "a" top: "b" param { name: "w" } param { lr_mult: 3 }
  inner_product_param { num_output: 5 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "b" bottom: "label" top: "loss" loss_weight: 0.1 }
"""

TINY = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 1 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "constant" value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" loss_weight: 2 }
layer { name: "acc" type: "Accuracy" bottom: "ip" bottom: "label" top: "acc" include { phase: TEST } }
"""
TINY_SOLVER = """
net: "net.prototxt" test_iter: 2 test_interval: 2 base_lr: 0.1 momentum: 0.9 weight_decay: 0.01
lr_policy: "multistep" gamma: 0.5 stepvalue: 1 stepvalue: 3 max_iter: 4 display: 2 snapshot: 2
snapshot_prefix: "snap" random_seed: 3 debug_info: true average_loss: 2 clip_gradients: 0.5
test_compute_loss: true
"""

# name -> (net, solver text, iterations)
CASES = {
    "fcn": (FCN, 'base_lr: 1e-4 lr_policy: "step" gamma: 0.3 stepsize: 7 momentum: 0.9 '
                 'weight_decay: 0.0005 random_seed: 5', 20),
    "fixed": (FCN, 'base_lr: 1e-4 lr_policy: "fixed" momentum: 0.99 weight_decay: 0.0005 '
                   'random_seed: 6', 10),
    "no_momentum": (FCN, 'base_lr: 1e-3 lr_policy: "poly" power: 1 max_iter: 12 random_seed: 7', 10),
    "l1": (FCN, 'base_lr: 1e-4 lr_policy: "exp" gamma: 0.9 momentum: 0.9 weight_decay: 20 '
                'regularization_type: "L1" random_seed: 8', 10),
    "clip": (FCN, 'base_lr: 1e-2 lr_policy: "inv" gamma: 0.1 power: 0.75 momentum: 0.9 '
                  'weight_decay: 0.01 clip_gradients: 30 random_seed: 9', 10),
    "iter_size": (FCN, 'base_lr: 1e-3 lr_policy: "multistep" gamma: 0.1 stepvalue: 2 stepvalue: 4 '
                       'momentum: 0.9 weight_decay: 0.01 iter_size: 3 clip_gradients: 100 '
                       'random_seed: 10', 6),
    "sigmoid": (FCN, 'base_lr: 1e-3 lr_policy: "sigmoid" gamma: 0.5 stepsize: 5 momentum: 0.9 '
                     'random_seed: 11', 10),
    "shared": (SHARED, 'base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.1 '
                       'random_seed: 12', 10),
}


SMOOTH = """
layer { name: "data" type: "DummyData" top: "data" top: "label" dummy_data_param {
  shape { dim: 2 dim: 2 dim: 8 dim: 8 } shape { dim: 2 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "uniform" min: 0 max: 2.99 } } }
layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 2 decay_mult: 0 }
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "tanh1" type: "TanH" bottom: "conv1" top: "conv1" }
layer { name: "pool1" type: "Pooling" bottom: "conv1" top: "pool1"
  pooling_param { pool: AVE kernel_size: 2 stride: 2 } }
layer { name: "drop1" type: "Dropout" bottom: "pool1" top: "pool1" dropout_param { dropout_ratio: 0.3 } }
layer { name: "ip2" type: "InnerProduct" bottom: "pool1" top: "ip2" param { lr_mult: 1 } param { lr_mult: 0 }
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } bias_filler { value: 0.1 } } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip2" bottom: "label" top: "loss" }
"""

RULES = {  # name -> what the rule needs besides a policy, and a rate for the FCN
    "SGD": ("momentum: 0.9", 1e-4), "Nesterov": ("momentum: 0.9", 1e-4), "AdaGrad": ("delta: 1e-7", 1e-3),
    "RMSProp": ("rms_decay: 0.95 delta: 1e-4", 1e-3), "AdaDelta": ("momentum: 0.95 delta: 1e-6", 1),
    "Adam": ("momentum: 0.9 momentum2: 0.99 delta: 1e-6", 1e-3)}
_RULE = 'type: "{}" {} lr_policy: "inv" gamma: 0.01 power: 0.75 weight_decay: 0.001 random_seed: 4 base_lr: {}'
RULE_CASES = {
    **{f"kinks_{kind}": (FCN, _RULE.format(kind, text, rate), 10) for kind, (text, rate) in RULES.items()},
    **{f"smooth_{kind}": (SMOOTH, _RULE.format(kind, text, rate if rate == 1 else 1e-2), 100)
       for kind, (text, rate) in RULES.items()},
}


def train(caffe, np, cases):
    """Train every case in the working folder; return its losses, last weights and last updates."""
    found = {}
    for name, (net, text, iterations) in cases.items():
        with open("net.prototxt", "w") as f:
            f.write(net)
        with open("solver.prototxt", "w") as f:
            f.write('net: "net.prototxt" snapshot_prefix: "snap" ' + text)
        solver, losses = caffe.get_solver("solver.prototxt"), []
        for _ in range(iterations):
            solver.step(1)
            losses.append(float(solver.net.blobs["loss"].data))
        found[name + "/losses"] = np.float64(losses)
        params = [blob for blobs in solver.net.params.values() for blob in blobs]
        for i, blob in enumerate(params):
            found[f"{name}/data{i}"] = blob.data.copy()
            found[f"{name}/diff{i}"] = blob.diff.copy()
    return found


def apply(caffe, np, rules):
    """Apply each rule to given diffs five times; return the weights after each update, a row an update."""
    found = {}
    with open("net.prototxt", "w") as f:
        f.write(SMOOTH)
    for name, text in rules.items():
        with open("solver.prototxt", "w") as f:
            f.write('net: "net.prototxt" snapshot_prefix: "snap" ' + text)
        solver, rng, rows = caffe.get_solver("solver.prototxt"), np.random.RandomState(2), []
        params = [blob for blobs in solver.net.params.values() for blob in blobs]
        for _ in range(5):
            for blob in params:
                blob.diff[...] = rng.uniform(-1, 1, tuple(blob.shape))
            solver.apply_update()
            rows.append(np.concatenate([blob.data.ravel() for blob in params]))
        found["apply_" + name] = np.array(rows)
    return found


def resume(caffe, np, state, iterations):
    """Build the "fcn" case again, restore `state`, train on; return losses and the last weights."""
    with open("net.prototxt", "w") as f:
        f.write(FCN)
    with open("solver.prototxt", "w") as f:
        f.write('net: "net.prototxt" snapshot_prefix: "snap" ' + CASES["fcn"][1])
    solver, losses = caffe.SGDSolver("solver.prototxt"), []
    solver.restore(state)
    caffe.set_random_seed(77)
    for _ in range(iterations):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    weights = [blob.data.ravel() for blobs in solver.net.params.values() for blob in blobs]
    return {"losses": np.float64(losses), "weights": np.concatenate(weights), "iter": np.array(solver.iter)}


def snapshot(caffe, iterations):
    """Train the "fcn" case and leave its snapshot in the working folder."""
    with open("net.prototxt", "w") as f:
        f.write(FCN)
    with open("solver.prototxt", "w") as f:
        f.write('net: "net.prototxt" snapshot_prefix: "snap" ' + CASES["fcn"][1])
    solver = caffe.SGDSolver("solver.prototxt")
    solver.step(iterations)
    solver.snapshot()


TEACHER_FORCED = {
    f"{kind}{extra}": f"{_RULE.format(kind, text, 0.1)} {more}" for kind, (text, _) in RULES.items()
    for extra, more in (("", ""), ("_l1", 'regularization_type: "L1"'), ("_clip", "clip_gradients: 2"),
                        ("_iter_size", "iter_size: 3 clip_gradients: 5"))}
PRELUDE = (f"FCN, SMOOTH, CASES, RULE_CASES = {FCN!r}, {SMOOTH!r}, {CASES!r}, {RULE_CASES!r}\n"
           f"TEACHER_FORCED = {TEACHER_FORCED!r}\n"
           + "\n".join(inspect.getsource(f) for f in (train, apply, resume, snapshot)))

LOG_SCRIPT = f"""
import subprocess, sys, os
open("net.prototxt", "w").write({TINY!r})
open("solver.prototxt", "w").write({TINY_SOLVER!r})
done = subprocess.run([sys.executable, "-c", "import caffe; caffe.SGDSolver('solver.prototxt').solve()"],
                      env=dict(os.environ, GLOG_minloglevel="0"), capture_output=True, text=True)
out["log"] = np.array(done.stderr[done.stderr.index("Solving tiny") - 60:])
"""


def genuine() -> dict[str, np.ndarray]:
    """Train all cases in genuine Caffe, and take the log of the tiny one."""
    return run_bvlc(f"{PRELUDE}\nout.update(train(caffe, np, CASES))\n{LOG_SCRIPT}")


def genuine_rules() -> dict[str, np.ndarray]:
    """Train with each of the six rules in genuine Caffe, and apply each to given diffs."""
    found = run_bvlc(f"{PRELUDE}\nout.update(train(caffe, np, RULE_CASES))\n"
                     "out.update(apply(caffe, np, TEACHER_FORCED))")
    return {name: value for name, value in found.items() if "/losses" in name or name.startswith("apply")}


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **genuine())
    np.savez_compressed(RECORDED_RULES, **genuine_rules())
