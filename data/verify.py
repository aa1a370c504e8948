"""Look into every file of a data set: `python -m data verify NAME`.

In:   a set in its place, or a folder in its form; read by the set's own data layer, so that layouts stand in one place.
Out:  counts, digests of the lists, pixels per class; every file that is wrong, by name, and then exit code 1.
Not here: what is missing and where it comes from (look.py), what the layers check (layers/).
Source: counts and digests of the release's lists (id_lists.py).
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from param_str import DataLayerError
from tqdm import tqdm

from data.id_lists import SPLITS, digest
from data.processes import cores, spread
from data.sets import SETS
from data.whole import DataError

AT_ONCE = 16  # images a process looks at before it reports
FEW = 500  # so many are read in less time than other processes need to start
IGNORE = 255


class Form(NamedTuple):
    """How a set is read: its row in SETS, its data layer, the folders and keys of that, and its splits."""

    row: str
    layer: str  # module.class
    dirs: dict[str, str]
    splits: tuple[str, ...]
    keys: Mapping[str, Any] = MappingProxyType({})


_CONTEXT = {"context_dir": "data/pascal-context", "voc_dir": "data/pascal"}
FORMS = {
    "voc": Form("voc", "voc_layers.VOCSegDataLayer", {"voc_dir": "data/pascal/VOC2011"}, ("train", "seg11valid")),
    "sbd": Form("voc", "voc_layers.SBDDSegDataLayer", {"sbdd_dir": "data/sbdd/dataset"}, ("train", "val")),
    "context": Form("pascalcontext", "pascalcontext_layers.PASCALContextSegDataLayer", _CONTEXT, ("train", "val")),
    "context33": Form("pascalcontext33", "pascalcontext_layers.PASCALContextSegDataLayer", _CONTEXT, ("train", "val"),
                      {"classes": 34}),
    "nyud": Form("nyud", "nyud_layers.NYUDSegDataLayer", {"nyud_dir": "data/nyud"}, ("trainval", "test")),
    "siftflow": Form("siftflow", "siftflow_layers.SIFTFlowSegDataLayer", {"siftflow_dir": "data/sift-flow"},
                     ("trainval", "test")),
    "shapes": Form("shapes", "voc_layers.VOCSegDataLayer", {"voc_dir": "data/shapes/dataset"}, ("train", "seg11valid"),
                   {"classes": 9}),
}


class Found(NamedTuple):
    """What some images of a split hold: files read by top, pixels by label top and value, what is wrong, warnings."""

    files: dict[str, int]
    pixels: dict[str, np.ndarray]  # (256,) each
    faults: list[str]
    notes: list[str]


def opened(name: str, split: str, root: Path = Path("."), folder: Path | None = None) -> Any:
    """Open a set's data layer on a split, without a net.

    Args:
        name: in FORMS.
        split: of its list.
        root: the project's root.
        folder: instead of the set's own (of the first one, where there are two).

    Raises:
        DataError: unknown name. DataLayerError: no such list.
    """
    layer, text = _layer(name), _param_str(name, split, root, folder)
    return layer.opened(text)


def verify(name: str, split: str, *, root: Path = Path("."), folder: Path | None = None, workers: int = 1) -> Found:
    """Read every image and label of a split.

    Args:
        name: in FORMS.
        split: of its list.
        root: the project's root.
        folder: instead of the set's own.
        workers: processes.

    Raises:
        DataError: unknown name. DataLayerError: no such list.
    """
    ids = opened(name, split, root, folder).indices
    chunks = [ids[start:start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
    total = Found({}, {}, [f"{name} {split}: the list has '{one}' {count} times"
                           for one, count in Counter(ids).items() if count > 1], [])
    with tqdm(total=len(ids), desc=f"{name} {split}", unit="image", dynamic_ncols=True, leave=False) as bar:
        for size, found in spread(partial(_look, name, split, root, folder), chunks, workers if len(ids) > FEW else 1):
            for top, count in found.files.items():
                total.files[top] = total.files.get(top, 0) + count
            for top, pixels in found.pixels.items():
                total.pixels[top] = total.pixels.get(top, 0) + pixels
            total.faults.extend(found.faults)
            total.notes.extend(found.notes)
            bar.update(size)
    return Found(total.files, total.pixels, sorted(total.faults), sorted(total.notes))


def report(name: str, split: str, ids: Sequence[str], found: Found) -> list[str]:
    """Say what was found of a split, in lines: its list, its files, the pixels of each class."""
    lines = [_list_line(name, split, ids),
             f"{name} {split}: files read: " + ", ".join(f"{count} {top}" for top, count in found.files.items())]
    for head in SETS[FORMS[name].row].heads:
        lines += _pixels(head.label, head.classes, found.pixels[head.label])
    lines += [f"note: {note}" for note in found.notes[:3]]
    if found.notes[3:]:
        lines.append(f"note: and {len(found.notes) - 3} more like these")
    return lines


def _list_line(name: str, split: str, ids: Sequence[str]) -> str:
    known = SPLITS.get(name.removesuffix("33"), {}).get(split)
    against = f"; {known.judge(list(ids))}" if known else ""
    return f"{name} {split}: {len(ids)} ids, digest {digest(ids)}, sorted {digest(sorted(ids))}{against}"


def baseline(counts: np.ndarray) -> tuple[int, float, float]:
    """Score the most frequent class as the answer for every pixel.

    Args:
        counts: (K,) pixels of each class, void left out.

    Returns:
        the class, its pixel accuracy, and its mean IU over the classes that occur; nan where nothing is labelled.
    """
    total, often = counts.sum(), int(counts.argmax())
    accuracy = counts[often] / total if total else np.nan
    return often, float(accuracy), float(accuracy / (counts > 0).sum()) if total else np.nan


def _pixels(label: str, classes: Sequence[str], counts: np.ndarray) -> list[str]:
    total, known = int(counts.sum()), counts[:len(classes)]
    often, accuracy, mean_iu = baseline(known)
    shares = known / max(1, known.sum())
    lines = [f"{label}: {total:,} pixels, {int(counts[IGNORE]):,} void"]
    lines += [f"{k:5} {name:15} {int(known[k]):15,} {shares[k]:8.3%}" for k, name in enumerate(classes)]
    absent = [name for name, count in zip(classes, known) if not count]
    if absent:
        lines.append(f"{label}: never there: {', '.join(absent)}")
    if known.sum():
        lines.append(f"{label}: '{classes[often]}' for every pixel: accuracy {accuracy:.5f}, mean IU {mean_iu:.5f}")
    return lines


def _look(name: str, split: str, root: Path, folder: Path | None, ids: Sequence[str]) -> tuple[int, Found]:
    """Read the files of some ids; how many ids, and what was found."""
    layer = opened(name, split, root, folder)
    found = Found(dict.fromkeys(layer.top_names, 0), {top: np.zeros(256, np.int64) for top in layer.classes}, [], [])
    for one in ids:
        size = None
        for top in layer.top_names:
            try:
                array, notes = layer.read(top, one, size)
            except DataLayerError as error:
                found.faults.append(str(error))
                continue
            size = size or array.shape[1:]
            found.files[top] += 1
            found.notes.extend(notes)
            if top in found.pixels:
                found.pixels[top] += np.bincount(array.ravel(), minlength=256)
    return len(ids), found


def _layer(name: str) -> Any:
    if name not in FORMS:
        raise DataError(f"data set '{name}' cannot be verified; known are: {', '.join(FORMS)}")
    module, layer = FORMS[name].layer.split(".")
    return getattr(importlib.import_module(module), layer)


def _param_str(name: str, split: str, root: Path, folder: Path | None) -> str:
    """The keys of the data layer; NYUD's tops are those whose folders are there."""
    form = FORMS[name]
    dirs = {key: str(root / place) for key, place in form.dirs.items()}
    if folder is not None:
        dirs[next(iter(dirs))] = str(folder)
    keys = {**dirs, "split": split, "randomize": False, **form.keys}
    if name in ("voc", "sbd", "shapes"):
        keys["mean"] = tuple(SETS[form.row].means["color"])
    if name == "nyud":
        kinds = [kind for kind in ("depth", "hha") if (Path(dirs["nyud_dir"]) / "data" / kind).is_dir()]
        keys["tops"] = ["color", *kinds, "label"]
    return repr(keys)


def run(args: argparse.Namespace) -> int:
    """Verify the splits of a set and print the reports; 1 if anything is wrong."""
    _layer(args.name)
    faults: list[str] = []
    for split in args.splits or FORMS[args.name].splits:
        try:
            ids = opened(args.name, split, args.root, args.dir).indices
            found = verify(args.name, split, root=args.root, folder=args.dir, workers=args.jobs)
        except DataLayerError as error:
            faults.append(f"{args.name} {split}: {error}")
            continue
        print("\n".join(report(args.name, split, ids, found)))
        faults += found.faults
    for split in SPLITS.get(args.name, {}) if not args.splits else ():  # NYUD's train and val are parts of trainval
        if split not in FORMS[args.name].splits:
            try:
                print(_list_line(args.name, split, opened(args.name, split, args.root, args.dir).indices))
            except DataLayerError as error:
                print(f"note: {error}")
    for fault in faults:
        print(f"wrong: {fault}")
    if faults:
        print(f"{args.name}: {len(faults)} wrong; remove broken files and run `python -m {_maker(args.name)}`",
              file=sys.stderr)
    return 1 if faults else 0


def _maker(name: str) -> str:
    """The module and arguments that bring back a set's files which were removed."""
    return "data.shapes.generate" if name == "shapes" else f"data get {name.removesuffix('33')} --again"


def add_parser(commands: argparse._SubParsersAction) -> None:
    """Add `verify` to the commands of `python -m data`."""
    parser = commands.add_parser("verify", help="read every image and label of a set and count what is in them")
    add = parser.add_argument
    add("name", metavar="NAME", help=f"one of: {', '.join(FORMS)}")
    add("--root", type=Path, default=Path("."), help="the project's root (.)")
    add("--dir", type=Path, metavar="DIR", help="the set's folder, if it is elsewhere")
    add("--split", dest="splits", action="append", metavar="NAME", help="only this one (may be repeated)")
    add("--jobs", type=int, default=cores(), metavar="N", help="processes (all cores: %(default)s)")
    parser.set_defaults(run=run)
