"""Which image belongs to which label: files of two folders, paired by their stem.

In:   two folders, searched with all that lies under them.
Out:  `Pairs`: the pairs in order of their ids, and what found no partner.
Not here: reading pictures (survey), splits (splits).   Source: ours.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Iterable, List, Tuple

from inference.photos import SUFFIXES
from own import OwnError

# What labelling tools put behind the image's stem. It is taken off where plain stems pair nothing.
_MARK = re.compile(r"[_\-. ](masks?|labels?|labelids|labeltrainids|gt|seg|segmentation|annotations?|l|p)$", re.I)
_SHOWN = 5  # names listed in a message


@dataclass(frozen=True)
class Pair:
    """One image and its label under one id."""

    id: str
    image: Path
    label: Path


@dataclass(frozen=True)
class Pairs:
    """What two folders hold."""

    rows: Tuple[Pair, ...]
    images_alone: Tuple[Path, ...] = ()
    labels_alone: Tuple[Path, ...] = ()


def find_pairs(images: Path, labels: Path) -> Pairs:
    """Pair the pictures of two folders by their stems; extensions and subfolders may differ.

    Args:
        images: folder of images.
        labels: folder of labels; it may lie within `images`, whose part it then is not.

    Raises:
        OwnError: no such folder, two files of one stem, or fewer than two pairs.
    """
    for folder, option in ((images, "--images"), (labels, "--labels")):
        if not folder.is_dir():
            raise OwnError(f"{option} '{folder}': no such folder; want one with picture files")
    if images.resolve() == labels.resolve():
        raise OwnError(f"--images and --labels are both '{images}'; want two folders, so that it is clear which file "
                       "is an image and which a label")
    pictures = _by_stem(_files(images, but=labels), "images")
    marked = _files(labels, but=images)
    truths = _by_stem(marked, "labels")
    if not pictures.keys() & truths.keys():
        truths = _by_stem(marked, "labels", unmarked=True)
    ids = sorted(pictures.keys() & truths.keys())
    if len(ids) < 2:
        raise OwnError(_too_few(images, labels, ids, pictures, truths))
    alone = [tuple(found[stem] for stem in sorted(found.keys() - set(ids))) for found in (pictures, truths)]
    return Pairs(tuple(Pair(stem, pictures[stem], truths[stem]) for stem in ids), *alone)


def listed(names: Iterable[object]) -> str:
    """Name the first few of many."""
    shown = [str(name) for name in names]
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more


def _files(folder: Path, but: Path) -> List[Path]:
    """Give the picture files under a folder, without those of another one that lies within it."""
    other, here = but.resolve(), folder.resolve()
    found = [path for path in sorted(folder.rglob("*")) if path.suffix.lower() in SUFFIXES and path.is_file()
             and not path.name.startswith(".")]
    if here not in other.parents:
        return found
    return [path for path in found if other not in path.resolve().parents]


def _by_stem(files: List[Path], what: str, unmarked: bool = False) -> Dict[str, Path]:
    found: Dict[str, Path] = {}
    for path in files:
        stem = _MARK.sub("", path.stem) if unmarked else path.stem
        if stem != stem.strip() or "\n" in stem:
            raise OwnError(f"{what}: '{path}' has blanks at the ends of its name, which lists of ids cannot hold; "
                           "rename the file")
        if stem in found:
            raise OwnError(f"{what}: '{found[stem]}' and '{path}' have one stem, '{stem}', so it is not clear which "
                           "belongs to the other folder's; rename one of them, and its partner with it")
        found[stem] = path
    return found


def _too_few(images: Path, labels: Path, ids: List[str], pictures: Dict[str, Path], truths: Dict[str, Path]) -> str:
    """Say how few pairs there are, with examples of names that do not fit."""
    found = f"1 pair ('{ids[0]}')" if ids else "no pair"
    names = (f"images are called {listed(path.name for path in pictures.values()) or '(none)'}; "
             f"labels {listed(path.name for path in truths.values()) or '(none)'}")
    return (f"{found} in '{images}' ({len(pictures)} pictures) and '{labels}' ({len(truths)} pictures); want at least "
            f"2 files in each whose names are equal but for the extension (better 20 or more); {names}")
