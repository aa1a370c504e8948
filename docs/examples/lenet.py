"""LeNet learns digits: a net by NetSpec, a database, a solver, the loss and the accuracy on the way.

Out:  OUT/lenet.caffemodel, OUT/lenet_deploy.prototxt, OUT/lenet.png; the accuracy on unseen digits.
Source: LeCun et al. 1998, in the form that comes with Caffe (two convolutions, ReLU between two inner products).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from common import pictures, run, save_figure, solver, write_lmdb

import caffe
from caffe import layers as L
from caffe import params as P

DIGITS = "0123456789"


def trunk(n: Any, data: Any, classes: int, last: str = "ip2", last_mult: int = 1) -> Any:
    """LeNet's layers from `data` to the scores; the last one may have a name and a rate of its own."""
    def learned(times: int = 1) -> dict:
        return dict(weight_filler=dict(type="xavier"), param=[dict(lr_mult=times), dict(lr_mult=2 * times)])
    n.conv1 = L.Convolution(data, kernel_size=5, num_output=20, **learned())
    n.pool1 = L.Pooling(n.conv1, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.conv2 = L.Convolution(n.pool1, kernel_size=5, num_output=50, **learned())
    n.pool2 = L.Pooling(n.conv2, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    n.ip1 = L.InnerProduct(n.pool2, num_output=500, **learned())
    n.relu1 = L.ReLU(n.ip1, in_place=True)
    n[last] = L.InnerProduct(n.relu1, num_output=classes, **learned(last_mult))
    return n[last]


def lenet(database: str, batch: int, classes: int = 10, **how: Any) -> Any:
    """The net with its data, loss and accuracy."""
    n = caffe.NetSpec()
    n.data, n.label = L.Data(source=database, backend=P.Data.LMDB, batch_size=batch, ntop=2,
                             transform_param=dict(scale=1 / 256))
    score = trunk(n, n.data, classes, **how)
    n.loss = L.SoftmaxWithLoss(score, n.label)
    n.accuracy = L.Accuracy(score, n.label)
    return n


def deploy(out: Path, classes: int = 10) -> str:
    """Write the net that takes one picture and gives probabilities."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, 28, 28]))
    n.prob = L.Softmax(trunk(n, n.data, classes))
    path = out / "lenet_deploy.prototxt"
    path.write_text(str(n.to_proto()))
    return str(path)


def databases(out: Path, name: str, characters: str, train: int, test: int) -> list:
    """Two databases of drawn characters."""
    folders = [out / f"{name}_{part}_lmdb" for part in ("train", "test")]
    for folder, count, seed in zip(folders, (train, test), (0, 1)):
        shutil.rmtree(folder, ignore_errors=True)
        write_lmdb(folder, *pictures(characters, count, seed))
    return [str(folder) for folder in folders]


def accuracy(trained: Any) -> float:
    """On the solver's test net, with the weights of now."""
    net = trained.test_nets[0]
    net.share_with(trained.net)
    return float(net.forward()["accuracy"])


def main(out: Path, iterations: int = 300, every: int = 25, examples: int = 3000) -> dict:
    """Train and test."""
    train, test = databases(out, "digits", DIGITS, examples, 500)
    lenet_solver = solver(out / "lenet", lenet(train, 64), lenet(test, 500))
    losses, accuracies = [], []
    for i in range(iterations):
        if i % every == 0:
            accuracies.append((i, accuracy(lenet_solver)))
        lenet_solver.step(1)
        losses.append(float(lenet_solver.net.blobs["loss"].data))
    accuracies.append((iterations, accuracy(lenet_solver)))
    lenet_solver.net.save(str(out / "lenet.caffemodel"))
    deploy(out)
    save_figure(out, "lenet", lambda figure: draw(figure, lenet_solver, losses, accuracies), figsize=(9, 3))
    return {"iterations": iterations, "loss": float(np.mean(losses[-10:])), "accuracy": accuracies[-1][1]}


def draw(figure: Any, trained: Any, losses: list, accuracies: list) -> None:
    """Ten of the digits, the loss and the accuracy, the first layer's filters."""
    first, second, third = figure.subplots(1, 3)
    first.imshow(np.hstack(trained.net.blobs["data"].data[:10, 0]).reshape(28, 2, 140).transpose(1, 0, 2).reshape(
        56, 140), cmap="gray")
    filters = trained.net.params["conv1"][0].data[:, 0].reshape(4, 5, 5, 5)
    third.imshow(np.pad(filters, ((0, 0), (0, 0), (0, 1), (0, 1))).transpose(0, 2, 1, 3).reshape(24, 30), cmap="gray")
    for axes, title in ((first, "digits"), (third, "filters of conv1")):
        axes.set(title=title, xticks=[], yticks=[])
    second.plot(losses, label="loss (training)")
    second.plot(*zip(*accuracies), "o-", label="accuracy (unseen)")
    second.set(xlabel="iteration", ylim=(0, 2.5))
    second.legend()


if __name__ == "__main__":
    run(main)
