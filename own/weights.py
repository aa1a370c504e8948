"""Initial weights: which there are, what trunk a caffemodel has, and the surgery that fits it to a new net.

In:   --init (a file, a kind, or nothing), the net that is to be trained.
Out:  a `Start`; a caffemodel whose layers have the new net's names and shapes.
Not here: nets (nets.py), how long and how fast they learn (plan).
Source: Long et al., section 4; means of ILSVRC as in the FCN release.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple, Union

import numpy as np

import caffe
from caffe.proto import caffe_pb2
from data.sets import SETS
from nets import NetError
from nets.alexnet import AlexNet
from nets.googlenet import GoogLeNet
from nets.record import load_record, record_path
from nets.squeezenet import SqueezeNet
from nets.vgg16 import CONVOLUTIONS, Vgg16
from nets.zoo import SLIM, SLIM_CLASSIFIER, SLIM_GOOGLENET
from own import OwnError
from surgery.base_nets import save_whole

Mean = Tuple[float, float, float]
Trunk = Union[Vgg16, AlexNet, GoogLeNet, SqueezeNet]
ILSVRC_MEAN: Mean = SETS["voc"].mean_bgr
EMBEDDED = "shapes"
NONE = "none"
# By kind, the files of weights in order of liking, and what they are.
PLACES: Dict[str, Tuple[Tuple[str, ...], str]] = {
    "vgg16": (("models/ilsvrc-nets/vgg16-fcn.caffemodel", "models/ilsvrc-nets/VGG_ILSVRC_16_layers.caffemodel"),
              "VGG16, trained on ILSVRC"),
    "googlenet": (("models/ilsvrc-nets/googlenet-fcn.caffemodel", "models/ilsvrc-nets/bvlc_googlenet.caffemodel"),
                  "GoogLeNet, trained on ILSVRC"),
    "alexnet": (("models/ilsvrc-nets/caffenet-fcn.caffemodel",
                 "models/ilsvrc-nets/bvlc_reference_caffenet.caffemodel"), "AlexNet (CaffeNet), trained on ILSVRC"),
    "squeezenet": (("models/ilsvrc-nets/squeezenet_v1.0.caffemodel",), "SqueezeNet, trained on ILSVRC"),
    EMBEDDED: (("models/shapes-vgg16/shapes-vgg16-fcn.caffemodel", "models/shapes-vgg16/shapes-vgg16.caffemodel"),
               "the embedded classifier: a slim VGG16 that knows drawn shapes only, no photographs"),
}
ON_GPU = ("vgg16", "googlenet", "alexnet", "squeezenet", EMBEDDED)
ON_CPU = ("squeezenet", "alexnet", "googlenet", "vgg16", EMBEDDED)  # a step of VGG16 takes some ten seconds there
_SQUEEZED = {"squeeze1x1": "conv1x1_1", "expand1x1": "conv1x1_2", "expand3x3": "conv3x3_2"}


@dataclass(frozen=True)
class Start:
    """Where a training starts."""

    trunk: Trunk
    words: str  # what the weights are, for people
    path: Optional[str] = None  # None: from random weights
    mean_bgr: Optional[Mean] = ILSVRC_MEAN  # None: of the user's own images
    scale: float = 1.0
    stride: Optional[int] = None  # of the FCN that the weights are already

    @property
    def slim(self) -> bool:
        """Whether the trunk is a narrow one, which learns fast at high rates."""
        if isinstance(self.trunk, SqueezeNet):
            return False
        if isinstance(self.trunk, GoogLeNet):
            return self.trunk.width < 1
        return self.trunk.widths[0] < type(self.trunk)().widths[0]


def find_start(init: Optional[str], gpu: bool) -> Start:
    """Find initial weights: those asked for, or the best that are here.

    Args:
        init: path of a caffemodel, a key of PLACES, `none`, or None for the best.
        gpu: whether to train on a GPU; decides what is best.

    Raises:
        OwnError: the file is missing or of an unknown trunk, or nothing is here at all.
    """
    if init == NONE:
        return Start(replace(SLIM, weight_filler=SLIM_CLASSIFIER.weight_filler), "random weights of a slim VGG16",
                     mean_bgr=None, scale=SETS[EMBEDDED].scale)
    if init is not None and init not in PLACES:
        if not Path(init).is_file():
            raise OwnError(f"--init '{init}': no such file; want a caffemodel, or one of {', '.join(PLACES)}, {NONE}")
        return recognise(init, "")
    for kind in (init,) if init else ON_GPU if gpu else ON_CPU:
        files, words = PLACES[kind]
        for path in files:
            if Path(path).is_file():
                return recognise(path, words)
    wanted = "; ".join(f"{kind}: {files[-1]}" for kind, (files, _) in PLACES.items() if init in (None, kind))
    raise OwnError(f"no initial weights here ({wanted}); `make shapes-vgg16` trains the embedded classifier in some "
                   f"minutes (`make mine` does so by itself), --init {NONE} starts from random weights, --init FILE "
                   "from a caffemodel of yours")


def recognise(path: str, words: str) -> Start:
    """Tell from the layers of a caffemodel what trunk it has.

    Raises:
        OwnError: it cannot be read, or its trunk is none that is known.
    """
    shapes = {name: blobs[0].shape for name, blobs in read_weights(path).items()}
    if "fire2/conv1x1_1" in shapes and shapes.get("conv1") == (96, 3, 7, 7):
        classes = shapes.get("conv_final", (1000,))[0]
        return _known(Start(SqueezeNet(classes=classes), words or "a SqueezeNet", path,
                            stride=8 if "score_fire4" in shapes else None))
    trunk = _vgg16(shapes) or _alexnet(shapes) or _googlenet(shapes)
    if trunk is None:
        raise OwnError(f"initial weights '{path}': their layers ({', '.join(list(shapes)[:5])}, ...) are of no trunk "
                       "known here; known are VGG16, AlexNet and GoogLeNet of any width, and SqueezeNet v1.0, as "
                       "classifiers or as FCNs")
    scores = (("score_pool3", 8), ("score_pool4", 16), ("score_fr", 32))
    start = Start(trunk, words or f"a {type(trunk).__name__} of your own", path,
                  stride=next((stride for score, stride in scores if score in shapes), None))
    if start.slim:  # narrow trunks are trained here, on the embedded set
        start = replace(start, mean_bgr=SETS[EMBEDDED].mean_bgr, scale=SETS[EMBEDDED].scale)
    return _known(start)


Shapes = Dict[str, Tuple[int, ...]]


def _vgg16(shapes: Shapes) -> Optional[Trunk]:
    if not {"conv1_1", "conv5_3", "fc6", "fc7"} <= set(shapes):
        return None
    widths = tuple(shapes[f"conv{block}_1"][0] for block in range(1, len(CONVOLUTIONS) + 1))
    fc = shapes["fc7"][0]
    return SLIM if (widths, fc) == (SLIM.widths, SLIM.fc) else Vgg16(widths=widths, fc=fc)


def _alexnet(shapes: Shapes) -> Optional[Trunk]:
    if shapes.get("conv1", ())[1:] != (3, 11, 11) or not {"conv5", "fc6", "fc7"} <= set(shapes):
        return None
    fc = shapes["fc7"][0]
    return AlexNet(widths=tuple(shapes[f"conv{number}"][0] for number in range(1, 6)), fc=fc,
                   dropout=AlexNet().dropout if fc == AlexNet().fc else SLIM.dropout)


def _googlenet(shapes: Shapes) -> Optional[Trunk]:
    if "conv1/7x7_s2" not in shapes:
        return None
    width = shapes["conv1/7x7_s2"][0] / 64
    return GoogLeNet() if width == 1 else replace(SLIM_GOOGLENET, width=width)


def read_weights(path: Union[str, Path]) -> Dict[str, List[np.ndarray]]:
    """Read a caffemodel's parameters: layer name to arrays, with SqueezeNet's names as its FCN has them.

    Raises:
        OwnError: it is no caffemodel.
    """
    message = caffe_pb2.NetParameter()
    try:
        message.ParseFromString(Path(path).read_bytes())
    except Exception as error:  # protobuf's own errors differ between its releases
        raise OwnError(f"initial weights '{path}': not a caffemodel ({error}); fetch or train it again") from error
    found = {_as_ours(layer.name): [_array(blob) for blob in layer.blobs]
             for layer in message.layer or message.layers if layer.blobs}
    if not found:
        raise OwnError(f"initial weights '{path}': no layer with parameters in it; want a caffemodel (snapshots also "
                       "leave a solverstate, which has none)")
    return found


def fit(start: Start, deploy: Path, out: Path) -> List[str]:
    """Write initial weights for a net: trunk layers by name and count, scores only where the classes are as many.

    Args:
        start: with a path.
        deploy: prototxt of the new net.
        out: caffemodel to write.

    Returns:
        what was done, a line each.

    Raises:
        OwnError: a layer of the trunk would get nothing, or weights of another size.
    """
    assert start.path is not None, "random weights need no surgery"
    given, net, lines = read_weights(start.path), caffe.Net(str(deploy), caffe.TEST), []
    for layer, blobs in net.params.items():
        if "up" in layer or layer.startswith("scale_"):
            continue  # bilinear kernels and fixed factors: not learned
        lines += _fit_layer(start.path, layer, given.get(layer), blobs)
    rest = sorted(set(given) - set(net.params))
    lines += [f"left out, no such layer in the new net: {', '.join(rest)}"] if rest else []
    save_whole(net, out)
    return lines


def _fit_layer(path: str, layer: str, given: Optional[List[np.ndarray]], blobs: Any) -> List[str]:
    """Fill one layer; gives a line where it was not simply copied."""
    score = layer.startswith("score")
    counts = [blob.data.size for blob in blobs]
    if given is None or [array.size for array in given] != counts:
        was = f"{given[0].shape[0]} outputs, want {blobs[0].data.shape[0]}" if given else "none"
        if not score:
            raise OwnError(f"initial weights '{path}': layer '{layer}' has {was}; they do not fit this net's trunk; "
                           "give others with --init")
        return [f"{layer}: starts at zero (the initial weights have {was})"]
    coerced = given[0].shape != blobs[0].data.shape
    for blob, array in zip(blobs, given):
        blob.data[...] = array.reshape(blob.data.shape)
    return [f"{layer}: {given[0].shape} became {tuple(blobs[0].data.shape)}"] if coerced else []


def _known(start: Start) -> Start:
    """Take mean and scale from the record beside the weights, where there is one."""
    if start.path is None or not record_path(start.path).exists():
        return start
    try:
        record = load_record(start.path)
    except NetError:
        return start  # another kind of JSON
    return replace(start, mean_bgr=record.mean_bgr, scale=record.scale)


def _array(blob: Any) -> np.ndarray:
    """Give a BlobProto as an array; old files have four numbers for its shape."""
    shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
    if not blob.HasField("shape"):
        while len(shape) > 1 and shape[0] == 1:
            shape = shape[1:]
    return np.array(blob.data if len(blob.data) else blob.double_data, np.float32).reshape(shape)


def _as_ours(name: str) -> str:
    """Rename SqueezeNet's layers of its first release to those of the Deep Compression release."""
    fire, _, part = name.partition("/")
    if fire.startswith("fire") and part in _SQUEEZED:
        return f"{fire}/{_SQUEEZED[part]}"
    return "conv_final" if name == "conv10" else name
