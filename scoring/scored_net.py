"""The net that scores a record on a split, with the ids of that split.

In:   a Record, the name of a split.
Out:  a caffe.Net in TEST phase whose data layer walks the split in file order; the ids.
Not here: counting (score.py), choosing a net (nets/choice.py).
"""

from __future__ import annotations

import ast
import os
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nets import NetError
from nets.prototxt import read_prototxt, write_prototxt
from nets.record import Record

ROOT = Path(__file__).resolve().parent.parent


def open_split(record: Record, split: str,
               voc_dir: str | None = None) -> tuple[Any, list[str]]:
    """Build the val net of a record with another split in its data layer.

    Args:
        record: its deploy net's folder holds val.prototxt, too.
        split: name of a list of ids.
        voc_dir: folder in VOC devkit layout, in place of the val net's.

    Returns:
        the net with the record's weights, and the ids in the order of its passes.

    Raises:
        NetError: no val net, no such split (lists those there are), classes not the record's.
    """
    import caffe
    from caffe.proto import caffe_pb2

    path = Path(record.deploy).with_name("val.prototxt")
    message = read_prototxt(path, caffe_pb2.NetParameter())
    layer, param = _data_layer(message, path)
    if voc_dir is not None:
        if "voc_dir" not in param:
            raise NetError(f"'{path}': its data layer takes no voc_dir, but {', '.join(param)}")
        param["voc_dir"] = voc_dir
    else:
        param.update(_from_root(param))
    ids = _read_ids(_split_file(param, split), split)
    param["split"] = split
    if "train" in split:
        param["randomize"] = False  # data layers draw at random from splits so called
    layer.python_param.param_str = repr(param)
    with tempfile.TemporaryDirectory() as folder:
        scored = os.path.join(folder, "val.prototxt")
        write_prototxt(message, scored)
        net = caffe.Net(scored, caffe.TEST, weights=record.weights)
    _check_classes(net, record)
    return net, ids


def _data_layer(message: Any, path: Path) -> tuple[Any, dict]:
    """The Python layer that has a split, and its param_str as a dict."""
    for layer in message.layer:
        if layer.type != "Python":
            continue
        try:
            param = ast.literal_eval(layer.python_param.param_str)
        except (ValueError, SyntaxError):
            continue
        if isinstance(param, dict) and "split" in param:
            module = layer.python_param.module
            if find_spec(module) is None:
                raise NetError(f"'{path}': layer '{layer.name}' needs module '{module}'; put "
                               f"layers/ on the path (PYTHONPATH=layers:., or `make setup`)")
            return layer, param
    raise NetError(f"'{path}': no Python data layer with a `split`; only nets for segmentation can "
                   f"be scored")


def _split_file(param: dict, split: str) -> Path:
    """Where the data layers look for a split's list (the released layers' places)."""
    keys = [key for key in param if key.endswith("_dir")]
    if not keys:
        raise NetError(f"split '{split}': the data layer's param_str names no folder (`..._dir`)")
    if "context_dir" in param and "voc_dir" in param:
        return Path(param["voc_dir"], "VOC2010", "ImageSets", "Main", f"{split}.txt")
    if "voc_dir" in param:
        return Path(param["voc_dir"], "ImageSets", "Segmentation", f"{split}.txt")
    return Path(param[keys[0]], f"{split}.txt")


def _from_root(param: dict) -> dict:
    """Folders that are not here but in the project, when a command runs elsewhere."""
    folders = {key: value for key, value in param.items() if key.endswith("_dir")}
    return {key: str(ROOT / value) for key, value in folders.items()
            if not Path(value).exists() and (ROOT / value).exists()}


def _read_ids(path: Path, split: str) -> list[str]:
    if not path.is_file():
        there = ", ".join(sorted(other.stem for other in path.parent.glob("*.txt"))) or "none"
        raise NetError(f"split '{split}': no list '{path}'; splits there: {there}; {_origin(path)}")
    try:
        with open(path, encoding="utf-8-sig") as stream:  # line by line, as the data layers read it
            ids = [line.strip() for line in stream if line.strip()]
    except UnicodeDecodeError as error:
        raise NetError(f"split '{split}': the list '{path}' is not text ({error.reason}); want one "
                       f"id a line; {_origin(path)}") from error
    if not ids:
        raise NetError(f"split '{split}': the list '{path}' is empty; want one id a line; "
                       f"{_origin(path)}")
    return ids


def _origin(path: Path) -> str:
    """Where the list of a known data set comes from."""
    from data.sets import SETS

    for row in SETS.values():
        for need in row.needs:
            if Path(need.place) == path:
                return need.origin
    return "`python -m data` says what comes from where"


def _check_classes(net: Any, record: Record) -> None:
    if "score" not in net.blobs:
        raise NetError(f"net '{record.net}': no blob 'score'; it has {', '.join(net.blobs)}")
    outputs = net.blobs["score"].shape[1]
    if outputs != len(record.classes):
        raise NetError(f"net '{record.net}': {outputs} scores a pixel, {len(record.classes)} "
                       f"classes in the record of '{record.weights}'; it belongs to another net")
