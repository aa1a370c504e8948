"""Weights from and to other files: caffemodel, NumPy's .npz, PyTorch's state dicts (.pth, .pt).

In:   a file of weights, the name of another; a prototxt if the result is to be checked against a net.
Out:  the other file, complete or not at all; the deploy prototxt of a net that came from torchvision.
Not here: how keys are made (_caffe/convert/names.py, torchvision.py), downloads, HDF5.
Run:  python -m caffe.convert IN OUT [--net PROTOTXT]
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ._caffe import log
from ._caffe.convert.files import (
    CAFFEMODEL,
    NPZ,
    PTH,
    Arrays,
    kind_of,
    kind_to_write,
    read_npz,
    read_state_dict,
    write_npz,
    write_state_dict,
)
from ._caffe.convert.names import NAMINGS, Naming, fcn_variant, without_fixed_scales
from ._caffe.convert.net import numbers, write_caffemodel
from ._caffe.convert.torchvision import ARCHITECTURES, IMAGES, Architecture
from ._caffe.errors import CaffeError, ProtoError
from ._caffe.files.caffemodel import LayerBlobs, read_layers

__all__ = ["Conversion", "FORMS", "convert", "form_of", "main"]

Form = Naming | Architecture
_ALL: tuple[Form, ...] = (*ARCHITECTURES.values(), *NAMINGS)
FORMS: dict[str, Form] = {form.name: form for form in _ALL}
Path = str | os.PathLike[str]


@dataclass(frozen=True)
class Conversion:
    """What was read and written.

    Attributes:
        found: the kind of file and the form of its keys.
        written: the same of the new file.
        mean_bgr: to subtract from BGR images in 0 ... 255, if torchvision's net defines it; otherwise None.
        notes: what a user should know, one line each.
    """

    found: str
    written: str
    mean_bgr: tuple[float, ...] | None
    notes: list[str] = field(default_factory=list)


def convert(source: Path, target: Path, *, net: Path | None = None, source_form: str | None = None,
            target_form: str | None = None, images: str | None = None, mean_bgr: Sequence[float] | None = None,
            prototxt: Path | None = None) -> Conversion:
    """Convert a file of weights.

    Args:
        source: caffemodel, .npz or state dict; told apart by content.
        target: file to write; its ending determines the kind: .caffemodel, .npz, .pth or .pt.
        net: prototxt that a caffemodel is written for; every layer with weights must be in `source`.
        source_form: a key of FORMS, for the names in `source`; None: derived from its keys.
        target_form: likewise for `target`; None: Caffe's layer names.
        images: a key of IMAGES: what torchvision's net was trained on; None: its published weights'.
        mean_bgr: three numbers that Caffe subtracts (B, G, R, 0 ... 255), with torchvision's nets only;
            None: torchvision's own, with which scores are equal up to the border.
        prototxt: deploy net to write for weights of torchvision; None: beside `target`.

    Raises:
        ProtoError: a file that cannot be read or written, keys or shapes that do not fit: all are listed.
        NetError: `net` cannot be built, or the weights do not fit it.
    """
    kind, wanted = kind_of(source), kind_to_write(target)
    if net is not None and wanted != CAFFEMODEL:
        raise ProtoError(f"a net is for writing a .caffemodel, got the target {os.fspath(target)}; leave --net out")
    arrays = _arrays(source, kind)
    reader = _form_to_read(source, kind, source_form, arrays)
    writer = _form_to_write(wanted, target_form)
    vision = next((form for form in (reader, writer) if isinstance(form, Architecture)), None)
    look, mean = _images(vision, images, mean_bgr)
    layers = read_layers(source) if reader is None else _read(source, reader, arrays, look, mean)
    notes = [f"images: {look}, taken to be {IMAGES[look].text}"] if vision else []
    if wanted == CAFFEMODEL:
        made_for = reader.name if isinstance(reader, Architecture) else None
        notes += write_caffemodel(target, layers, net, made_for, mean, prototxt)
    else:
        notes += _write_arrays(target, layers, wanted, writer, look, mean)
    return Conversion(_describe(kind, reader, layers), _describe(wanted, writer, layers), mean, notes)


def form_of(source: Path) -> str:
    """Return the form of a file's keys, a key of FORMS; 'caffemodel' for a caffemodel.

    Raises:
        ProtoError: the file cannot be read, or its keys are of no known form.
    """
    kind = kind_of(source)
    form = _form_to_read(source, kind, None, _arrays(source, kind))
    return form.name if form else CAFFEMODEL


def _arrays(source: Path, kind: str) -> Arrays:
    return {} if kind == CAFFEMODEL else read_npz(source) if kind == NPZ else read_state_dict(source)


def _form_to_read(source: Path, kind: str, name: str | None, keys: Iterable[str]) -> Form | None:
    if kind == CAFFEMODEL:
        if name is not None:
            raise ProtoError(f"{os.fspath(source)}: a caffemodel has Caffe's names; leave --from out")
        return None
    if name is not None:
        return _form(name, kind)
    keys = list(keys)
    found = next((FORMS[name] for name in _names(kind) if FORMS[name].matches(keys)), None)
    like_torchvision = any(key.startswith(("features.0.", "inception3a.")) for key in keys)
    if found is None or (like_torchvision and isinstance(found, Naming)):
        raise ProtoError(f"{os.fspath(source)}: a {kind} with {len(keys)} keys of no known form "
                         f"({', '.join(keys[:4])} ...); name one with --from: {', '.join(_names(kind))}")
    return found


def _form_to_write(kind: str, name: str | None) -> Form | None:
    if kind != CAFFEMODEL:
        return _form(name or ("caffe-npz" if kind == NPZ else "pytorch"), kind)
    if name is not None:
        raise ProtoError("a caffemodel has Caffe's names; leave --to out")
    return None


def _form(name: str, kind: str) -> Form:
    if name not in _names(kind):
        raise ProtoError(f"form '{name}' is not one of a {kind}'s: {', '.join(_names(kind))}")
    return FORMS[name]


def _kind(form: Form) -> str:
    return form.kind if isinstance(form, Naming) else PTH


def _names(kind: str) -> list[str]:
    return [name for name, form in FORMS.items() if _kind(form) == kind]


def _images(vision: Architecture | None, images: str | None,
            mean_bgr: Sequence[float] | None) -> tuple[str, tuple[float, ...] | None]:
    """Return which images torchvision's net takes, and the mean that Caffe's subtracts."""
    if vision is None:
        if images is not None or mean_bgr is not None:
            raise ProtoError("images and mean are for torchvision's nets; other nets are fed as before")
        return "caffe", None
    look = images or vision.images
    if look not in IMAGES:
        raise ProtoError(f"images '{look}', want one of {', '.join(IMAGES)}")
    if look == "caffe":
        if mean_bgr is not None:
            raise ProtoError("images 'caffe' already have their mean, which stays; leave the mean out")
        return look, None
    mean = tuple(mean_bgr or IMAGES[look].mean_bgr)
    if len(mean) != 3:
        raise ProtoError(f"mean of {len(mean)} numbers, want three: B, G, R")
    return look, mean


def _read(source: Path, form: Form, arrays: Arrays, look: str, mean: tuple[float, ...] | None) -> list[LayerBlobs]:
    try:
        return form.read(arrays) if isinstance(form, Naming) else form.read(arrays, IMAGES[look], mean or ())
    except ProtoError as error:
        raise ProtoError(f"{os.fspath(source)}: {error}") from error


def _write_arrays(target: Path, layers: list[LayerBlobs], kind: str, form: Form | None, look: str,
                  mean: tuple[float, ...] | None) -> list[str]:
    notes, whole = [], layers
    if isinstance(form, Architecture):
        arrays = form.write(layers, IMAGES[look], mean or ())
        notes = [f"these weights were for Caffe's images less mean {numbers(mean)}"] if mean else []
    else:
        assert form is not None  # only a caffemodel has none
        if form.name != "caffe-npz" and fcn_variant(layer.name for layer in layers if layer.blobs):
            layers = without_fixed_scales(layers)
        arrays = form.write(layers)
    left = {layer.name for layer in whole} - {layer.name for layer in layers}
    notes += [f"{', '.join(sorted(left))} left out: constants in that framework's code"] if left else []
    (write_npz if kind == NPZ else write_state_dict)(target, arrays)
    return notes


def _describe(kind: str, form: Form | None, layers: list[LayerBlobs]) -> str:
    weighted = [layer for layer in layers if layer.blobs]
    count = sum(blob.data.size for layer in weighted for blob in layer.blobs)
    fcn = fcn_variant(layer.name for layer in weighted)
    names = [kind, *([form.name] if form else []), *([fcn] if fcn else [])]
    return f"{', '.join(names)}: {len(weighted)} layers with {count:,} numbers"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code. An error is one line on stderr."""
    parser = argparse.ArgumentParser(prog="python -m caffe.convert", description="Convert files of weights.")
    parser.add_argument("source", metavar="IN", help="caffemodel, .npz or PyTorch state dict")
    parser.add_argument("target", metavar="OUT", help="file to write: .caffemodel, .npz, .pth or .pt")
    parser.add_argument("--net", metavar="PROTOTXT", help="the net a caffemodel is for; its layers are checked")
    parser.add_argument("--from", dest="source_form", metavar="FORM", help=f"keys of IN: {', '.join(FORMS)}")
    parser.add_argument("--to", dest="target_form", metavar="FORM", help="keys of OUT, likewise")
    parser.add_argument("--images", choices=list(IMAGES), help="what torchvision's net was trained on, if it is "
                        "not its published weights'; caffe: converted from Caffe before")
    parser.add_argument("--mean", type=float, nargs=3, metavar=("B", "G", "R"), help="what Caffe is to subtract")
    parser.add_argument("--prototxt", help="deploy net to write for weights of torchvision (beside OUT)")
    options = parser.parse_args(argv)
    try:
        done = convert(options.source, options.target, net=options.net, source_form=options.source_form,
                       target_form=options.target_form, images=options.images, mean_bgr=options.mean,
                       prototxt=options.prototxt)
    except (CaffeError, OSError, MemoryError) as error:
        print(f"error: {' '.join(str(error).split()) or 'out of memory'}", file=sys.stderr)
        return 1
    print(f"{options.source}: {done.found}", f"{options.target}: {done.written}", *done.notes, sep="\n")
    return 0


if __name__ == "__main__":
    log.init_log(2, True)
    sys.exit(main())
