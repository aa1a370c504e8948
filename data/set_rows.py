"""One row for every data set.

In:   `data/<folder>/classes*.txt`.
Out:  ROWS.
Not here: looking at the disk (sets.py), downloads (sources.py), reading images (layers/).
Source: means, splits and classes of `voc`, `pascalcontext`, `nyud` and `siftflow` as in the FCN release;
    the 33 classes of `pascalcontext33` as the data set's authors list them; checksums as published by others
    who serve the same archives; `shapes` is ours.
"""

from __future__ import annotations

from pathlib import Path

from data.set_types import DataSet, Head, Need, Split

HERE = Path(__file__).resolve().parent


def _classes(file: str) -> tuple[str, ...]:
    return tuple((HERE / file).read_text(encoding="utf-8").splitlines())


_VOC, _SBDD, _SHAPES = "data/pascal/VOC2011", "data/sbdd/dataset", "data/shapes"
_VOC_LISTS = "ImageSets/Segmentation"
_VOC_TAR = (
    "run `python -m data get voc`, or fetch http://host.robots.ox.ac.uk/pascal/VOC/voc2011/VOCtrainval_25-May-2011.tar"
    f" (unpack; move TrainVal/VOCdevkit/VOC2011 to {_VOC})"
)
_VOC_SUM = "md5 6c3384ef61512963050cb5d687e5bf1e"
_SBD_TAR = (
    "run `python -m data get sbd`, or fetch http://www.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/"
    f"benchmark.tgz (unpack; move benchmark_RELEASE/dataset to {_SBDD})"
)
_SBD_SUM = "md5 82b4d87ceb2ed10f6038a1cba92111cb, ungzipped 2b2af8a6cff7365684e002c08be823a6"
_MADE_HERE = "run `python -m data.shapes.generate`, which draws it"
_FLICKR = "photographs under Flickr's terms, for research; not to be passed on"


def _voc_split(name: str, folder: str) -> Split:
    """Return a split in the layout of a VOC devkit."""
    return Split(
        name, folder, f"{_VOC_LISTS}/{name}.txt", "JPEGImages/{}.jpg", "SegmentationClass/{}.png"
    )


_VOC_ROW = DataSet(
    name="voc",
    heads=(Head(_classes("pascal/classes.txt")),),
    means={"color": (104.00699, 116.66877, 122.67892)},
    scale=1.0,
    train_dir=_SBDD,
    val_dir=_VOC,
    splits=(
        Split("train", _SBDD, "train.txt", "img/{}.jpg", "cls/{}.mat"),
        _voc_split("seg11valid", _VOC),
    ),
    needs=(
        Need(f"{_SBDD}/train.txt", _SBD_TAR, _SBD_SUM),
        Need(f"{_SBDD}/img", _SBD_TAR, _SBD_SUM),
        Need(f"{_SBDD}/cls", _SBD_TAR, _SBD_SUM),
        Need(f"{_VOC}/JPEGImages", _VOC_TAR, _VOC_SUM),
        Need(f"{_VOC}/SegmentationClass", _VOC_TAR, _VOC_SUM),
        Need(
            f"{_VOC}/{_VOC_LISTS}/seg11valid.txt",
            "then run `python -m data.pascal.seg11valid`, which makes it of VOC's and SBD's",
        ),
    ),
    licence=_FLICKR,
)

_SHAPES_ROW = DataSet(
    name="shapes",
    heads=(Head(_classes("shapes/classes.txt")),),
    means={"color": (128.0, 128.0, 128.0)},
    scale=1 / 60,
    train_dir=f"{_SHAPES}/dataset",
    val_dir=f"{_SHAPES}/dataset",
    splits=(
        _voc_split("train", f"{_SHAPES}/dataset"),
        _voc_split("seg11valid", f"{_SHAPES}/dataset"),
        Split("classifier train", f"{_SHAPES}/classifier", "train.txt", "images/{}"),
        Split("classifier val", f"{_SHAPES}/classifier", "val.txt", "images/{}"),
    ),
    needs=(
        Need(f"{_SHAPES}/dataset/{_VOC_LISTS}/train.txt", _MADE_HERE),
        Need(f"{_SHAPES}/dataset/{_VOC_LISTS}/seg11valid.txt", _MADE_HERE),
        Need(f"{_SHAPES}/classifier/train.txt", _MADE_HERE),
        Need(f"{_SHAPES}/classifier/val.txt", _MADE_HERE),
    ),
    licence="as the project's own: drawn by its generator",
)


def _context(name: str, classes: str, labels: str) -> DataSet:
    """Return PASCAL-Context with one of its two lists of classes, both with background as class 0.

    Args:
        name: of the row.
        classes: file of the names, background first.
        labels: the data set's own list of them, in its folder.
    """
    voc, context, lists = "data/pascal/VOC2010", "data/pascal-context", "ImageSets/Main"
    devkit = ("run `python -m data get context`, or fetch http://host.robots.ox.ac.uk/pascal/VOC/voc2010/"
              f"VOCtrainval_03-May-2010.tar (unpack; move VOCdevkit/VOC2010 to {voc})")
    site = ("run `python -m data get context`, or fetch https://cs.stanford.edu/~roozbeh/pascal-context/{} "
            f"to {context}")
    return DataSet(
        name=name,
        heads=(Head(_classes(f"pascal-context/{classes}")),),
        means={"color": (104.007, 116.669, 122.679)},
        scale=1.0,
        train_dir=context,
        val_dir=context,
        splits=tuple(
            Split(split, "data", f"pascal/VOC2010/{lists}/{split}.txt", "pascal/VOC2010/JPEGImages/{}.jpg",
                  "pascal-context/trainval/{}.mat")
            for split in ("train", "val")),
        needs=(
            Need(f"{voc}/JPEGImages", devkit),
            Need(f"{voc}/{lists}/train.txt", devkit),
            Need(f"{voc}/{lists}/val.txt", devkit),
            Need(f"{context}/trainval", site.format("trainval.tar.gz") + " and unpack"),
            Need(f"{context}/labels.txt", site.format("labels.txt")),
            Need(f"{context}/{labels}", site.format(labels)),
        ),
        licence=f"{_FLICKR}; annotations for research",
    )


def _nyud() -> DataSet:
    folder = "data/nyud"
    archive = ("run `python -m data get nyud`, or fetch http://dl.caffe.berkeleyvision.org/nyud.tar.gz "
               f"(unpack to {folder})")
    lists = ("train", "val", "trainval", "test")
    return DataSet(
        name="nyud",
        heads=(Head(_classes("nyud/classes.txt")),),
        means={"color": (116.190, 97.203, 92.318), "hha": (132.431, 94.076, 118.477), "depth": (7.844,)},
        scale=1.0,
        train_dir=folder,
        val_dir=folder,
        splits=tuple(Split(split, folder, f"{split}.txt", "data/images/img_{}.png", "segmentation/img_{}.mat")
                     for split in lists),
        needs=(
            Need(f"{folder}/data/images", archive),
            Need(f"{folder}/segmentation", archive),
            *(Need(f"{folder}/{split}.txt", archive) for split in lists),
            Need(f"{folder}/data/depth", archive, kind="depth"),
            Need(f"{folder}/data/hha", archive, kind="hha"),
        ),
        licence="NYU Depth V2 by Silberman et al., for research; not to be passed on",
    )


def _siftflow() -> DataSet:
    folder, scenes = "data/sift-flow", "spatial_envelope_256x256_static_8outdoorcategories"
    archive = ("run `python -m data get siftflow`, or fetch http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/"
               f"SiftFlowDataset.zip (unpack to {folder})")
    places = (f"Images/{scenes}", f"SemanticLabels/{scenes}", f"GeoLabels/{scenes}", "trainval.txt", "test.txt")
    return DataSet(
        name="siftflow",
        heads=(Head(_classes("sift-flow/classes.txt"), "_sem", "sem", "loss"),
               Head(_classes("sift-flow/classes_geo.txt"), "_geo", "geo", "loss_geo")),
        means={"color": (114.578, 115.294, 108.353)},
        scale=1.0,
        train_dir=folder,
        val_dir=folder,
        splits=tuple(Split(split, folder, f"{split}.txt", f"Images/{scenes}/{{}}.jpg",
                           f"SemanticLabels/{scenes}/{{}}.mat", (f"GeoLabels/{scenes}/{{}}.mat",))
                     for split in ("trainval", "test")),
        needs=tuple(Need(f"{folder}/{place}", archive) for place in places),
        licence="SIFT Flow by Liu et al. and geometric labels by Tighe et al., for research; not to be passed on",
    )


ROWS = (
    _VOC_ROW,
    _SHAPES_ROW,
    _context("pascalcontext", "classes.txt", "59_labels.txt"),
    _context("pascalcontext33", "classes33.txt", "33_labels.txt"),
    _nyud(),
    _siftflow(),
)
