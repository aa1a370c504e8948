"""Record genuine Caffe's learning rates: `python -m tests.reference.record_lr`.

Out:  tests/reference/lr.npz: float32 rates of 60 iterations, by policy.
Not here: the comparison (tests/caffe/test_lr_policy.py).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc

RECORDED = Path(__file__).with_name("lr.npz")
ITERATIONS = 60

CASES = {
    "fixed": 'base_lr: 0.013 lr_policy: "fixed"',
    "step": 'base_lr: 0.013 lr_policy: "step" gamma: 0.7 stepsize: 7',
    "exp": 'base_lr: 0.013 lr_policy: "exp" gamma: 0.97',
    "inv": 'base_lr: 0.013 lr_policy: "inv" gamma: 0.03 power: 0.75',
    "multistep": 'base_lr: 0.013 lr_policy: "multistep" gamma: 0.3 stepvalue: 5 stepvalue: 5 '
                 'stepvalue: 20 stepvalue: 18',
    "poly": 'base_lr: 0.013 lr_policy: "poly" power: 0.9 max_iter: 50',
    "sigmoid": 'base_lr: 0.013 lr_policy: "sigmoid" gamma: 0.2 stepsize: 30',
}

NET = """
layer { name: "data" type: "DummyData" top: "data" top: "label"
  dummy_data_param { shape { dim: 1 dim: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 1 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "label" top: "loss" }
"""

SCRIPT = """
open("net.prototxt", "w").write(NET)
for name, text in CASES.items():
    open("s.prototxt", "w").write('net: "net.prototxt" snapshot_prefix: "s" ' + text)
    solver, rates = caffe.SGDSolver("s.prototxt"), []
    for i in range(ITERATIONS):
        rates.append(solver.lr)
        solver.apply_update()
    out[name] = np.float32(rates)
"""


def genuine() -> dict[str, np.ndarray]:
    """Ask genuine Caffe; reading `lr` advances multistep, as ApplyUpdate does."""
    return run_bvlc(f"NET, CASES, ITERATIONS = {NET!r}, {CASES!r}, {ITERATIONS}\n{SCRIPT}")


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **genuine())
