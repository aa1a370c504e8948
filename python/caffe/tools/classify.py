"""classify.py: a net's scores of images, into a .npy file.

In:   classify.py INPUT OUTPUT: an image, a folder of images, or a .npy of images (N, H, W, 3).
Out:  (N, classes) float32.
Not here: the net and its crops (caffe.Classifier).   Source: BVLC python/classify.py, for behaviour.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from .._caffe.files.caffemodel_writer import atomic_write
from ..classifier import Classifier
from ..io import load_image
from .entry import tool
from .images_in import add_options, keywords, numbers


def read_images(source: str, extension: str) -> list[np.ndarray]:
    """Read the images to classify.

    Raises:
        ValueError: there are none, or the array is something else.
    """
    path = Path(source)
    if path.is_dir():
        files = sorted(path.glob(f"*.{extension.lstrip('.')}"))
        if not files:
            raise ValueError(f"{source}: no file in the folder ends in .{extension.lstrip('.')} (--ext)")
        return [load_image(file) for file in files]
    if path.suffix == ".npy":
        images = np.load(source, allow_pickle=False)
        if images.ndim != 4:
            raise ValueError(f"{source}: got an array {images.shape}, want images (N, height, width, channels)")
        return list(images)
    return [load_image(source)]


@tool
def main(argv: list[str]) -> int:
    """Run classify.py; return the exit code."""
    parser = argparse.ArgumentParser(prog="classify.py", description=__doc__.split("\n")[0])
    parser.add_argument("input_file", help="image, folder of images, or .npy")
    parser.add_argument("output_file", help=".npy to write")
    add_options(parser)
    parser.add_argument("--center_only", action="store_true", help="one crop from the middle, not the mean over ten")
    parser.add_argument("--images_dim", default="256,256", help="height,width images are resized to before the crop")
    parser.add_argument("--ext", default="jpg", help="ending of the images in a folder")
    options = parser.parse_args(argv)
    size = numbers(options.images_dim, "images_dim")
    if len(size) != 2:
        raise ValueError(f"--images_dim {options.images_dim}: want height,width")
    net = Classifier(options.model_def, options.pretrained_model, image_dims=size, **keywords(options))
    images = read_images(options.input_file, options.ext)
    print(f"Classifying {len(images)} inputs.")
    begin = time.monotonic()
    predictions = net.predict(images, not options.center_only)
    print(f"Done in {time.monotonic() - begin:.2f} s.")
    print(f"Saving results into {options.output_file}")
    with atomic_write(options.output_file) as file:
        np.save(file, predictions, allow_pickle=False)
    return 0
