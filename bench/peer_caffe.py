"""What a Caffe does when it is its turn, ours or genuine: passes of a TEST net, steps of a solver, any net's passes.

In:   a job: its kind, prototxts, weights and inputs as files; for ours also precision, plans, gpu.
Out:  the parts of a pass as functions, and the answer of the last: the scores, or the losses.
Not here: processes, clocks (worker). Only public caffe, on Python 3.9, too.
"""

from __future__ import annotations

from functools import partial

import numpy as np

import caffe


def work(job: dict):
    """Set caffe as the job says and build its nets."""
    if job.get("gpu") is not None:
        caffe.set_device(job["gpu"])
        caffe.set_mode_gpu()
    if job.get("precision", "fp32") != "fp32":
        caffe.set_precision(job["precision"])
    if not job.get("plans", True):
        caffe.set_plans(False)
    return KINDS[job["kind"]](job)


def finish(job: dict) -> None:
    """Wait until the GPU, if it is one, has done what it was told."""
    if job.get("gpu") is not None:
        import torch

        torch.cuda.synchronize()


class Forward:
    """Put an image into the net, of whatever size it is, and take the scores; a part an image."""

    def __init__(self, job: dict) -> None:
        self.job, self.score = job, None
        self.net = caffe.Net(job["prototxt"], caffe.TEST)
        if job.get("caffemodel"):
            self.net.copy_from(job["caffemodel"])
        self.parts = [partial(self.one, np.load(path)) for path in job["images"]]

    def one(self, image: np.ndarray) -> None:
        """Run the net on one (N, 3, H, W) batch. On a GPU the scores stay there."""
        data = self.net.blobs[self.net.inputs[0]]
        data.reshape(*image.shape)
        data.data[...] = image
        if self.job.get("gpu") is None:
            self.score = self.net.forward()[self.net.outputs[0]]
        else:
            self.net._forward(0, len(self.net.layers) - 1)
            finish(self.job)

    def answer(self) -> np.ndarray:
        """Return the scores of the last image."""
        return self.net.blobs[self.net.outputs[0]].data


class Step:
    """Some iterations of each solver: forward, backward, update; a part a solver."""

    def __init__(self, job: dict) -> None:
        self.job = job
        self.solvers = [self.build(training) for training in job["trainings"]]
        self.parts = [partial(self.steps, solver) for solver in self.solvers]

    def build(self, training: dict):
        """Build a solver and fill its net's inputs."""
        solver = caffe.get_solver(training["solver"])
        solver.net.copy_from(training["caffemodel"])
        solver.net.blobs["data"].data[...] = np.load(training["image"])
        solver.net.blobs["label"].data[...] = np.load(training["label"])
        return solver

    def steps(self, solver) -> None:
        """Do the job's number of iterations."""
        solver.step(self.job["steps"])
        finish(self.job)

    def answer(self) -> list:
        """Return each net's last loss."""
        return [float(solver.net.blobs["loss"].data) for solver in self.solvers]


class Architecture:
    """One net in all that is measured of it, one at a time: a TEST pass, a TRAIN pass, being built.

    The job's `uses` say for each the prototxt, the phase and, but for building, arrays of the inputs and weights.
    """

    def __init__(self, job: dict) -> None:
        self.job, self.net, self.parts = job, None, []

    def use(self, what: str) -> None:
        """Drop what was used before and get ready for this."""
        use = self.job["uses"][what]
        self.net, self.parts = None, [partial(self.build, use)]
        if "caffemodel" not in use:
            return
        self.build(use)
        self.net.copy_from(use["caffemodel"])
        self.inputs = dict(np.load(use["inputs"]))
        self.parts = [self.forward] if use["phase"] == caffe.TEST else [self.forward, self.backward]

    def build(self, use: dict) -> None:
        """Build the net and look at its weights, lest they be filled later."""
        self.net = None
        self.net = caffe.Net(use["prototxt"], use["phase"])
        for blobs in self.net.params.values():
            for blob in blobs:
                blob.data.flat[0]

    def forward(self) -> None:
        """Put in the inputs and run the net."""
        for name, values in self.inputs.items():
            self.net.blobs[name].data[...] = values
        self.net.forward()

    def backward(self) -> None:
        """Clear the gradients of the weights and compute all."""
        self.net.clear_param_diffs()
        self.net.backward()


KINDS = {"forward": Forward, "step": Step, "architecture": Architecture}
