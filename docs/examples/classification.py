"""Classification of a photograph: a net, a Transformer, the five best classes, what inner blobs look like.

    python docs/examples/classification.py OUT DEPLOY.prototxt WEIGHTS.caffemodel PHOTO

In:   an ImageNet classifier in Caffe's form: BGR, values 0 to 255 less the mean; SqueezeNet v1.0 and CaffeNet do.
Out:  OUT/classification.png; classes (0 to 999) and their probabilities.
Source: the notebook that comes with Caffe, by its description. SqueezeNet stands in CaffeNet's place.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import run, save_figure

import caffe

MEAN = np.array([104.0, 117.0, 123.0])  # blue, green, red: ImageNet's


def transformer_of(net: Any) -> Any:
    """How a photograph as caffe.io loads it (RGB, 0 to 1, height x width x 3) becomes the net's input."""
    transformer = caffe.io.Transformer({"data": net.blobs["data"].data.shape})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_mean("data", MEAN)
    transformer.set_raw_scale("data", 255)
    transformer.set_channel_swap("data", (2, 1, 0))
    return transformer


def best_of(scores: np.ndarray, count: int = 5) -> list:
    """(class, probability) of the highest scores; scores that are no probabilities yet go through a softmax."""
    scores = scores.ravel().astype(float)
    if abs(scores.sum() - 1) > 1e-3 or scores.min() < 0:
        scores = np.exp(scores - scores.max())
        scores /= scores.sum()
    return [(int(i), round(float(scores[i]), 4)) for i in np.argsort(-scores)[:count]]


def main(out: Path, deploy: str = "", weights: str = "", photo: str = "") -> dict:
    """Classify the whole photograph, and by ten crops of it."""
    net = caffe.Net(deploy, caffe.TEST, weights=weights)
    image = caffe.io.load_image(photo)
    transformer = transformer_of(net)
    net.blobs["data"].reshape(1, *net.blobs["data"].data.shape[1:])
    net.blobs["data"].data[...] = transformer.preprocess("data", image)
    best = best_of(net.forward()[net.outputs[0]][0])
    classifier = caffe.Classifier(deploy, weights, image_dims=(256, 256), mean=MEAN, raw_scale=255,
                                  channel_swap=(2, 1, 0))
    crops = best_of(classifier.predict([image])[0])
    first = net.params[next(iter(net.params))][0].data
    maps = net.blobs[list(net.blobs)[1]].data[0, :36]
    save_figure(out, "classification", lambda figure: draw(figure, image, first, maps), figsize=(9, 3))
    return {"best": best, "by ten crops": crops}


def tiled(maps: np.ndarray) -> np.ndarray:
    """Maps of height x width (x 3) as a square of pictures, each from 0 to 1."""
    side = int(len(maps) ** 0.5)
    maps = maps[:side * side].astype(float)
    within = tuple(range(1, maps.ndim))
    maps = (maps - maps.min(within, keepdims=True)) / np.ptp(maps, within, keepdims=True).clip(1e-9)
    maps = np.pad(maps, ((0, 0), (0, 1), (0, 1)) + ((0, 0),) * (maps.ndim - 3), constant_values=1)
    return np.vstack([np.hstack(row) for row in maps.reshape(side, side, *maps.shape[1:])])


def draw(figure: Any, image: np.ndarray, filters: np.ndarray, maps: np.ndarray) -> None:
    """The photograph, the first layer's filters, its answers."""
    shown = tiled(filters.transpose(0, 2, 3, 1)[..., ::-1]) if filters.shape[1] == 3 else tiled(filters[:, 0])
    for axes, picture, title in zip(figure.subplots(1, 3), (image, shown, tiled(maps)),
                                    ("photograph", "first filters", "their answers")):
        axes.imshow(picture.squeeze(), cmap="gray")
        axes.set(title=title, xticks=[], yticks=[])


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit("usage: classification.py OUT DEPLOY.prototxt WEIGHTS.caffemodel PHOTO")
    run(lambda out: main(out, *sys.argv[2:]))
