"""What eager PyTorch does when it is its turn: forward passes and training steps of the nets in eager.py.

In:   a job; the weights as .npz; precision bf16 means torch.autocast.
Out:  the parts of a pass, the answer of the last: scores or losses.
Not here: the nets (eager).
"""

from __future__ import annotations

import contextlib
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from bench.eager import Fcn, sgd


def work(job: dict):
    """Build the nets that the job asks for."""
    torch.set_num_threads(job["threads"])
    if job.get("gpu") is not None:
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.benchmark = True
    return KINDS[job["kind"]](job)


class Eager:
    """What forward and training have in common: a device, a precision."""

    def __init__(self, job: dict) -> None:
        self.job = job
        self.device = torch.device("cpu" if job.get("gpu") is None else f"cuda:{job['gpu']}")

    def net(self, weights: str, dropout: float = 0.5) -> Fcn:
        """Build a net with the weights of a file."""
        with np.load(weights) as loaded:
            return Fcn(loaded, dropout).to(self.device)

    def lower(self):
        """Return the context in which the job's precision holds."""
        bf16 = self.job.get("precision") == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16) if bf16 else contextlib.nullcontext()

    def finish(self) -> None:
        """Wait for the GPU, if it is one."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()


class Forward(Eager):
    """Take an image, give the scores; a part an image."""

    def __init__(self, job: dict) -> None:
        super().__init__(job)
        self.model = self.net(job["npz"]).eval()
        self.parts = [partial(self.one, np.load(path)) for path in job["images"]]

    def one(self, image: np.ndarray) -> None:
        """Run the net on one (N, 3, H, W) batch."""
        with torch.no_grad(), self.lower():
            self.score = self.model(torch.from_numpy(image).to(self.device)).float()
        self.finish()

    def answer(self) -> np.ndarray:
        """Return the scores of the last image."""
        return self.score.cpu().numpy()


class Training(Eager):
    """One net that learns from one image."""

    def __init__(self, job: dict, training: dict) -> None:
        super().__init__(job)
        self.model = self.net(training["npz"], training["dropout"]).train()
        self.rule = sgd(self.model, training["lr"], training["momentum"], training["weight_decay"])
        self.image = torch.from_numpy(np.load(training["image"])).to(self.device)
        self.label = torch.from_numpy(np.load(training["label"])).long().to(self.device)
        self.reduction, self.clip = training["reduction"], training["clip"]

    def steps(self) -> None:
        """Do the job's number of iterations; each loss is fetched, as Caffe's solver does."""
        for _ in range(self.job["steps"]):
            self.rule.zero_grad()
            with self.lower():
                score = self.model(self.image)
            loss = F.cross_entropy(score.float(), self.label, ignore_index=255, reduction=self.reduction)
            loss.backward()
            if self.clip > 0:
                torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
            self.rule.step()
            self.loss = loss.item()
        self.finish()


class Step:
    """Some iterations of each training; a part a training."""

    def __init__(self, job: dict) -> None:
        self.trainings = [Training(job, training) for training in job["trainings"]]
        self.parts = [training.steps for training in self.trainings]

    def answer(self) -> list:
        """Return each net's last loss."""
        return [training.loss for training in self.trainings]


KINDS = {"forward": Forward, "step": Step}
