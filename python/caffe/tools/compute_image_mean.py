"""compute_image_mean: the mean of all images of a database, for mean_file.

In:   compute_image_mean [FLAGS] INPUT_DB [OUTPUT_FILE].
Out:  a binaryproto, byte for byte as genuine Caffe's; the mean of each channel on stderr.
Not here: reading records (_caffe.data.database), Datums (_caffe.data.datum).
Source: BVLC tools/compute_image_mean.cpp.
"""

from __future__ import annotations

import numpy as np
from google.protobuf.message import DecodeError

from caffe.proto import caffe_pb2

from .._caffe import log
from .._caffe.data.database import Cursor
from .._caffe.data.datum import datum_array
from .._caffe.data.leveldb import CURSORS, LevelDBCursor
from .._caffe.errors import CaffeError
from .._caffe.files.caffemodel_writer import write_blob
from .entry import tool
from .flags import Flag, Help, parse, show_help
from .progress import Progress

USAGE = """Compute the mean_image of a set of images given by a leveldb/lmdb
Usage:
    compute_image_mean [FLAGS] INPUT_DB [OUTPUT_FILE]"""
FLAGS = [Flag("backend", "lmdb", "the backend (lmdb, leveldb) containing the images")]


@tool
def main(argv: list[str]) -> int:
    """Run compute_image_mean; return the exit code."""
    try:
        options = parse(argv, FLAGS, USAGE)
    except Help as text:
        return show_help(text)
    if len(options.words) not in (1, 2):
        raise ValueError(f"compute_image_mean: got {len(options.words)} arguments, want INPUT_DB [OUTPUT_FILE]")
    if options.backend.lower() not in CURSORS:
        raise ValueError(f"-backend {options.backend}: want {' or '.join(CURSORS)}")
    mean = compute(options.words[0], options.backend.lower())
    if len(options.words) == 2:
        log.info(f"Write to {options.words[1]}", "compute_image_mean.cpp:102")
        write_blob(options.words[1], mean[np.newaxis], legacy=True)
    log.info(f"Number of channels: {len(mean)}", "compute_image_mean.cpp:108")
    for channel, values in enumerate(mean):
        # Caffe sums in float32, value by value
        total = np.cumsum(values, dtype=np.float32)[-1]
        log.info(f"mean_value channel [{channel}]: {total / np.float32(values.size):g}", "compute_image_mean.cpp:114")
    return 0


def compute(path: str, backend: str = "lmdb") -> np.ndarray:
    """Return the mean of a database's images, (C, H, W) float32, summed and divided in float32 as Caffe does.

    Raises:
        CaffeError: no such database, a record that is not an image, images of several sizes.
    """
    cursor = CURSORS[backend](path)
    total: np.ndarray | None = None
    log.info("Starting iteration", "compute_image_mean.cpp:66")
    with Progress(0, cursor.count, "image") as progress:
        for i in range(cursor.count):
            progress.update(i)
            image = _image(cursor)
            total = np.zeros(image.shape, np.float32) if total is None else total
            if image.shape != total.shape:
                raise CaffeError(f"record '{cursor.key}' of {cursor.kind} '{path}': Incorrect data field size: it is "
                                 f"of {image.shape} (channels, height, width), the first of {total.shape}; want one "
                                 "size, for which convert_imageset has -resize_height and -resize_width")
            total += image
            if (i + 1) % 10000 == 0:
                log.info(f"Processed {i + 1} files.", "compute_image_mean.cpp:90")
            cursor.next()
    if cursor.count % 10000:
        log.info(f"Processed {cursor.count} files.", "compute_image_mean.cpp:95")
    assert total is not None, "a cursor has a record"
    return total / np.float32(cursor.count)


def _image(cursor: Cursor | LevelDBCursor) -> np.ndarray:
    try:
        return datum_array(caffe_pb2.Datum.FromString(cursor.value))
    except (DecodeError, CaffeError) as problem:
        raise CaffeError(f"record '{cursor.key}' of {cursor.kind} '{cursor.path}': {problem}") from problem
