"""Which trained net a command works with: the one asked for, or the best one here.

In:   `--net NAME` and `--weights FILE`, either or none; the models folder.
Out:  a Record whose paths can be opened from here.
Not here: writing records (record.py), running nets (infer.py, score.py).
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from nets import NetError
from nets.record import Record, heads_of, inputs_of, load_record, record_path
from nets.weight_rows import WEIGHTS

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = "shapes-"  # nets of the embedded set, a stand-in until there is a net of a real one

__all__ = ["choose", "trained", "is_embedded", "how_to_get_voc", "models_folder"]


def models_folder() -> Path:
    """The folder `models` here, or else the project's own."""
    return Path("models") if Path("models").is_dir() else ROOT / "models"


def trained(models: Path | None = None) -> list[Record]:
    """Nets that can be run, best first: of real data before the embedded set's, then by mean IU.

    Args:
        models: folder with a folder a net; default `models_folder()`.

    Returns:
        Records with openable paths; without weights, a deploy net or the blob of its scores it is none.
    """
    models = models_folder() if models is None else Path(models)
    found = []
    for weights in sorted(models.glob("*/*.caffemodel")):
        if weights.stem != weights.parent.name:
            continue
        deploy = weights.parent / "deploy.prototxt"
        if record_path(weights).exists():
            found.append(_openable(load_record(weights), models, weights))
        elif deploy.exists() and _known_set(weights.stem):
            found.append(_without_record(weights.stem, models, weights))
    found = [record for record in found if _segments(record)]
    return sorted(found, key=lambda record: (is_embedded(record), -_mean_iu(record), record.net))


def choose(net: str | None = None, weights: str | None = None) -> Record:
    """The record of the net asked for, or of the best one.

    Args:
        net: name of a folder in models/, or None.
        weights: path of a caffemodel, or None for the net's published one.

    Raises:
        NetError: no such net or weights; lists what is there.
    """
    models = models_folder()
    if weights is not None:
        return _of_weights(net, Path(weights), models)
    if net is not None:
        return _named(net, models)
    nets = trained(models)
    if not nets:
        raise NetError(f"no trained net in '{models}'; train one (`make fcn32s`), or give "
                       f"--net and --weights")
    return nets[0]


def is_embedded(record: Record) -> bool:
    """Whether this net knows the embedded set's drawn objects only."""
    return record.net.startswith(EMBEDDED)


def how_to_get_voc() -> str:
    """What to do for a net that knows the 20 PASCAL VOC classes."""
    return ("the weights that the paper's authors released know the 20 classes of PASCAL VOC: fetch them with "
            "`make weights-voc-fcn8s`, or train with `make DATASET=voc fcn8s`")


def _named(net: str, models: Path) -> Record:
    """The published weights of one net, whatever the files of the others are like."""
    weights = models / net / f"{net}.caffemodel"
    if record_path(weights).exists() and weights.exists():
        return _openable(load_record(weights), models, weights)
    if weights.exists():
        return _without_record(net, models, weights)
    nets = trained(models)
    have = ", ".join(record.net for record in nets) or "none yet"
    if (models / net).is_dir():
        fetched = f", fetch the released ones (`make weights-{net}`)" if net in WEIGHTS else ""
        raise NetError(f"net '{net}': no weights '{models / net / net}.caffemodel'; train it "
                       f"(`make {net}`){fetched} or give --weights; trained here: {have}")
    raise NetError(f"net '{net}': unknown; trained here: {have}; nets with prototxts: "
                   f"{_folders(models)}")


def _of_weights(net: str | None, weights: Path, models: Path) -> Record:
    """Weights given as a file: their own record, or that of the net they belong to."""
    if not weights.is_file():
        near = weights.parent if weights.parent.is_dir() else models
        there = sorted(str(path) for path in near.rglob("*.caffemodel"))[:12]
        raise NetError(f"weights '{weights}': no such file; there are: "
                       f"{', '.join(there) or 'none'}")
    if record_path(weights).exists():
        record = _openable(load_record(weights), models, weights)
        if net not in (None, record.net):
            raise NetError(f"weights '{weights}': their record says net '{record.net}', --net says "
                           f"'{net}'; leave --net out")
        return record
    name = net or _folder_of(weights, models)
    if name is None:
        raise NetError(f"weights '{weights}': no record '{record_path(weights).name}' beside "
                       f"them, so say which net they are for: --net, one of {_folders(models)}")
    published = models / name / f"{name}.caffemodel"
    if record_path(published).exists():
        record = _openable(load_record(published), models, weights)
        return replace(record, iteration=None, scores={}, origin="")
    return _without_record(name, models, weights)


def _openable(record: Record, models: Path, weights: Path) -> Record:
    """Replace paths from the project's root by paths from here."""
    deploy = Path(record.deploy)
    if not deploy.exists():
        for other in (models.parent / deploy, models / record.net / "deploy.prototxt"):
            deploy = other if other.exists() else deploy
    return replace(record, deploy=str(deploy), weights=str(weights))


def _without_record(net: str, models: Path, weights: Path) -> Record:
    """Weights from elsewhere for a net of the zoo: mean and scale are those of its data set."""
    deploy, known = models / net / "deploy.prototxt", _known_set(net)
    if not deploy.exists():
        raise NetError(f"net '{net}': no '{deploy}'; known are {_folders(models)}")
    if known is None:
        raise NetError(f"net '{net}': its data set is not known; write a record beside "
                       f"'{weights}' (nets.record.save_record)")
    from nets import zoo

    inputs = inputs_of(zoo.inputs(net), known.means) if net in zoo.ZOO else ()
    return Record(net=net, deploy=str(deploy), weights=str(weights), classes=known.classes, mean_bgr=known.mean_bgr,
                  scale=known.scale, heads=heads_of(known), inputs=inputs)


def _known_set(net: str) -> Any:
    """The data set that a net is named after, or None."""
    from data.sets import SETS

    return SETS.get(net.split("-")[0])


def _segments(record: Record) -> bool:
    """Whether this is a net for segmentation, not a classifier: it has the blob of its first head's scores."""
    deploy = Path(record.deploy)
    content = deploy.read_bytes() if deploy.is_file() else b""
    return f'top: "{record.heads[0].score}"'.encode() in content


def _folder_of(weights: Path, models: Path) -> str | None:
    """The net in whose folder of models/ these weights lie, at whatever depth."""
    for parent in weights.resolve().parents:
        if parent.parent == models.resolve():
            return parent.name
    return None


def _folders(models: Path) -> str:
    names = sorted(path.parent.name for path in models.glob("*/deploy.prototxt"))
    return ", ".join(names) or "none"


def _mean_iu(record: Record) -> float:
    mean_iu = record.scores.get("mean_iu", 0.0)
    return mean_iu if math.isfinite(mean_iu) else 0.0  # nan where nothing was labelled
