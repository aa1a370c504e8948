"""The lines a solver prints while it trains and tests, word for word as Caffe's.

In:   a solver's net, iteration and values.
Out:  log lines that Caffe's log readers understand.
Not here: glog's prefix (log), what is computed (solver).
Source: BVLC solver.cpp, Step and Test.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from .. import log
from ..net.net import Net


class IterationTimer:
    """Measures iterations per second between displays."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._iteration = 0

    def start(self, iteration: int) -> None:
        """Start measuring, unless already started."""
        # DEVIATION D10: Caffe restarts this clock at each Step() but not its count of iterations, so that `step(1)`
        # in a loop prints nonsense; here both run from one display to the next.
        if self._since is None:
            self._since, self._iteration = time.monotonic(), iteration

    def lap(self, iteration: int) -> tuple[float, float]:
        """Return (iterations per second, seconds) since the last display, and start again."""
        now = time.monotonic()
        lapse = now - (self._since if self._since is not None else now)
        rate = (iteration - self._iteration) / (lapse or 1.0)
        self._since, self._iteration = now, iteration
        return rate, lapse


def display(net: Net, iteration: int, lap: tuple[float, float], every: int, loss: float) -> None:
    """Print the smoothed loss and every output of the train net."""
    log.info(f"Iteration {iteration} ({lap[0]:g} iter/s, {lap[1]:g}s/{every} iters), loss = {loss:g}",
             "solver.cpp:239")
    if log.enabled(0):
        _outputs("Train", net, output_values(net), "solver.cpp:258")


def test_outputs(net: Net, mean_scores: np.ndarray) -> None:
    """Print the mean of every output of a test net."""
    if log.enabled(0):
        _outputs("Test", net, mean_scores, "solver.cpp:414")


def output_values(net: Net) -> np.ndarray:
    """Return all values of the net's outputs, one after the other, (n,) float32."""
    return outputs(net).cpu().numpy()


def outputs(net: Net) -> torch.Tensor:
    """Return a copy of all values of the net's outputs, one after the other, (n,) float32, where they were computed."""
    values = [blob.read_data().reshape(-1) for blob in net.output_blobs]
    return torch.cat(values) if values else torch.zeros(0)


def _outputs(kind: str, net: Net, values: np.ndarray, where: str) -> None:
    score_index = 0
    for blob, blob_id in zip(net.output_blobs, net._outputs, strict=True):
        name = net._blob_names[blob_id]
        weight = np.float32(net._blob_loss_weights[blob_id])
        for _ in range(blob.count):
            value = values[score_index]
            weighted = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            log.info(f"    {kind} net output #{score_index}: {name} = {value:g}{weighted}", where)
            score_index += 1
