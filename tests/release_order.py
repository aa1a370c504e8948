"""What each solve.py of the release does, in its order: solver, weights, surgery, steps. Runs on both Caffes.

In:   for each net its initial caffemodels and transplants; the working directory is a project (recipe_projects.py).
Out:  the losses of the steps, and what the score layers have become.
Not here: our own solve loop.
"""

from __future__ import annotations

import numpy as np

import caffe
import surgery


def run(name, init, transplants, steps=2):
    """Give arrays by name: losses by head, weights of the score layers."""
    solver = caffe.SGDSolver(f"models/{name}/solver.prototxt")
    if init:
        solver.net.copy_from(init)
    for net, weights, suffix, _ in transplants:
        surgery.transplant(solver.net, caffe.Net(f"models/{net}/deploy.prototxt", caffe.TEST, weights=weights), suffix)
    surgery.interp(solver.net, [layer for layer in solver.net.params.keys() if "up" in layer])
    for net, weights, _, widened in transplants:
        if widened:
            base = caffe.Net(f"models/{net}/deploy.prototxt", caffe.TEST, weights=weights)
            old, new = base.params[widened[0]], solver.net.params[widened[1]]
            new[0].data[:, :3] = old[0].data
            new[0].data[:, 3] = np.mean(old[0].data, axis=1)
            new[1].data[...] = old[1].data
    losses = losses_of(solver.net)
    found = {blob: [] for blob in losses}
    for _ in range(steps):
        solver.step(1)
        for blob in losses:
            found[blob].append(float(solver.net.blobs[blob].data))
    found.update({layer: blobs[0].data.copy() for layer, blobs in solver.net.params.items() if "score" in layer
                  and "up" not in layer})
    return {key: np.asarray(value) for key, value in found.items()}


def losses_of(net):
    """Give the names of the blobs that are losses."""
    return [blob for blob in net.blobs if blob in ("loss", "loss_geo")]


def run_all(plan):
    """Run each (name, init, transplants); keys are `name/what`."""
    return {f"{name}/{key}": value for name, *start in plan for key, value in run(name, *start).items()}
