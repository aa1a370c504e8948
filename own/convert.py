"""A user's images and labels as a folder in VOC layout, which the data layers read.

In:   the looks of usable pairs, the class table, splits, the longest side allowed.
Out:  DIR/JPEGImages/ID.jpg (a link to the user's file, or a copy made smaller), SegmentationClass/ID.png,
      ImageSets/Segmentation/{train,val}.txt; what is there already and whole is left as it is.
Not here: which pairs (checker, splits), reading while training (layers/).
Source: the layout of PASCAL VOC.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import numpy as np
from PIL import Image

from data.whole import remove_left_over, write_text, write_whole
from inference.photos import PhotoError, enlarge_label, read_photo
from own import OwnError
from own.survey import LabelError, Look, read_codes
from own.table import Table
from vis import make_palette

QUALITY = 95  # of JPEGs made smaller


def convert(looks: Sequence[Look], table: Table, splits: Dict[str, List[str]], folder: Path,
            max_side: Optional[int] = None) -> None:
    """Write the folder, going on where an earlier run stopped.

    Args:
        looks: of all pairs in the splits.
        table: of the classes.
        splits: ids of `train` and `val`.
        folder: is made if it is missing.
        max_side: larger images are made smaller, their labels by the nearest pixel; None: they stay.

    Raises:
        OwnError: a file has vanished or changed since it was looked at.
    """
    from tqdm import tqdm

    for name in ("JPEGImages", "SegmentationClass"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        remove_left_over(folder / name)
    pause = 0.2 if sys.stderr.isatty() else 10  # seconds
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        work = pool.map(lambda look: _convert(look, table, folder, max_side), looks)
        for _ in tqdm(work, total=len(looks), desc="convert", unit="pair", dynamic_ncols=True, mininterval=pause):
            pass
    for split, ids in splits.items():
        write_text(folder / "ImageSets" / "Segmentation" / f"{split}.txt", "".join(f"{name}\n" for name in ids))


def _convert(look: Look, table: Table, folder: Path, max_side: Optional[int]) -> None:
    """Bring one pair into the folder, unless this very pair is there, made in this very way."""
    pair = look.pair
    image, label = folder / "JPEGImages" / f"{pair.id}.jpg", folder / "SegmentationClass" / f"{pair.id}.png"
    stamp = folder / "made" / f"{pair.id}.txt"
    how = _digest(look, table, max_side)
    with contextlib.suppress(OSError):
        if stamp.read_text() == how and image.exists() and label.exists():
            return
    try:
        _write_image(look, image, max_side)
        numbers, _ = table.labels(read_codes(pair.label, table.form))
    except (PhotoError, LabelError) as error:
        raise OwnError(f"{error}; it was there when the pairs were checked: bring it back, or take the pair out, and "
                       "repeat the command") from error
    height, width = _shrunk(look.label_size, max_side)
    picture = Image.fromarray(np.ascontiguousarray(enlarge_label(numbers, height, width)))
    picture.putpalette(make_palette(256).tobytes())
    write_whole(label, lambda file: picture.save(file, "PNG", compress_level=3))
    write_text(stamp, how)


def _write_image(look: Look, path: Path, max_side: Optional[int]) -> None:
    """Link the user's image where it serves as it is; else write the one that does."""
    source, turned = look.pair.image, look.image_size != look.stored_size
    longest = max(look.label_size)
    path.unlink(missing_ok=True)
    if (max_side is None or longest <= max_side) and (not turned or look.label_size == look.stored_size):
        if not source.is_file():
            raise PhotoError(f"'{source}': no such file any more")
        path.symlink_to(source.resolve())
        return
    if look.label_size == look.image_size:
        picture = Image.fromarray(read_photo(source, max_side)[1])
    else:  # the label lies as the pixels are stored
        with Image.open(source) as stored:
            height, width = _shrunk(look.stored_size, max_side)
            picture = stored.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    write_whole(path, lambda file: picture.save(file, "JPEG", quality=QUALITY, subsampling=0))


def _shrunk(size: Sequence[int], max_side: Optional[int]) -> List[int]:
    longest = max(size)
    factor = 1.0 if max_side is None or longest <= max_side else max_side / longest
    return [max(1, round(side * factor)) for side in size]


def _digest(look: Look, table: Table, max_side: Optional[int]) -> str:
    """What decides the files of a pair."""
    files = [f"{path.resolve()} {_state(path)}" for path in (look.pair.image, look.pair.label)]
    rows = [(row.number, row.code) for row in table.rows]
    return hashlib.sha256(repr((files, table.form, table.near, rows, max_side)).encode()).hexdigest()


def _state(path: Path) -> str:
    try:
        found = path.stat()
    except OSError as error:
        raise OwnError(f"'{path}': {error.strerror}; it was there when the pairs were checked: bring it back, or take "
                       "the pair out, and repeat the command") from error
    return f"{found.st_size} {found.st_mtime_ns}"
