"""Cast a classifier to a fully convolutional net: the caffemodels that FCNs start from.

In:   a classifier's caffemodel (InnerProducts fc6, fc7, fc8) and the prototxts of both forms.
Out:  a caffemodel with fc6 and fc7 as convolutions, fc8 dropped; on disk whole or not at all. GoogLeNet's trunk
      has convolutions alone: it is copied by name, and loss3/classifier dropped.
Not here: heads of FCNs (nets/), training (solvers/), downloads (data/).
Run:  python -m surgery.base_nets NAME
Source: Long et al. 2015, section 3.1; the release never published vgg16-fcn.caffemodel.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Union

import caffe
import startup
from nets.prototxt import write_prototxt
from nets.zoo import emit
from surgery.report import Report, SurgeryError
from surgery.transplant import transplant

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class BaseNet:
    """A classifier, and where its convolutional form goes."""

    classifier: str  # name in the zoo, InnerProduct form
    fcn: str         # name in the zoo, convolutional form
    weights: str     # caffemodel of the classifier
    out: str         # caffemodel to write
    origin: str      # URL of the classifier's caffemodel, or what makes it
    size: int = 0    # in bytes, 0: not known beforehand
    sha1: str = ""


BASE_NETS = {
    "vgg16-fcn": BaseNet(
        "ilsvrc-vgg16", "ilsvrc-vgg16-fcn",
        "models/ilsvrc-nets/VGG_ILSVRC_16_layers.caffemodel",
        "models/ilsvrc-nets/vgg16-fcn.caffemodel",
        "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/VGG_ILSVRC_16_layers.caffemodel",
        553_432_081, "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24"),
    # CaffeNet, not bvlc_alexnet: the released FCN-AlexNet pools before it normalises, as CaffeNet does.
    "alexnet-fcn": BaseNet(
        "ilsvrc-caffenet", "ilsvrc-caffenet-fcn",
        "models/ilsvrc-nets/bvlc_reference_caffenet.caffemodel",
        "models/ilsvrc-nets/alexnet-fcn.caffemodel",
        "http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",
        sha1="4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"),
    "googlenet-fcn": BaseNet(
        "ilsvrc-googlenet", "ilsvrc-googlenet-fcn",
        "models/ilsvrc-nets/bvlc_googlenet.caffemodel",
        "models/ilsvrc-nets/googlenet-fcn.caffemodel",
        "http://dl.caffe.berkeleyvision.org/bvlc_googlenet.caffemodel",
        sha1="405fc5acd08a3bb12de8ee5e23a96bec22f08204"),
    "shapes-vgg16-fcn": BaseNet(
        "shapes-vgg16", "shapes-vgg16-fcn",
        "models/shapes-vgg16/shapes-vgg16.caffemodel",
        "models/shapes-vgg16/shapes-vgg16-fcn.caffemodel",
        "`make shapes-vgg16` trains it"),
    **{f"shapes-{trunk}-fcn": BaseNet(
        f"shapes-{trunk}", f"shapes-{trunk}-fcn", f"models/shapes-{trunk}/shapes-{trunk}.caffemodel",
        f"models/shapes-{trunk}/shapes-{trunk}-fcn.caffemodel", f"`make shapes-{trunk}` trains it")
       for trunk in ("alexnet", "googlenet")},
}


def cast(classifier: PathLike, weights: PathLike, fcn: PathLike, out: PathLike) -> Report:
    """Write the weights of a classifier in fully convolutional form.

    Args:
        classifier: prototxt with the layers the weights belong to.
        weights: the classifier's caffemodel; V1 files will do.
        fcn: prototxt with the same layer names, fully connected ones as convolutions.
        out: caffemodel to write; its folder is made. What is there stays until the new one is
            whole.

    Returns:
        Report of what was copied, coerced and dropped.

    Raises:
        SurgeryError: a file is missing, counts differ, or a layer of `fcn` gets nothing.
    """
    for path, what in ((classifier, "prototxt"), (weights, "caffemodel"), (fcn, "prototxt")):
        if not os.path.isfile(path):
            raise SurgeryError(f"cast: {what} '{path}' is missing")
    new_net = caffe.Net(str(fcn), caffe.TEST)
    report = transplant(new_net, caffe.Net(str(classifier), caffe.TEST, weights=str(weights)))
    if report.kept:
        raise SurgeryError(f"cast: the classifier has nothing for "
                           f"{', '.join(o.layer for o in report.kept)}; give both prototxts the "
                           f"same layer names")
    save_whole(new_net, out)
    return report


def save_whole(net: caffe.Net, out: PathLike) -> None:
    """Save a net's parameters by way of a temporary file in the same folder."""
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part",
                                         dir=str(target.parent))
    os.close(handle)
    try:
        net.save(temporary)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)  # mkstemp gives 0600
        os.replace(temporary, target)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def require(base: BaseNet) -> None:
    """Check that the classifier's caffemodel is there and, where it is known, the published one.

    Raises:
        SurgeryError: missing or another file; says from where it comes and to which place.
    """
    size = f"{base.size:,} bytes, " if base.size else ""
    want = f"{size}sha1 {base.sha1}" if base.sha1 else "a trained classifier"
    if not os.path.isfile(base.weights):
        fetch = f"get it from {base.origin} and put it there (`make weights-{Path(base.weights).stem}` does)"
        how = fetch if base.sha1 else base.origin
        raise SurgeryError(f"'{base.weights}' is missing ({want}); {how}")
    found = os.path.getsize(base.weights)
    if base.size and found != base.size:
        raise SurgeryError(f"'{base.weights}' has {found:,} bytes, want {want}; fetch it again from "
                           f"{base.origin}, or name a file of your own with --weights")
    if base.sha1 and _sha1(base.weights) != base.sha1:
        raise SurgeryError(f"'{base.weights}' has sha1 {_sha1(base.weights)}, want {want}; fetch "
                           f"it again from {base.origin}, or name a file of your own with "
                           f"--weights")


def _sha1(path: PathLike) -> str:
    digest = hashlib.sha1()
    with open(path, "rb") as stream:
        for chunk in iter(lambda: stream.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def cast_base_net(name: str, weights: PathLike | None = None, out: PathLike | None = None) -> Path:
    """Cast a row of BASE_NETS, with other files if given; gives the written path."""
    base = BASE_NETS.get(name) or next((b for b in BASE_NETS.values() if b.classifier == name), None)
    if base is None:
        raise SurgeryError(f"base net '{name}' is unknown; known are {', '.join(BASE_NETS)} "
                           f"(or the classifier's name: {', '.join(b.classifier for b in BASE_NETS.values())})")
    if weights is None:
        require(base)
    target = Path(out or base.out)
    with tempfile.TemporaryDirectory() as folder:
        classifier, fcn = Path(folder, "classifier.prototxt"), Path(folder, "fcn.prototxt")
        write_prototxt(emit(base.classifier, "deploy"), classifier)
        write_prototxt(emit(base.fcn, "deploy"), fcn)
        report = cast(classifier, weights or base.weights, fcn, target)
    print(f"{target}: {report.summary()}")
    return target


def main(argv: list[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m surgery.base_nets",
        description="Cast a classifier's caffemodel to fully convolutional form.")
    parser.add_argument("name", help=", ".join(BASE_NETS))
    parser.add_argument("--weights", help="the classifier's caffemodel, in place of the usual one "
                                          "(not checked)")
    parser.add_argument("--out", help="the caffemodel to write, in place of the usual one")
    options = parser.parse_args(argv)
    cast_base_net(options.name, options.weights, options.out)
    return 0


if __name__ == "__main__":
    startup.quiet_caffe()
    sys.exit(startup.run(main))
