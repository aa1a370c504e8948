"""A siamese net: two branches of one set of weights learn where to put a digit in the plane, from pairs alone.

Out:  OUT/siamese.png; how often the nearest neighbour in the plane, of digits never seen, is the same digit.
Source: Hadsell, Chopra, LeCun 2006; the example that comes with Caffe, by its description.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from common import pictures, run, save_figure, solver, write_lmdb
from lenet import DIGITS

import caffe
from caffe import layers as L
from caffe import params as P


def branch(n: Any, data: Any, suffix: str = "") -> Any:
    """LeNet down to two numbers. Layers of one `param` name have one blob, whichever branch they stand in."""
    def shared(name: str) -> dict:
        return dict(weight_filler=dict(type="xavier"),
                    param=[dict(name=name + "_w", lr_mult=1), dict(name=name + "_b", lr_mult=2)])
    top = data
    for name, outputs in (("conv1", 20), ("conv2", 50)):
        top = n[name + suffix] = L.Convolution(top, kernel_size=5, num_output=outputs, **shared(name))
        top = n[name.replace("conv", "pool") + suffix] = L.Pooling(top, kernel_size=2, stride=2, pool=P.Pooling.MAX)
    top = n["ip1" + suffix] = L.InnerProduct(top, num_output=200, **shared("ip1"))
    top = n["relu1" + suffix] = L.ReLU(top, in_place=True)
    top = n["feat" + suffix] = L.InnerProduct(top, num_output=2, **shared("feat"))
    return top


def siamese(database: str, batch: int) -> Any:
    """Both branches, the pairs they read and the loss between their outputs."""
    n = caffe.NetSpec()
    n.pair, n.sim = L.Data(source=database, backend=P.Data.LMDB, batch_size=batch, ntop=2,
                           transform_param=dict(scale=1 / 256))
    n.data, n.data_p = L.Slice(n.pair, axis=1, slice_point=[1], ntop=2)
    n.loss = L.ContrastiveLoss(branch(n, n.data), branch(n, n.data_p, "_p"), n.sim, margin=1)
    return n


def pairs(count: int, seed: int) -> tuple:
    """Two digits as two channels; label 1 where they are the same, which half of them are."""
    images, labels = pictures(DIGITS, count, seed)
    random = np.random.RandomState(seed)
    others = random.permutation(count)
    for i in range(0, count, 2):
        others[i] = random.choice(np.flatnonzero(labels == labels[i]))
    return np.concatenate([images, images[others]], 1), (labels == labels[others]).astype(int)


def main(out: Path, iterations: int = 400, examples: int = 4000) -> dict:
    """Train on pairs, then look at where single digits lie."""
    folder = out / "pairs_lmdb"
    shutil.rmtree(folder, ignore_errors=True)
    database = write_lmdb(folder, *pairs(examples, seed=0))
    trained = solver(out / "siamese", siamese(database, 64), siamese(database, 64), weight_decay=0)
    trained.step(iterations)
    net = trained.net
    images, labels = pictures(DIGITS, 640, seed=2)
    places = np.concatenate([embed(net, images[i:i + 64]) for i in range(0, 640, 64)])
    distances = ((places[:, None] - places) ** 2).sum(2) + np.diag(np.full(len(places), np.inf))
    same = labels[:, None] == labels
    np.fill_diagonal(same, False)
    save_figure(out, "siamese", lambda figure: draw(figure, places, labels), figsize=(4.5, 3.6))
    apart = np.sqrt(distances)
    return {"one set of weights": bool(np.shares_memory(net.params["conv1"][0].data, net.params["conv1_p"][0].data)),
            "distance of equal digits": float(apart[same].mean()),
            "distance of others": float(apart[~same & np.isfinite(apart)].mean()),
            "nearest is equal": float((labels[distances.argmin(1)] == labels).mean())}


def embed(net: Any, images: np.ndarray) -> np.ndarray:
    """Where one branch puts 64 pictures."""
    net.blobs["data"].data[...] = images / 256
    return net.forward(start="conv1", end="feat")["feat"].copy()


def draw(figure: Any, places: np.ndarray, labels: np.ndarray) -> None:
    """The plane, one colour a digit."""
    axes = figure.subplots()
    for digit in range(10):
        axes.plot(*places[labels == digit].T, ".", color=f"C{digit}", label=str(digit))
    axes.set(title="unseen digits in the plane", xlabel="feat[0]", ylabel="feat[1]")
    axes.legend(title="digit", fontsize="small", loc="upper left", bbox_to_anchor=(1, 1))


if __name__ == "__main__":
    run(main)
