"""Nets whose data come from LMDBs: Caffe's own Data layers, one a top, in the place of the Python data layer.

In:   a net of the zoo as `emit` gives it, the folder above all LMDB pairs.
Out:  the same net with Data layers; where each pair is expected.
Not here: writing the LMDBs (data/lmdb_pairs), which must be in the Python layer's order for equal losses.
Source: ours; the fields are caffe.proto's DataParameter and TransformationParameter.
"""

from __future__ import annotations

import ast
from typing import Any, Dict, Tuple

from caffe.proto import caffe_pb2
from data.lmdb_pairs.source import stores_pixels
from data.sets import SETS
from nets import NetError
from nets.data_layers import LAYERS

FOLDER = "data/lmdb"  # from the project's root


def pair_folder(name: str, net: Any, folder: str = FOLDER) -> str:
    """Give where the LMDBs of a net's phase lie: FOLDER/SET-SPLIT, for VOC FOLDER/LAYER-SPLIT (sbdd-train)."""
    layer, params = _python_layer(name, net)
    data_set = name.split("-")[0]
    kind = next(key for key, row in LAYERS.items() if row.layer == layer.python_param.layer)
    return f"{folder}/{kind if data_set == 'voc' else data_set}-{params['split']}"


def with_lmdb(name: str, net: Any, folder: str = FOLDER) -> Any:
    """Give a net with Data layers: batch_size 1, the mean subtracted from pixels, depth and labels as they are.

    Args:
        name: of the net in the zoo.
        net: NetParameter of one of its phases; one without a data layer (deploy) is given back as it is.
        folder: above the pairs.

    Raises:
        NetError: the net is a classifier's, whose data are a list of images.
    """
    if not any(layer.type == "Python" for layer in net.layer):
        return net
    found, params = _python_layer(name, net)
    place = pair_folder(name, net, folder)
    fed = caffe_pb2.NetParameter()
    fed.CopyFrom(net)
    del fed.layer[:]
    for top, kind in zip(found.top, params.get("tops", found.top)):
        fed.layer.append(_data_layer(name, top, kind, f"{place}/{kind}", params))
    fed.layer.extend(layer for layer in net.layer if layer != found)
    return fed


def _data_layer(name: str, top: str, kind: str, source: str, params: Dict[str, Any]) -> Any:
    layer = caffe_pb2.LayerParameter(name=top, type="Data", top=[top])
    layer.data_param.source, layer.data_param.batch_size = source, 1
    layer.data_param.backend = caffe_pb2.DataParameter.LMDB
    means = SETS[name.split("-")[0]].means
    kind = "color" if kind == "data" else kind
    if kind in means and kind != "depth" and stores_pixels(params):  # else the LMDB holds what the net takes
        layer.transform_param.mean_value.extend(params.get("mean", means[kind]))
        if "scale" in params:
            layer.transform_param.scale = params["scale"]
    return layer


def _python_layer(name: str, net: Any) -> Tuple[Any, Dict[str, Any]]:
    """Find the Python data layer of a net, and its param_str as a dict."""
    found = [layer for layer in net.layer if layer.type == "Python" and not layer.bottom]
    if len(found) != 1 or "split" not in (params := ast.literal_eval(found[0].python_param.param_str)):
        raise NetError(f"net '{name}': its data are no pairs of images and labels, so it has no LMDB form; "
                       "leave out --data lmdb")
    return found[0], params
