"""Convolutions that oneDNN would compute wrongly, or in foreign memory; each in a process of its own, which may die."""

from __future__ import annotations

import subprocess
import sys

import pytest

from caffe._caffe import common

CODE = """
import sys
import numpy as np, torch, caffe
from caffe._caffe.plan import packing
sizes, slides, precision = sys.argv[1:4]
packing.SMALL = 0
open("net.prototxt", "w").write(
    'force_backward: true layer { name: "data" type: "Input" top: "data" input_param { shape { '
    + " ".join(f"dim: {n}" for n in sizes.split()) + ' } } } layer { name: "c" type: "Convolution" bottom: "data" '
    'top: "c" convolution_param { ' + slides + ' weight_filler { type: "xavier" } } }')
x = np.random.RandomState(1).randn(*map(int, sizes.split()))
found = []
for plans, threads in ((False, 1), (False, 2), (True, 1), (True, 2)):
    caffe.set_plans(plans)
    torch.set_num_threads(threads)
    caffe.set_random_seed(1)
    caffe.set_precision(precision)
    net = caffe.Net("net.prototxt", caffe.TEST)
    for i in range(10):
        net.blobs["data"].data[...] = x
        net.forward()
        found.append(net.blobs["c"].data.copy())
        if not plans:
            net.blobs["c"].diff[...] = 1
            net.backward()
        junk = [np.empty(1000 + 37 * j) for j in range(50)]  # damaged memory shows when it is used again
assert all(np.abs(one - found[0]).max() <= BOUND * np.abs(found[0]).max() for one in found)
"""
GEOMETRIES = {
    "a kernel one row high": ("1 1 200 230", "num_output: 8 kernel_h: 1 kernel_w: 3 stride_h: 3 stride_w: 1"),
    "a row high, batch": ("3 1 60 90", "num_output: 3 kernel_h: 1 kernel_w: 5 stride_h: 4 stride_w: 2"),
    "a top one place wide": ("4 1 19 3", "num_output: 4 kernel_size: 2 stride_h: 1 stride_w: 2"),
    "one output of whole planes": ("3 2 7 7", "num_output: 1 kernel_size: 7"),
    "a plane narrower than the pad": ("1 4 16 1", "num_output: 4 kernel_size: 3 pad: 7 stride: 2 dilation: 2"),
    "pixels with a stride": ("1 9 6 6", "num_output: 3 kernel_size: 1 stride_h: 2 stride_w: 1"),
    "single channels": ("2 6 40 50", "num_output: 6 group: 6 kernel_h: 1 kernel_w: 3 stride_h: 3 stride_w: 1"),
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", GEOMETRIES)
def test_no_foreign_memory_is_touched(tmp_path, name, precision):
    if precision == "bf16" and not common.has_bf16():
        pytest.skip("this CPU has no bf16")
    code = CODE.replace("BOUND", "1e-5" if precision == "fp32" else "3e-2")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, *GEOMETRIES[name], precision], cwd=tmp_path,
                          capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-300:]}"
