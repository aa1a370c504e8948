"""The net that scores a record on a split, with the ids of that split.

In:   a Record, the name of a split or None, folders in place of the net's.
Out:  a caffe.Net in TEST phase whose data layer walks the split in file order; the ids.
Not here: counting (tally.py), choosing a net (nets/choice.py), the layouts of data sets (layers/).
"""

from __future__ import annotations

import ast
import importlib
import os
import tempfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from nets import NetError
from nets.loading import open_net
from nets.prototxt import read_prototxt, write_prototxt
from nets.record import Head, Record

ROOT = Path(__file__).resolve().parent.parent
PHASES = ("val", "test")  # files of the net that scores: the released sets have the one or the other


class ScoredNet(NamedTuple):
    """A net that is ready to walk a split."""

    net: Any
    ids: list[str]  # in the order of its passes
    split: str
    is_own: bool  # the split is that of the net's own val.prototxt or test.prototxt


def open_split(record: Record, split: str | None = None, dirs: Mapping[str, str] | None = None,
               mask: str | None = None, shard: tuple[int, int] = (0, 1)) -> ScoredNet:
    """Build the val (or test) net of a record with another split in its data layer.

    Args:
        record: its deploy net's folder holds val.prototxt or test.prototxt, too.
        split: name of a list of ids; None: the net's own.
        dirs: folders by key of param_str (voc_dir, nyud_dir, ...), in place of the net's.
        mask: foreground, background or both, which the data layer then hides from the net; None: neither.
        shard: (number, of how many): walk only every so-manieth id, from that number on.

    Returns:
        The net with the record's weights, and what it walks.

    Raises:
        NetError: no such net, no such split (lists those there are), heads not the record's, weights of none of its
            layers or that are no numbers.
    """
    from caffe.proto import caffe_pb2

    path = scoring_prototxt(Path(record.deploy).parent)
    message = read_prototxt(path, caffe_pb2.NetParameter())
    layer, param = data_layer(message, path)
    own = param["split"]
    _change(param, path, {**(dirs or {}), **({"mask": mask} if mask else {})}, optional=("mask",))
    param.update({key: value for key, value in _from_root(param).items() if key not in (dirs or {})})
    param["split"] = split or own
    if "train" in param["split"]:
        param["randomize"] = False  # data layers draw at random from splits so called
    if shard[1] > 1:
        param["shard"] = shard
    layer.python_param.param_str = repr(param)
    ids = _ids(layer, param["split"])
    with tempfile.TemporaryDirectory() as folder:
        scored = os.path.join(folder, path.name)
        write_prototxt(message, scored)
        net = open_net(scored, record.weights, record.net)
    for head in record.heads:
        _check_head(net, record, head)
    return ScoredNet(net, ids, param["split"], param["split"] == own)


def open_labels(net: str, split: str | None, dirs: Mapping[str, str | None]) -> tuple[Any, Any, str]:
    """Open the data layer that a net of the zoo is scored with, without the net.

    Args:
        net: name in the zoo.
        split: name of a list of ids; None: the one that the net is scored on.
        dirs: folders by key of param_str; None keeps the net's.

    Returns:
        The data layer (`indices`, `load_label(id)`), the net's first head, the split's name.

    Raises:
        NetError: no such net or split, or a folder that the layer does not have.
    """
    from data.sets import SETS
    from nets import zoo

    message = zoo.emit(net, zoo.scoring_phase(net))
    layer, param = data_layer(message, Path(net))
    given = {key: value for key, value in dirs.items() if value is not None}
    _change(param, Path(net), given, optional=())
    param.update({key: value for key, value in _from_root(param).items() if key not in given})
    param["split"] = split or param["split"]
    layer.python_param.param_str = repr(param)
    _ids(layer, param["split"])
    return opened(layer), SETS[net.split("-")[0]].heads[0], param["split"]


def scoring_prototxt(folder: Path) -> Path:
    """Give the net of a folder that is scored: val.prototxt, or else test.prototxt."""
    paths = [folder / f"{phase}.prototxt" for phase in PHASES]
    return next((path for path in paths if path.exists()), paths[0])


def data_layer(message: Any, path: Path) -> tuple[Any, dict]:
    """Find the Python layer that has a split; gives it and its param_str as a dict.

    Args:
        message: a NetParameter.
        path: where it was read, for errors.

    Raises:
        NetError: there is none, or its module cannot be found.
    """
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


def opened(layer: Any) -> Any:
    """Open a message's data layer without its net: it has `indices`, `split_file()`, `load_label(id)`."""
    python = layer.python_param
    return getattr(importlib.import_module(python.module), python.layer).opened(python.param_str)


def _change(param: dict, path: Path, changes: Mapping[str, Any], optional: tuple[str, ...]) -> None:
    """Put other values in, but only where the data layer has such a key."""
    for key, value in changes.items():
        if key not in param and key not in optional:
            known = ", ".join(name for name in param if name.endswith("_dir"))
            raise NetError(f"'{path}': its data layer takes no {key}, but {known}")
        param[key] = value


def _ids(layer: Any, split: str) -> list[str]:
    """Read the ids as the data layer does."""
    try:
        return list(opened(layer).indices)
    except ValueError as error:
        raise NetError(f"split '{split}': {error}{_origin(str(error))}") from error


def _from_root(param: dict) -> dict:
    """Folders that are not here but in the project, when a command runs elsewhere."""
    folders = {key: value for key, value in param.items() if key.endswith("_dir")}
    return {key: str(ROOT / value) for key, value in folders.items()
            if not Path(value).exists() and (ROOT / value).exists()}


def _origin(message: str) -> str:
    """Where the list named in a message comes from, if it is that of a known data set."""
    from data.sets import SETS

    needs = [need for row in SETS.values() for need in row.needs if need.place.endswith(".txt")]
    return next((f"; {need.origin}" for need in needs if f"{need.place}'" in message), "")


def _check_head(net: Any, record: Record, head: Head) -> None:
    for blob in (head.score, head.label):
        if blob not in net.blobs:
            raise NetError(f"net '{record.net}': no blob '{blob}', which its record names; it has "
                           f"{', '.join(net.blobs)}")
    outputs = net.blobs[head.score].shape[1]
    if outputs != len(head.classes):
        raise NetError(f"net '{record.net}': {outputs} scores a pixel in '{head.score}', {len(head.classes)} "
                       f"classes in the record of '{record.weights}'; it belongs to another net")
