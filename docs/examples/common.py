"""What the examples share: pictures of characters, databases of them, a solver in two lines.

Out:  `pictures` of digits or letters drawn with Pillow (so that nothing has to be fetched), `write_lmdb`, `solver`,
      `save_figure`, `run`.
Not here: any net; each example defines its own.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, Callable

import lmdb
import numpy as np
from PIL import Image, ImageDraw, ImageFont

import caffe


def pictures(characters: str, count: int, seed: int, turned: float = 15) -> tuple:
    """White characters on black, each of another size, place, angle and noise.

    Args:
        characters: one class each, in the order of the labels.
        count: how many pictures; classes are drawn at random.
        seed: the same seed draws the same pictures.
        turned: greatest angle in degrees.

    Returns:
        count x 1 x 28 x 28 uint8, and count labels.
    """
    random = np.random.RandomState(seed)
    labels = random.randint(len(characters), size=count)
    images = np.empty((count, 1, 28, 28), np.uint8)
    for image, label in zip(images, labels):
        canvas = Image.new("L", (56, 56))
        font = ImageFont.load_default(size=random.randint(36, 48))
        ImageDraw.Draw(canvas).text((28, 28), characters[label], fill=255, font=font, anchor="mm")
        angle, shift = random.uniform(-turned, turned), tuple(random.randint(-5, 6, 2))
        canvas = canvas.rotate(angle, Image.BILINEAR, translate=shift)
        noisy = np.asarray(canvas.resize((28, 28), Image.BILINEAR)) + random.normal(0, 25, (28, 28))
        image[0] = noisy.clip(0, 255)
    return images, labels


def write_lmdb(folder: Path, images: np.ndarray, labels: np.ndarray) -> str:
    """Make a database for a Data layer: one Datum a picture, keys in order."""
    with lmdb.open(str(folder), map_size=1 << 28) as database, database.begin(write=True) as change:
        for i, (image, label) in enumerate(zip(images, labels)):
            change.put(b"%08d" % i, caffe.io.array_to_datum(image, int(label)).SerializeToString())
    return str(folder)


def solver(path: Path, train: Any, test: Any, **settings: Any) -> Any:
    """Write the two nets and a solver of SGD beside each other, and build it.

    Args:
        path: folder and first part of all names.
        train: NetSpec of phase TRAIN.
        test: NetSpec of phase TEST.
        settings: fields of SolverParameter that differ from below.
    """
    message = caffe.proto.caffe_pb2.SolverParameter(
        train_net=f"{path}_train.prototxt", test_net=[f"{path}_test.prototxt"], test_iter=[1], test_interval=10 ** 6,
        base_lr=0.01, momentum=0.9, weight_decay=5e-4, lr_policy="inv", gamma=1e-4, power=0.75, max_iter=10 ** 6,
        snapshot_prefix=str(path), random_seed=1)
    for name, value in settings.items():
        setattr(message, name, value)
    for name, text in ((message.train_net, train.to_proto()), (message.test_net[0], test.to_proto()),
                       (f"{path}_solver.prototxt", message)):
        Path(name).write_text(str(text))
    return caffe.get_solver(f"{path}_solver.prototxt")


def save_figure(out: Path, name: str, draw: Callable, **size: Any) -> None:
    """Let `draw(figure)` fill a Matplotlib figure and save it as OUT/NAME.png."""
    from matplotlib.figure import Figure
    figure = Figure(layout="constrained", **size)
    draw(figure)
    figure.savefig(out / f"{name}.png", dpi=80)


def run(main: Callable) -> None:
    """Call `main(out)` with the folder of the command line (results/examples) and print what it returns."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/examples")
    try:
        out.mkdir(parents=True, exist_ok=True)
        print(json.dumps(main(out), indent=1))
    except (OSError, RuntimeError, ValueError) as problem:  # a file that is missing, most often
        sys.exit(f"error: {' '.join(str(problem).split())} (lenet.py goes before net_surgery.py and fine_tuning.py)")
