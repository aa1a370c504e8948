"""Fine-tuning: LeNet, which knows digits, learns ten letters from few examples, against one that starts anew.

In:   OUT/lenet.caffemodel (lenet.py). Out: OUT/fine_tuning.png; both accuracies.
The last layer has another name, so its weights are not copied, and a learning rate ten times that of the rest.
Source: the example that comes with Caffe (Flickr styles from CaffeNet), by its description.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import run, save_figure, solver
from lenet import accuracy, databases, lenet

LETTERS = "ABCDEFGHJK"


def main(out: Path, iterations: int = 60, every: int = 10, examples: int = 100) -> dict:
    """Train both with the same pictures, fillers and number of passes."""
    train, test = databases(out, "letters", LETTERS, examples, 500)
    how = {"last": "ip2_letters", "last_mult": 10}
    curves, copied = {}, False
    for name in ("fine-tuned", "from scratch"):
        trained = solver(out / "letters", lenet(train, 50, **how), lenet(test, 500, **how), base_lr=0.002)
        if name == "fine-tuned":
            new = trained.net.params["ip2_letters"][0].data.copy()
            trained.net.copy_from(str(out / "lenet.caffemodel"))
            copied = bool((trained.net.params["ip2_letters"][0].data != new).any())
        curves[name] = [accuracy(trained)]
        for _ in range(0, iterations, every):
            trained.step(every)
            curves[name].append(accuracy(trained))
    save_figure(out, "fine_tuning", lambda figure: draw(figure, curves, every), figsize=(4.5, 3))
    return {"renamed layer was copied": copied, **{name: curve[-1] for name, curve in curves.items()}}


def draw(figure: Any, curves: dict, every: int) -> None:
    """Accuracy against iterations."""
    axes = figure.subplots()
    for name, curve in curves.items():
        axes.plot(np.arange(len(curve)) * every, curve, "o-", label=name)
    axes.set(xlabel="iteration", ylabel="accuracy on unseen letters", ylim=(0, 1))
    axes.legend()


if __name__ == "__main__":
    run(main)
