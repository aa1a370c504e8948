"""Net surgery: parameters are arrays. A filter is edited by hand; inner products become convolutions.

In:   OUT/lenet.caffemodel (lenet.py). Out: OUT/net_surgery.png; the class at every place of a strip of digits.
Source: the notebook that comes with Caffe, by its description; Long, Shelhamer, Darrell 2015, section 3.1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import pictures, run, save_figure
from lenet import DIGITS, deploy, trunk

import caffe
from caffe import layers as L


def edited(net: Any, image: np.ndarray) -> np.ndarray:
    """What the first filter of conv1 sees, before and after it becomes an edge detector: 2 x height x width."""
    seen = []
    for _ in range(2):
        net.blobs["data"].data[...] = image
        net.forward(end="conv1")
        seen.append(net.blobs["conv1"].data[0, 0].copy())
        sobel = np.outer([1, 2, 0, -2, -1], [1, 4, 6, 4, 1])
        net.params["conv1"][0].data[0, 0] = sobel / 48
        net.params["conv1"][1].data[0] = 0
    return np.array(seen)


def cast(out: Path, net: Any, height: int, width: int) -> Any:
    """LeNet with convolutions in the place of its inner products, for pictures of any size; weights are `net`'s."""
    n = caffe.NetSpec()
    n.data = L.Input(shape=dict(dim=[1, 1, height, width]))
    trunk(n, n.data, 10)
    n.ip1_conv = L.Convolution(n.pool2, kernel_size=4, num_output=500)
    n.relu1 = L.ReLU(n.ip1_conv, in_place=True)
    n.ip2_conv = L.Convolution(n.relu1, kernel_size=1, num_output=10)
    n.prob = L.Softmax(n.ip2_conv)
    del n.tops["ip1"], n.tops["ip2"]
    path = out / "lenet_conv.prototxt"
    path.write_text(str(n.to_proto()))
    whole = caffe.Net(str(path), caffe.TEST)
    whole.share_with(net)  # conv1 and conv2, which have the same names
    for name in ("ip1", "ip2"):
        for mine, theirs in zip(whole.params[name + "_conv"], net.params[name]):
            mine.data.flat = theirs.data.flat  # the same numbers in the same order
    return whole


def strip(count: int = 6) -> tuple:
    """A picture of several digits beside each other, and which."""
    images, labels = pictures(DIGITS, count, seed=5)
    return np.hstack(images[:, 0]) / 256, labels


def main(out: Path) -> dict:
    """Cast, slide, edit."""
    net = caffe.Net(deploy(out), caffe.TEST, weights=str(out / "lenet.caffemodel"))
    picture, labels = strip()
    whole = cast(out, net, *picture.shape)
    whole.blobs["data"].data[0, 0] = picture
    probabilities = whole.forward()["prob"][0, :, 0].copy()  # one place every 4 pixels
    apart = []
    for left in range(0, picture.shape[1] - 27, 4):
        net.blobs["data"].data[0, 0] = picture[:, left:left + 28]
        apart.append(net.forward()["prob"][0].copy())
    found = probabilities.argmax(0)
    before, after = edited(net, picture[:, :28])
    save_figure(out, "net_surgery", lambda figure: draw(figure, picture, probabilities, before, after),
                figsize=(8, 3.4))
    return {"places": len(found), "difference": float(np.abs(probabilities - np.array(apart).T).max()),
            "digits": labels.tolist(), "found": found[::7].tolist()}


def draw(figure: Any, picture: np.ndarray, probabilities: np.ndarray, before: np.ndarray, after: np.ndarray) -> None:
    """The strip, the classes along it, one filter's output before and after."""
    grid = figure.add_gridspec(2, 3, width_ratios=(4, 1, 1))
    for place, image, title in ((grid[0, 0], picture, "input"), (grid[:, 1], before, "conv1[0]"),
                                (grid[:, 2], after, "edited")):
        figure.add_subplot(place, title=title, xticks=[], yticks=[]).imshow(image, cmap="gray")
    figure.add_subplot(grid[1, 0], title="probability of each digit, every 4 pixels", yticks=range(0, 10, 3),
                       xticks=[]).imshow(probabilities, aspect="auto", vmin=0, vmax=1)


if __name__ == "__main__":
    run(main)
