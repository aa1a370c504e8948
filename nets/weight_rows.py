"""Released weights: where each file comes from, where it goes, what it scores.

In:   nothing.
Out:  WEIGHTS[name]: a Weights row; `weights_row` finds it by any of its names.
Not here: fetching, records (weights.py); how a download works (download.py).
Source: checksums as published by the model zoo's readme files and by others who serve the same files; scores of the
    four VOC nets as measured by others on the released weights, the rest as in the papers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from data.download import Download
from data.whole import DataError

HOST = "http://dl.caffe.berkeleyvision.org"
VGG = "www.robots.ox.ac.uk/~vgg/software/very_deep/caffe"
UNRESTRICTED = "unrestricted use (BVLC model license)"
BY_VGG = "Creative Commons Attribution, says its authors' page; non-commercial use only, says the model zoo"
TOLERANCE = 0.0005  # of a measured mean IU


@dataclass(frozen=True)
class Converted:
    """The same weights as others converted and published them, on a host that wants a browser."""

    what: str  # a PyTorch state dict, or a Chainer .npz
    drive_id: str
    md5: str
    images: str = ""  # for the converter, where it cannot tell from the file

    @property
    def url(self) -> str:
        """Address to open in a browser."""
        return f"https://drive.google.com/file/d/{self.drive_id}/view"


@dataclass(frozen=True)
class Weights:
    """One released caffemodel."""

    name: str
    net: str  # in the zoo; its deploy net has these layers
    place: str  # from the project's root
    download: Download
    aliases: tuple[str, ...] = ()
    converted: tuple[Converted, ...] = ()
    expected: Mapping[str, float] = field(default_factory=dict)  # on seg11valid, TOLERANCE of each
    published: str = ""  # other figures, for information
    segments: bool = True  # a net for segmentation: gets a record, so that infer.py and score.py know it


def _ilsvrc(name: str, net: str, file: str, sha1: str, licence: str, size: int = 0,
            urls: tuple[str, ...] = (), converted: tuple[Converted, ...] = ()) -> Weights:
    download = Download(f"{file}.caffemodel", urls or (f"{HOST}/{file}.caffemodel",), size, (f"sha1:{sha1}",), licence)
    return Weights(name, net, f"models/ilsvrc-nets/{file}.caffemodel", download, (file,), converted, segments=False)


def _fcn(name: str, file: str, sha1: str = "", converted: tuple[Converted, ...] = (),
         expected: Mapping[str, float] | None = None, published: str = "") -> Weights:
    download = Download(f"{file}.caffemodel", (f"{HOST}/{file}.caffemodel",), 0,
                        (f"sha1:{sha1}",) if sha1 else (), UNRESTRICTED)
    return Weights(name, name, f"models/{name}/{name}.caffemodel", download, (file,), converted, expected or {},
                   published)


def _measured(overall: float, mean: float, mean_iu: float, fwavacc: float) -> dict[str, float]:
    """Four scores in percent."""
    keys = ("overall_accuracy", "mean_accuracy", "mean_iu", "fwavacc")
    return dict(zip(keys, (round(value / 100, 5) for value in (overall, mean, mean_iu, fwavacc))))


def _pair(pth_id: str, pth_md5: str, npz_id: str, npz_md5: str, images: str = "") -> tuple[Converted, ...]:
    return (Converted("PyTorch state dict", pth_id, pth_md5, images), Converted("Chainer .npz", npz_id, npz_md5))


_ROWS = (
    _ilsvrc("vgg16", "ilsvrc-vgg16", "VGG_ILSVRC_16_layers", "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24",
            BY_VGG, 553_432_081,
            tuple(f"{scheme}://{VGG}/VGG_ILSVRC_16_layers.caffemodel" for scheme in ("http", "https")),
            _pair("1adDBTGY3GcEB_47dvcibajyzi872RAs3", "aa75b158f4181e7f6230029eb96c1b13",
                  "0B9P1L--7Wd2vRy1XYnRSa1hNSW8", "54a0cddc1392ccc4056bbeecbb30f3d4", images="caffe")),
    _ilsvrc("caffenet", "ilsvrc-caffenet", "bvlc_reference_caffenet", "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46",
            UNRESTRICTED),
    _ilsvrc("googlenet", "ilsvrc-googlenet", "bvlc_googlenet", "405fc5acd08a3bb12de8ee5e23a96bec22f08204",
            UNRESTRICTED),
    _ilsvrc("alexnet", "ilsvrc-caffenet", "bvlc_alexnet", "9116a64c0fbe4459d18f4bb6b56d647b63920377", UNRESTRICTED),
    _fcn("voc-fcn32s", "fcn32s-heavy-pascal", "05eb922d7829c39448f57e5ab9d8cd75d6c0be6d",
         _pair("11k2Q0bvRQgQbT6-jYWeh6nmAsWlSCY3f", "d3eb467a80e7da0468a20dfcbc13e6c8",
               "0B9P1L--7Wd2vTElpa1p3WFNDczQ", "b7f0a2e66229ccdb099c0a60b432e8cf"),
         _measured(90.48, 76.48, 63.63, 83.46)),
    _fcn("voc-fcn16s", "fcn16s-heavy-pascal", "",
         _pair("1bctu58B6YH9bu6lBBSBB2rUeGlGhYLoP", "a2d4035f669f09483b39c9a14a0d6670",
               "0B9P1L--7Wd2vcnBiXzZTcG9FU3c", "7c9b50a1a8c6c20d3855d4823bbea61e"),
         _measured(91.00, 78.07, 65.01, 84.26)),
    _fcn("voc-fcn8s", "fcn8s-heavy-pascal", "c449ea74dd7d83751d1357d6a8c323fcf4038962",
         _pair("1ieXWyoG68xqoHJPWdyrDyaIaaWlfmUxI", "de93e540ec79512f8770033849c8ae89",
               "0B9P1L--7Wd2vb0cxV0VhcG1Lb28", "256c2a8235c1c65e62e48d3284fbd384"),
         _measured(91.22, 77.61, 65.51, 84.54)),
    _fcn("voc-fcn8s-atonce", "fcn8s-atonce-pascal", "",
         _pair("0B9P1L--7Wd2vblE1VUIxV1o2d2M", "bfed4437e941fef58932891217fe6464",
               "0B9P1L--7Wd2vZ1RJdXotZkNhSEk", "5f3ffdc7fae1066606e1ef45cfda548f"),
         _measured(91.13, 78.50, 65.40, 84.43)),
    _fcn("voc-fcn-alexnet", "fcn-alexnet-pascal", published="mean IU 48.0 on seg11valid"),
    _fcn("pascalcontext-fcn32s", "pascalcontext-fcn32s-heavy",
         published="59 classes, val: pixel accuracy 65.5, mean accuracy 49.1, mean IU 36.7, f.w. IU 50.9"),
    _fcn("pascalcontext-fcn16s", "pascalcontext-fcn16s-heavy", published="59 classes, val: 66.9 / 51.3 / 38.4 / 52.3"),
    _fcn("pascalcontext-fcn8s", "pascalcontext-fcn8s-heavy", published="59 classes, val: 67.5 / 52.3 / 39.1 / 53.0"),
    _fcn("nyud-fcn32s-color", "nyud-fcn32s-color-heavy", published="test: 61.8 / 44.7 / 31.6 / 46.0"),
    _fcn("nyud-fcn32s-hha", "nyud-fcn32s-hha-heavy", published="test: 58.3 / 35.7 / 25.2 / 41.7"),
    _fcn("nyud-fcn32s-color-hha", "nyud-fcn32s-color-hha-heavy", published="test: 65.3 / 44.0 / 33.3 / 48.6"),
    _fcn("siftflow-fcn32s", "siftflow-fcn32s-heavy", published="no figures were published for it"),
    _fcn("siftflow-fcn16s", "siftflow-fcn16s-heavy",
         published="test, the earlier net of 2015: 85.2 / 51.7 / 39.5 / 76.1, geometry's pixel accuracy 94.3"),
    _fcn("siftflow-fcn8s", "siftflow-fcn8s-heavy",
         published="test: 85.9 / 53.9 / 41.2 / 77.2, geometry's pixel accuracy 94.6"),
)
WEIGHTS: dict[str, Weights] = {row.name: row for row in _ROWS}


def weights_row(name: str) -> Weights:
    """Give the row of this name (the toolkit's, or the released file's); DataError lists the known."""
    found = WEIGHTS.get(name) or next((row for row in WEIGHTS.values() if name in row.aliases), None)
    if found is None:
        raise DataError(f"weights '{name}' are not known; known are {', '.join(WEIGHTS)}")
    return found
