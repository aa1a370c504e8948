"""resize_and_crop_images.py: make images square: the shorter side resized, the middle cut out.

In:   --input a text file with a path on each line; --input_folder and --output_folder, put before it.
Out:  images under the same names in the output folder.
Not here: reading and resizing (_caffe.data.image_files).
Source: BVLC tools/extra/resize_and_crop_images.py, for behaviour; that one runs on a cluster with MapReduce.
"""

from __future__ import annotations

import argparse
import io
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from .._caffe import log
from .._caffe.data.image_files import read_image, resize
from .._caffe.errors import CaffeError
from .._caffe.files.caffemodel_writer import atomic_write
from .entry import tool
from .progress import Progress


def resize_crop_image(source: str, target: str, side: int = 256) -> None:
    """Write the middle square of an image, `side` pixels long.

    Raises:
        CaffeError: an image that cannot be read, or a file type that cannot be written.
    """
    image = read_image(source)
    height, width = image.shape[1:]
    short = min(height, width)
    image = resize(image, side * height // short, side * width // short)
    top, left = (image.shape[1] - side) // 2, (image.shape[2] - side) // 2
    pixels = np.ascontiguousarray(image[::-1, top:top + side, left:left + side].transpose(1, 2, 0))
    kind = Image.registered_extensions().get(os.path.splitext(target)[1].lower())
    if kind is None or kind not in Image.SAVE:
        raise CaffeError(f"{target}: no image type of that name can be written")
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **({"quality": 95} if kind == "JPEG" else {}))
    os.makedirs(os.path.dirname(target) or ".", exist_ok=True)
    with atomic_write(target) as file:
        file.write(stream.getvalue())


@tool
def main(argv: list[str]) -> int:
    """Run resize_and_crop_images.py; return the exit code: 1 if an image could not be read."""
    parser = argparse.ArgumentParser(prog="resize_and_crop_images.py", description=__doc__.split("\n")[0])
    parser.add_argument("--input", required=True, help="text file, a path on each line")
    parser.add_argument("--input_folder", default="", help="the folder that contains the images")
    parser.add_argument("--output_folder", default="", help="the folder that we write output resized images to")
    parser.add_argument("--output_side_length", type=int, default=256, help="expected side length of the output")
    parser.add_argument("--image_lib", default="opencv", help="accepted and ignored: resizing is as OpenCV's")
    parser.add_argument("--num_clients", type=int, default=os.cpu_count() or 1, help="threads")
    options = parser.parse_args(argv)
    if options.output_side_length < 1 or options.num_clients < 1:
        raise ValueError("--output_side_length and --num_clients: want at least 1")
    if os.path.abspath(options.input_folder) == os.path.abspath(options.output_folder):
        raise ValueError("--output_folder is the input folder; the images would be replaced; choose another")
    names = [name for name in Path(options.input).read_text().splitlines() if name.strip()]
    if not names:
        raise ValueError(f"{options.input}: the list is empty; want a path on each line")
    for name in names:
        if os.path.isabs(name) or ".." in Path(name).parts:
            raise ValueError(f"{options.input}: '{name}' leads out of its folder; want paths below --input_folder")
    failed = 0

    def one(name: str) -> str:
        try:
            resize_crop_image(os.path.join(options.input_folder, name), os.path.join(options.output_folder, name),
                              options.output_side_length)
        except CaffeError as problem:
            return str(problem)
        return ""

    with Progress(0, len(names), "image") as progress, ThreadPoolExecutor(options.num_clients) as pool:
        for i, problem in enumerate(pool.map(one, names)):
            progress.update(i)
            if problem:
                failed += 1
                log.error(problem, "resize_and_crop_images.py:0")
    print(f"{len(names) - failed} of {len(names)} images written to {options.output_folder}")
    return 1 if failed else 0
