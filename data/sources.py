"""Where the data sets come from: every file to fetch, its addresses and checksums, and where its content goes.

In:   nothing.
Out:  SOURCES[name], rows of Packages.
Not here: fetching (download.py), unpacking (archives.py), the order of it all (get.py), weights (weights.py).
Source: addresses as the sets' authors and users publish them; checksums as published by others who serve the same
    files. Where none is published, download.py records one at the first download.
"""

from __future__ import annotations

from dataclasses import dataclass

from data.download import Download
from data.whole import DataError

_FLICKR = "photographs under Flickr's terms, for research, not to be passed on"
_OXFORD = "http://host.robots.ox.ac.uk/pascal/VOC"
_BERKELEY = "eecs.berkeley.edu/Research/Projects/CS/vision/grouping/semantic_contours/benchmark.tgz"
_STANFORD = "https://cs.stanford.edu/~roozbeh/pascal-context"
_CAFFE = "http://dl.caffe.berkeleyvision.org"
_SILBERMAN = "http://horatio.cs.nyu.edu/mit/silberman"
_CONTEXT = f"annotations for research; {_FLICKR}"
_NYUD = "NYU Depth V2 by Silberman et al., for research, not to be passed on"


@dataclass(frozen=True)
class Package:
    """One download and the place of its content, from the project's root.

    With `holds`, it is an archive: the uppermost folder in it that has this entry becomes `to`. Without, the file
    itself is put into `to`. `proofs` are entries of `to` that are there when it is done.
    """

    download: Download
    to: str
    holds: str = ""
    proofs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """All that `python -m data get NAME` fetches, and what to know of it before."""

    name: str
    what: str
    packages: tuple[Package, ...]
    note: str = ""


def _voc(year: int, file: str, checksum: str, *proofs: str) -> Package:
    download = Download(file, (f"{_OXFORD}/voc{year}/{file}",), checksums=(checksum,), licence=_FLICKR)
    return Package(download, f"data/pascal/VOC{year}", "JPEGImages", ("JPEGImages", *proofs))


def _context_list(name: str, *checksums: str) -> Package:
    download = Download(name, (f"{_STANFORD}/{name}",), checksums=checksums, licence=_CONTEXT)
    return Package(download, "data/pascal-context", proofs=(name,))


_ROWS = (
    Source(
        "voc", "PASCAL VOC 2011, images and labels",
        (_voc(2011, "VOCtrainval_25-May-2011.tar", "md5:6c3384ef61512963050cb5d687e5bf1e",
              "SegmentationClass", "ImageSets/Segmentation/train.txt", "ImageSets/Segmentation/val.txt"),)),
    Source(
        "sbd", "SBD, labels for VOC's photographs",
        (Package(
            Download("benchmark.tgz", tuple(f"{host}{_BERKELEY}" for host in (
                "https://www2.", "https://www.", "http://www2.", "http://www.")),
                # some clients undo the compression on the way and save the bare tar: the second one
                checksums=("md5:82b4d87ceb2ed10f6038a1cba92111cb", "md5:2b2af8a6cff7365684e002c08be823a6"),
                licence=_FLICKR),
            "data/sbdd/dataset", "cls", ("img", "cls", "train.txt", "val.txt")),)),
    Source(
        "context", "PASCAL-Context, and VOC 2010 for its images",
        (
            Package(
                Download("trainval.tar.gz", (f"{_STANFORD}/trainval.tar.gz",),
                         checksums=("md5:df034edb2c12aa7d33b42b20bb1796e3",), licence=_CONTEXT),
                "data/pascal-context", "trainval", ("trainval",)),
            _context_list("labels.txt"),
            _context_list("59_labels.txt", "md5:993901f2d930cc038c406845f08fa082"),
            _context_list("33_labels.txt", "md5:8840f5439b471aecf991ac6448b826e6"),
            _voc(2010, "VOCtrainval_03-May-2010.tar", "md5:da459979d0c395079b5c75ee67908abb",
                 "ImageSets/Main/train.txt", "ImageSets/Main/val.txt"),
        )),
    Source(
        "nyud", "NYUDv2 as the FCN release has it: 40 classes, depth and HHA",
        (Package(Download("nyud.tar.gz", (f"{_CAFFE}/nyud.tar.gz",), licence=_NYUD),
                 "data/nyud", "segmentation", ("data/images", "segmentation")),),
        "If its host is gone: `python -m data get nyud-mat` fetches the original file, `python -m data convert nyud` "
        "makes images, depth and labels of it."),
    Source(
        "nyud-mat", "NYUDv2's original MATLAB file, and its split",
        (
            Package(
                Download("nyu_depth_v2_labeled.mat", (f"{_SILBERMAN}/nyu_depth_v2/nyu_depth_v2_labeled.mat",),
                         2_972_037_809,
                         ("sha256:2d724b0c0ab358aa1ce5df855e5bd14a2279ab7202efe22f32a30d612dcb86aa",
                          "md5:520609c519fba3ba5ac58c8fefcc3530"), _NYUD),
                "data/nyud", proofs=("nyu_depth_v2_labeled.mat",)),
            Package(
                Download("splits.mat", (f"{_SILBERMAN}/indoor_seg_sup/splits.mat",),
                         checksums=("md5:08e3c3aea27130ac7c01ffd739a4535f",), licence=_NYUD),
                "data/nyud", proofs=("splits.mat",)),
        ),
        "That file has 894 classes; the 40 of the nets need Gupta's mapping file, or the release's own archive "
        "(`python -m data get nyud`)."),
    Source(
        "siftflow", "SIFT Flow, with semantic and geometric labels",
        (Package(
            Download("SiftFlowDataset.zip",
                     ("http://www.cs.unc.edu/~jtighe/Papers/ECCV10/siftflow/SiftFlowDataset.zip",),
                     licence="SIFT Flow by Liu et al. and Tighe et al., for research, not to be passed on"),
            "data/sift-flow", "SemanticLabels", ("Images", "SemanticLabels", "GeoLabels")),)),
    Source(
        "ilsvrc", "ILSVRC 2012's words, lists and mean image, as Caffe keeps them",
        (Package(
            Download("caffe_ilsvrc12.tar.gz", (
                f"{_CAFFE}/caffe_ilsvrc12.tar.gz",
                "https://download.openmmlab.com/mmclassification/datasets/imagenet/meta/caffe_ilsvrc12.tar.gz"),
                licence="ImageNet's terms, for research"),
            "data/ilsvrc12", "synset_words.txt", ("synset_words.txt", "imagenet_mean.binaryproto")),),
        "The photographs themselves are given out by https://www.image-net.org to people with an account only; no "
        "command of this project needs them."),
)
SOURCES: dict[str, Source] = {row.name: row for row in _ROWS}


def source(name: str) -> Source:
    """Return the row `name`; DataError lists the known names."""
    if name not in SOURCES:
        raise DataError(f"there is no '{name}' to get; known are: {', '.join(SOURCES)}")
    return SOURCES[name]
