"""convert_imageset: put the images of a list into a database of Datums for Data layers.

In:   convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME; each line of the list: a path, a blank, a number.
Out:  an LMDB or LevelDB with the keys and Datums that genuine Caffe writes.
Not here: reading images (_caffe.data.image_files), the database (_caffe.data.database_writer).
Source: BVLC tools/convert_imageset.cpp, util/io.cpp (ReadImageToDatum).
"""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from PIL import Image

from caffe.proto import caffe_pb2

from .._caffe import common, log
from .._caffe.data.database_writer import DatabaseWriter
from .._caffe.data.image_files import read_image
from .._caffe.data.image_lists import read_list
from .._caffe.errors import CaffeError
from .entry import tool
from .flags import Flag, Help, parse, show_help
from .progress import Progress

USAGE = """Convert a set of images to the leveldb/lmdb format used as input for Caffe.
Usage:
    convert_imageset [FLAGS] ROOTFOLDER/ LISTFILE DB_NAME
The root folder is put before each path of the list as it is, so it ends with a slash."""

FLAGS = [
    Flag("gray", False, "when this option is on, treat images as grayscale ones"),
    Flag("shuffle", False, "randomly shuffle the order of images and their labels"),
    Flag("backend", "lmdb", "the backend (lmdb, leveldb) for storing the result"),
    Flag("resize_width", 0, "width images are resized to"),
    Flag("resize_height", 0, "height images are resized to"),
    Flag("check_size", False, "when this option is on, check that all the datum have the same size"),
    Flag("encoded", False, "when this option is on, the encoded image will be saved in datum"),
    Flag("encode_type", "", "what type should we encode the image as ('png','jpg',...)"),
]


@tool
def main(argv: list[str]) -> int:
    """Run convert_imageset; return the exit code."""
    try:
        options = parse(argv, FLAGS, USAGE)
    except Help as text:
        return show_help(text)
    if len(options.words) != 3:
        raise ValueError(f"convert_imageset: got {len(options.words)} arguments, want 3: ROOTFOLDER/ LISTFILE DB_NAME "
                         "(convert_imageset -help tells more)")
    root, source, target = options.words
    lines = read_list(source)
    if options.shuffle:
        log.info("Shuffling data", "convert_imageset.cpp:83")
        common.rng().shuffle(lines)
    log.info(f"A total of {len(lines)} images.", "convert_imageset.cpp:86")
    if options.encode_type and not options.encoded:
        log.info("encode_type specified, assuming encoded=true.", "convert_imageset.cpp:89")
        options.encoded = True
    if options.encode_type:
        _kind(options.encode_type)
    with DatabaseWriter(target, options.backend) as database:
        convert(root, lines, database, options)
        if not database.count:
            raise CaffeError(f"none of the {len(lines)} images of {source} could be read from {root} (why: above); is "
                             "the root folder right, with a slash at its end?")
    if database.count < len(lines):
        log.error(f"{len(lines) - database.count} of {len(lines)} images could not be read; they are NOT in {target}",
                  "convert_imageset.cpp:113")
    return 0


def convert(root: str, lines: list[tuple[str, int]], database: DatabaseWriter, options: SimpleNamespace) -> None:
    """Put the images of a list into a database; one that cannot be read is named and left out, as in Caffe.

    Raises:
        CaffeError: -check_size, and images of several sizes.
    """
    size = None
    with Progress(0, len(lines), "image") as progress:
        for number, (name, label) in enumerate(lines):
            progress.update(number)
            try:
                datum = read_datum(root + name, label, options, _encoding(name, options))
            except CaffeError as problem:
                log.error(str(problem), "io.cpp:80")
                continue
            if options.check_size:
                size = size if size is not None else len(datum.data)
                if len(datum.data) != size:
                    raise CaffeError(f"Incorrect data field size {len(datum.data)}: {root + name}, want {size} as the "
                                     "first; -resize_width and -resize_height make images of one size")
            database.put(f"{number:08d}_{name}".encode(errors="surrogateescape"), datum.SerializeToString())
            if database.count % 1000 == 0:
                log.info(f"Processed {database.count} files.", "convert_imageset.cpp:140")
    if database.count % 1000:
        log.info(f"Processed {database.count} files.", "convert_imageset.cpp:146")


def _encoding(name: str, options: SimpleNamespace) -> str:
    """Return the file type to store, the image's own if none is given; "" stores pixels."""
    if not options.encoded or options.encode_type:
        return options.encode_type if options.encoded else ""
    stem, dot, extension = name.rpartition(".")
    if not dot:
        log.warning(f"Failed to guess the encoding of '{name}'", "convert_imageset.cpp:109")
    return extension.lower() if dot else ""


def read_datum(path: str, label: int, options: SimpleNamespace, encoding: str = "") -> Any:
    """Read an image as a Datum: pixels, or the file itself if it has that type and size, or encoded again.

    Args:
        path: that of the image.
        label: a whole number.
        options: gray, resize_height, resize_width.
        encoding: a file type such as "jpg", or "" for pixels.

    Raises:
        CaffeError: the image cannot be read, or that type cannot be written.
    """
    height, width = options.resize_height, options.resize_width
    image = read_image(path, not options.gray, height, width)
    if not encoding:
        # Caffe: `encoded` is written although it is false. io.cpp, CVMatToDatum
        return caffe_pb2.Datum(channels=image.shape[0], height=image.shape[1], width=image.shape[2],
                               data=image.tobytes(), label=label, encoded=False)
    # Caffe: even with -gray a file of that type is stored as it is, in colour. io.cpp, ReadImageToDatum
    whole = not height and not width and _is_of_type(path, encoding)
    data = Path(path).read_bytes() if whole else encode(image, encoding)
    return caffe_pb2.Datum(data=data, label=label, encoded=True)


def _is_of_type(path: str, encoding: str) -> bool:
    extension, encoding = path.rpartition(".")[2].lower(), encoding.lower()
    return extension == encoding or (encoding == "jpg" and extension == "jpeg")


def _kind(encoding: str) -> str:
    kind = Image.registered_extensions().get(f".{encoding.lower()}")
    if kind is None or kind not in Image.SAVE:
        raise CaffeError(f"-encode_type '{encoding}': this image type cannot be written; png and jpg can")
    return kind


def encode(image: np.ndarray, encoding: str) -> bytes:
    """Return (C, H, W) uint8, grey or blue, green, red, as an image file's bytes; JPEG at OpenCV's quality, 95."""
    kind = _kind(encoding)
    pixels = image[0] if len(image) == 1 else image[::-1].transpose(1, 2, 0)
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(stream, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return stream.getvalue()
