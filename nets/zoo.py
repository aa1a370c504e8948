"""The zoo: one row for every net, and the messages of its phases.

In:   a name, a phase, and folders where they differ from the defaults.
Out:  a NetParameter; a net's phases and inputs.
Not here: how a row becomes a net (rows), files (prototxt), solver settings (solvers).
Source: the released nets under their released names; the nets of the papers that were never released; ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from data.sets import SETS, DataSet
from nets import NetError
from nets.alexnet import AlexNet
from nets.data_layers import Feed
from nets.googlenet import GoogLeNet
from nets.heads import AT_ONCE
from nets.rows import CastForm, Classifier, Fcn, Row
from nets.squeezenet import SqueezeNet
from nets.vgg16 import Vgg16

DIRS = {  # from the project's root; `emit(..., voc_dir=...)` puts another in the place of a net's own
    "voc_dir": SETS["voc"].val_dir,  # PASCAL-Context: the folder above VOC2010; the embedded set: its own
    "sbdd_dir": SETS["voc"].train_dir,
    "context_dir": SETS["pascalcontext"].train_dir,
    "nyud_dir": SETS["nyud"].train_dir,
    "siftflow_dir": SETS["siftflow"].train_dir,
    "classifier_dir": "data/shapes/classifier",
}
TRAINVAL = ("trainval", "test", "deploy")  # phases of the sets whose two splits are called so


def _feeds(layer: str, splits: tuple[str, str], dirs: dict[str, str], **options: Any) -> dict[str, Any]:
    train, val = (Feed(layer, split, dirs, options) for split in splits)
    return dict(train=train, val=val)


def _context(name: str) -> dict[str, Any]:
    """PASCAL-Context: background is class 0 and scored like the others, for 60 classes as for 34."""
    row = SETS[name]
    classes = {} if name == "pascalcontext" else dict(classes=len(row.classes))
    dirs = dict(voc_dir="data/pascal", context_dir=row.train_dir)
    return dict(heads=row.heads, **_feeds("pascalcontext", ("train", "val"), dirs, **classes))


def _nyud(*inputs: tuple[str, str]) -> dict[str, Any]:
    kinds = [kind for _, kind in inputs]
    return dict(heads=SETS["nyud"].heads, phases=TRAINVAL, inputs=inputs, size=(425, 560),
                **_feeds("nyud", ("trainval", "test"), dict(nyud_dir=DIRS["nyud_dir"]), tops=[*kinds, "label"]))


def _classifier_feeds(row: DataSet, batch: int) -> dict[str, Any]:
    options = dict(batch=batch, mean=row.mean_bgr)
    dirs = dict(classifier_dir=DIRS["classifier_dir"])
    return dict(train=Feed("classification", "train", dirs, dict(options, mirror=True, scale=row.scale)),
                val=Feed("classification", "val", dirs, dict(options, scale=row.scale)))


_VOC, _SHAPES = SETS["voc"], SETS["shapes"]
_SEG11VALID = Feed("voc", "seg11valid", dict(voc_dir=_VOC.val_dir), dict(mean=_VOC.mean_bgr))
VOC: dict[str, Any] = dict(
    heads=_VOC.heads, train=Feed("sbdd", "train", dict(sbdd_dir=_VOC.train_dir), dict(mean=_VOC.mean_bgr)),
    val=_SEG11VALID)
# Photographs and labels of one folder in VOC layout, trained at mean loss over the pixels.
PHOTOGRAPHS: dict[str, Any] = dict(
    heads=_VOC.heads, normalize=True, val=_SEG11VALID,
    train=Feed("voc", "train", dict(voc_dir=_VOC.val_dir), dict(mean=_VOC.mean_bgr, mirror=True)))
CONTEXT, CONTEXT33 = _context("pascalcontext"), _context("pascalcontext33")
SIFTFLOW: dict[str, Any] = dict(
    heads=SETS["siftflow"].heads, phases=TRAINVAL, size=(256, 256),
    **_feeds("siftflow", ("trainval", "test"), dict(siftflow_dir=DIRS["siftflow_dir"])))
COLOR, HHA, DEPTH = (("data", "color"),), (("data", "hha"),), ("depth", "depth")
# The embedded set. Its nets start from stock fillers, made for inputs of about unit size; hence scale.
_SHAPES_DIRS = dict(voc_dir=_SHAPES.train_dir)
_SHAPES_OPTIONS = dict(scale=_SHAPES.scale, classes=len(_SHAPES.classes))  # a label of another class names its file
SHAPES: dict[str, Any] = dict(
    heads=_SHAPES.heads, normalize=True, size=(192, 256),
    train=Feed("voc", "train", _SHAPES_DIRS, dict(mean=_SHAPES.mean_bgr, mirror=True, **_SHAPES_OPTIONS)),
    val=Feed("voc", "seg11valid", _SHAPES_DIRS, dict(mean=_SHAPES.mean_bgr, **_SHAPES_OPTIONS)))
SHAPES_BATCH = 16

# Slim: same layers and names, a fraction of the width. Dropout .5 would slow so small a net badly.
SLIM = Vgg16(widths=(8, 16, 32, 64, 64), fc=256, dropout=0.1)
SLIM_ALEXNET = AlexNet(widths=(24, 48, 64, 64, 48), fc=256, dropout=0.1)
SLIM_GOOGLENET = GoogLeNet(width=1 / 4, pad=35, dropout=0.1)
SLIM_SETTINGS: dict[type, dict[str, Any]] = {
    Vgg16: dict(widths=SLIM.widths, fc=SLIM.fc), AlexNet: dict(widths=SLIM_ALEXNET.widths, fc=SLIM_ALEXNET.fc),
    GoogLeNet: dict(width=SLIM_GOOGLENET.width)}
# The one place that says how the slim classifiers start.
MSRA = dict(type="msra")
SLIM_CLASSIFIER = replace(SLIM, pad=1, weight_filler=MSRA)
SLIM_CLASSIFIER_ALEXNET = replace(SLIM_ALEXNET, pad=0, weight_filler=MSRA)
SLIM_CLASSIFIER_GOOGLENET = replace(SLIM_GOOGLENET, pad=3, weight_filler=MSRA)
SHAPES_CLASSIFIER: dict[str, Any] = dict(
    num_classes=len(_SHAPES.classes) - 1, score_filler=dict(type="gaussian", std=0.06),  # no background
    **_classifier_feeds(_SHAPES, SHAPES_BATCH))

ZOO: dict[str, Row] = {
    # PASCAL VOC
    "voc-fcn32s": Fcn(**VOC),
    "voc-fcn16s": Fcn(**VOC, stride=16),
    "voc-fcn8s": Fcn(**VOC, stride=8),
    "voc-fcn8s-atonce": Fcn(**VOC, stride=8, skips=AT_ONCE),
    "voc-fcn-alexnet": Fcn(**VOC, trunk=AlexNet(), kernel=63, normalize=True),
    # of the papers, never released
    "voc-fcn-googlenet": Fcn(**VOC, trunk=GoogLeNet(), kernel=63, normalize=True),
    "voc-fcn32s-fixed": Fcn(**VOC, trunk=Vgg16(learns=False)),  # only the scores learn
    "voc-fcn-pool5": Fcn(**VOC, trunk=Vgg16(end="pool5"), skips=()),
    "voc-fcn-pool4": Fcn(**VOC, trunk=Vgg16(end="pool4"), stride=16, skips=()),
    "voc-fcn-pool3": Fcn(**VOC, trunk=Vgg16(end="pool3"), stride=8, skips=()),
    "voc-fcn4s": Fcn(**VOC, stride=4),
    "voc-fcn-squeezenet": Fcn(**PHOTOGRAPHS, trunk=SqueezeNet(), stride=8),
    # PASCAL-Context
    "pascalcontext-fcn32s": Fcn(**CONTEXT),
    "pascalcontext-fcn16s": Fcn(**CONTEXT, stride=16),
    "pascalcontext-fcn8s": Fcn(**CONTEXT, stride=8),
    "pascalcontext33-fcn32s": Fcn(**CONTEXT33),
    "pascalcontext33-fcn16s": Fcn(**CONTEXT33, stride=16),
    "pascalcontext33-fcn8s": Fcn(**CONTEXT33, stride=8),
    # NYUDv2
    "nyud-fcn32s-color": Fcn(**_nyud(*COLOR)),
    "nyud-fcn32s-hha": Fcn(**_nyud(*HHA)),
    "nyud-fcn32s-color-d": Fcn(**_nyud(("color", "color"), DEPTH), trunk=Vgg16(first="conv1_1_bgrd"), fusion="early"),
    "nyud-fcn32s-color-hha": Fcn(**_nyud(("color", "color"), ("hha", "hha")), fusion="late"),
    "nyud-fcn16s-color-hha": Fcn(**_nyud(("color", "color"), ("hha", "hha")), fusion="late", stride=16),
    # SIFT Flow
    "siftflow-fcn32s": Fcn(**SIFTFLOW),
    "siftflow-fcn16s": Fcn(**SIFTFLOW, stride=16),
    "siftflow-fcn8s": Fcn(**SIFTFLOW, stride=8),
    # the embedded set
    "shapes-vgg16": Classifier(trunk=SLIM_CLASSIFIER, **SHAPES_CLASSIFIER),
    "shapes-vgg16-fcn": CastForm(SLIM_CLASSIFIER),
    "shapes-fcn32s": Fcn(**SHAPES, trunk=SLIM),
    "shapes-fcn16s": Fcn(**SHAPES, trunk=SLIM, stride=16),
    "shapes-fcn8s": Fcn(**SHAPES, trunk=SLIM, stride=8),
    "shapes-alexnet": Classifier(trunk=SLIM_CLASSIFIER_ALEXNET, **SHAPES_CLASSIFIER),
    "shapes-alexnet-fcn": CastForm(SLIM_CLASSIFIER_ALEXNET),
    "shapes-fcn-alexnet": Fcn(**SHAPES, trunk=SLIM_ALEXNET, kernel=63),
    "shapes-googlenet": Classifier(trunk=SLIM_CLASSIFIER_GOOGLENET, **SHAPES_CLASSIFIER),
    "shapes-googlenet-fcn": CastForm(SLIM_CLASSIFIER_GOOGLENET),
    "shapes-fcn-googlenet": Fcn(**SHAPES, trunk=SLIM_GOOGLENET, kernel=63),
    # ILSVRC classifiers, and the forms that FCNs start from
    "ilsvrc-vgg16": Classifier(1000, Vgg16(pad=1)),
    "ilsvrc-vgg16-fcn": CastForm(Vgg16(pad=1)),
    "ilsvrc-caffenet": Classifier(1000, AlexNet(pad=0), size=(227, 227)),
    "ilsvrc-caffenet-fcn": CastForm(AlexNet(pad=0), size=(227, 227)),
    "ilsvrc-googlenet": Classifier(1000, GoogLeNet(pad=3)),
    "ilsvrc-googlenet-fcn": CastForm(GoogLeNet(pad=3)),
}


def phases(name: str) -> tuple[str, ...]:
    """Give the phases of a net of the zoo: train, val (or trainval, test) and deploy, or deploy alone."""
    return _row(name).phases


def training_phase(name: str) -> str:
    """Give the name of the phase that a net is trained in: train or trainval."""
    return _trained(name)[0]


def scoring_phase(name: str) -> str:
    """Give the name of the phase that a net is scored in: val or test."""
    return _trained(name)[1]


def inputs(name: str) -> tuple[tuple[str, str], ...]:
    """Give blob and kind (color, hha or depth) of each input of a net."""
    return _row(name).inputs


def slimmed(row: Row) -> Row:
    """Give the same net with a slim trunk, as the embedded set's: for tests. SqueezeNet is slim already."""
    if isinstance(row.trunk, SqueezeNet):
        return row
    return replace(row, trunk=replace(row.trunk, **SLIM_SETTINGS[type(row.trunk)]))


def emit(name: str, phase: str, **dirs: str | None) -> Any:
    """Give the NetParameter of a net's phase.

    Args:
        name: a key of ZOO.
        phase: one of `phases(name)`.
        **dirs: folders in place of a net's own, by the keys of DIRS; None keeps the default.

    Raises:
        NetError: unknown name, phase or folder; lists the known.
    """
    row = _row(name)
    if phase not in row.phases:
        raise NetError(f"net '{name}': no phase '{phase}', has {', '.join(row.phases)}")
    if set(dirs) - set(DIRS):
        raise NetError(f"net '{name}': unknown folder {sorted(set(dirs) - set(DIRS))}, known are {sorted(DIRS)}")
    return row.build(phase, {key: value for key, value in dirs.items() if value is not None}).to_proto()


def _trained(name: str) -> tuple[str, ...]:
    found = _row(name).phases
    if len(found) == 1:
        raise NetError(f"net '{name}': it is not trained here, it has {found[0]} alone")
    return found


def _row(name: str) -> Row:
    if name not in ZOO:
        raise NetError(f"net '{name}': not in the zoo; known are {', '.join(ZOO)}")
    return ZOO[name]
