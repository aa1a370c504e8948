"""extract_features: blobs of a net, item by item, into databases.

In:   extract_features WEIGHTS NET BLOB[,BLOB...] DB[,DB...] NUM_MINI_BATCHES DB_TYPE [CPU|GPU] [DEVICE_ID].
Out:  for each blob an LMDB or LevelDB: keys from 0000000000 on, a Datum of floats for each item.
Not here: nets, databases.   Source: BVLC tools/extract_features.cpp.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import numpy as np

from caffe.proto import caffe_pb2

from .._caffe import common, log
from .._caffe.blob import Blob
from .._caffe.data.database_writer import DatabaseWriter
from .._caffe.net.net import Net
from . import gpus
from .entry import tool
from .flags import Help, parse, show_help
from .progress import Progress

USAGE = """This program takes in a trained network and an input data layer, and then extracts features of the input data
produced by the net.
Usage: extract_features  pretrained_net_param  feature_extraction_proto_file  extract_feature_blob_name1[,name2,...]
  save_feature_dataset_name1[,name2,...]  num_mini_batches  db_type  [CPU/GPU] [DEVICE_ID=0]
Note: you can extract multiple features in one pass by specifying multiple feature blob names and dataset names
separated by ','. The names cannot contain white space characters and the number of blobs and datasets must be
equal."""


@tool
def main(argv: list[str]) -> int:
    """Run extract_features; return the exit code."""
    try:
        words = parse(argv, [], USAGE).words
    except Help as text:
        return show_help(text)
    if not 6 <= len(words) <= 8:
        raise ValueError(f"extract_features: got {len(words)} arguments, want 6 to 8 (extract_features -help lists "
                         "them)")
    weights, prototxt, names, targets, batches, backend = words[:6]
    blob_names, paths = names.split(","), targets.split(",")
    if len(blob_names) != len(paths):
        raise ValueError("the number of blob names and dataset names must be equal; got "
                         f"{len(blob_names)} and {len(paths)}")
    if len(set(paths)) < len(paths):
        raise ValueError(f"dataset names {targets}: one occurs twice; want a different name for each blob")
    if not batches.isdigit() or int(batches) < 1:
        raise ValueError(f"num_mini_batches '{batches}': want a whole number of at least 1")
    _choose_device(words[6:])
    net = Net(prototxt, common.TEST)
    net.copy_from(weights)
    for name in blob_names:
        if name not in net.blobs:
            raise ValueError(f"Unknown feature blob name {name} in the network {prototxt}")
    extract(net, dict(zip(paths, blob_names, strict=True)), int(batches), backend)
    log.info("Successfully extracted the features!", "extract_features.cpp:184")
    return 0


def _choose_device(words: list[str]) -> None:
    if words and words[0] not in ("CPU", "GPU"):
        raise ValueError(f"'{words[0]}': want CPU or GPU")
    gpus.select(gpus.chosen((words[1:] or ["0"])[0] if words[:1] == ["GPU"] else "")[:1])


def extract(net: Net, blobs: dict[str, str], batches: int, backend: str = "lmdb") -> None:
    """Run a net over its data, and put each item of the blobs into databases.

    Args:
        net: a net with its own data.
        blobs: name of a blob by path of the database to make.
        batches: forward passes.
        backend: "lmdb" or "leveldb".
    """
    log.info("Extracting Features", "extract_features.cpp:136")
    with ExitStack() as stack:
        writers = {path: stack.enter_context(DatabaseWriter(path, backend)) for path in blobs}
        progress = stack.enter_context(Progress(0, batches, "batch"))
        for batch in range(batches):
            progress.update(batch)
            net.forward_from_to(0, len(net.layers) - 1)
            for path, name in blobs.items():
                writer = writers[path]
                for datum in datums(net.blobs[name]):
                    writer.put(f"{writer.count:010d}".encode(), datum.SerializeToString())
                    if writer.count % 1000 == 0:
                        _say(writer, name)
        for path, name in blobs.items():
            if writers[path].count % 1000:
                _say(writers[path], name)


def _say(writer: DatabaseWriter, name: str) -> None:
    log.info(f"Extracted features of {writer.count} query images for feature blob {name}", "extract_features.cpp:166")


def datums(blob: Blob) -> Any:
    """Yield a Datum of floats for each item of a blob, with the legacy sizes, as in Caffe."""
    items = blob.num
    for values in np.asarray(blob.data).reshape(items, -1):
        yield caffe_pb2.Datum(channels=blob.channels, height=blob.height, width=blob.width, float_data=values)
