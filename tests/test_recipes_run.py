"""Every recipe runs on its data set's file format; the release's own order of solving, on genuine Caffe and on ours."""

from __future__ import annotations

import numpy as np
import pytest
import release_order
from bvlc import ROOT, run_bvlc
from recipe_projects import make_recipe, make_sets

import caffe
from solvers import start
from solvers.recipes import RECIPES

RELEASED = ["voc-fcn32s", "voc-fcn16s", "voc-fcn8s", "voc-fcn8s-atonce", "voc-fcn-alexnet", "pascalcontext-fcn32s",
            "pascalcontext-fcn16s", "pascalcontext-fcn8s", "nyud-fcn32s-color", "nyud-fcn32s-hha",
            "nyud-fcn32s-color-d", "nyud-fcn32s-color-hha", "siftflow-fcn32s", "siftflow-fcn16s", "siftflow-fcn8s"]
# classes of each head: what an untrained score costs a pixel is the logarithm
CLASSES = {"voc": 21, "shapes": 7, "pascalcontext": 60, "pascalcontext33": 34, "nyud": 40, "siftflow": 33}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    root = tmp_path_factory.mktemp("recipes")
    make_sets(root)
    return root


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_runs_two_iterations(project, monkeypatch, capfd, name):
    make_recipe(project, name)
    monkeypatch.chdir(project)
    row = RECIPES[name]
    solver = caffe.SGDSolver(f"models/{name}/solver.prototxt")
    solver.test_nets[0].forward()
    start.begin(name, solver.net, row, row.init)
    before = {layer: blobs[0].data.copy() for layer, blobs in solver.net.params.items()}
    losses = []
    for _ in range(2):
        solver.step(1)
        losses += [float(solver.net.blobs[blob].data) for blob in release_order.losses_of(solver.net)]
    assert solver.iter == 2 and np.isfinite(losses).all() and min(losses) > 0
    assert any((solver.net.params[layer][0].data != before[layer]).any() for layer in before)
    fixed = [layer for layer in before if layer.startswith(("up", "scale"))]
    for layer in fixed:
        np.testing.assert_array_equal(solver.net.params[layer][0].data, before[layer])
    for layer in (layer for layer in fixed if layer.startswith("up")):
        kernel = before[layer]
        assert kernel[0, 0].max() > 0.4 and (kernel.shape[0] == 1 or not kernel[0, 1:].any())
    if name in RELEASED and "32s" in name and "color-hha" not in name:  # zero scores: every class alike
        pixels = int((solver.net.blobs["sem" if "siftflow" in name else "label"].data != 255).sum())
        assert losses[-1 if "siftflow" not in name else -2] == pytest.approx(
            pixels * np.log(CLASSES[row.dataset]), rel=0.02)


SCRIPT = """
import json, os, sys
sys.path[:0] = [{root!r}, {root!r} + "/layers", {root!r} + "/tests"]
import release_order
os.chdir({project!r})
out.update(release_order.run_all(json.loads({plan!r})))
"""


def test_release_order_gives_the_same_losses_on_genuine_caffe_oracle(project, monkeypatch):
    import json
    plan = []
    for name in RELEASED:
        make_recipe(project, name)
        plan.append((name, RECIPES[name].init, [list(graft) for graft in RECIPES[name].transplants]))
    genuine = run_bvlc(SCRIPT.format(root=str(ROOT), project=str(project), plan=json.dumps(plan)))
    monkeypatch.chdir(project)
    ours = release_order.run_all(plan)
    assert set(ours) == set(genuine) and sum("/loss" in key for key in ours) == 15 + 3
    for key, want in genuine.items():
        if "/loss" in key:
            np.testing.assert_allclose(ours[key], want, rtol=1e-5, err_msg=key)
        else:
            np.testing.assert_allclose(ours[key], want, rtol=0, atol=1e-4 * np.abs(want).max(), err_msg=key)
