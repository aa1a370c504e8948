"""Make the embedded data set: `python -m data.shapes.generate`.

In:   counts and a folder; every picture follows from its own index (scene.py).
Out:  OUT/dataset (VOC devkit layout), OUT/classifier (images and lists), then OUT/.complete.
Not here: how a picture looks (scene.py), reading it (layers/).
Source: ours. Every file is put in place whole, so a run that was killed is simply run again.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple, Optional

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import numpy as np
from PIL import Image
from tqdm import tqdm

from data.processes import cores, spread
from data.shapes.objects import OBJECTS
from data.shapes.scene import VERSION, draw_scene, draw_single
from data.whole import is_whole, remove_left_over, write_text, write_whole

QUALITY = 90  # of the JPEGs
CHUNK = 20  # pictures a worker draws before it reports
STAMP, UNDER_WAY = ".complete", ".under-way"


class Counts(NamedTuple):
    """How many pictures each list names."""

    train: int = 1500
    seg11valid: int = 200
    classifier_train: int = 4000
    classifier_val: int = 400


class Job(NamedTuple):
    """One picture to make: what it is, its index, and its name without folder and ending."""

    kind: str
    index: int
    name: str


def voc_palette() -> bytes:
    """Return the 256 colours of PASCAL VOC's label files, 768 bytes RGB."""
    table = bytearray()
    for index in range(256):
        for band in range(3):  # bit 3k + band of the index is bit 7 - k of the colour
            table.append(sum((index >> (3 * k + band) & 1) << (7 - k) for k in range(3)))
    return bytes(table)


def jobs_of(counts: Counts) -> list[Job]:
    """List every picture of the set, in the order of its lists."""
    jobs = []
    for kind, stem, count in zip(counts._fields, ("train", "valid", "train", "val"), counts):
        jobs += [Job(kind, index, f"{stem}_{index:05d}") for index in range(count)]
    return jobs


def paths_of(out: Path, job: Job) -> tuple[Path, ...]:
    """Return the files of one picture: image and label map, or image alone."""
    if job.kind.startswith("classifier"):
        return (out / "classifier" / "images" / f"{job.name}.jpg",)
    dataset = out / "dataset"
    return (
        dataset / "JPEGImages" / f"{job.name}.jpg",
        dataset / "SegmentationClass" / f"{job.name}.png",
    )


def make(out: Path, job: Job) -> None:
    """Draw one picture and put its files in place."""
    paths = paths_of(out, job)
    if len(paths) == 1:
        picture, _ = draw_single(job.kind, job.index)
    else:
        picture, label = draw_scene(job.kind, job.index)
        label_png = Image.fromarray(np.ascontiguousarray(label))
        label_png.putpalette(voc_palette())
        write_whole(paths[1], lambda file: label_png.save(file, "PNG", compress_level=6))
    write_whole(paths[0], lambda file: picture.save(file, "JPEG", quality=QUALITY))


def _make_some(out: Path, jobs: Sequence[Job]) -> int:
    for job in jobs:
        make(out, job)
    return len(jobs)


def write_lists(out: Path, jobs: Sequence[Job]) -> None:
    """Write the split lists and the classifier's `name label` lists."""
    lists = {
        "train": out / "dataset/ImageSets/Segmentation/train.txt",
        "seg11valid": out / "dataset/ImageSets/Segmentation/seg11valid.txt",
        "classifier_train": out / "classifier/train.txt",
        "classifier_val": out / "classifier/val.txt",
    }
    for kind, path in lists.items():
        lines = []
        for job in (job for job in jobs if job.kind == kind):
            label = f".jpg {job.index % len(OBJECTS)}" if kind.startswith("classifier") else ""
            lines.append(f"{job.name}{label}\n")
        write_text(path, "".join(lines))


def _parameters(counts: Counts) -> dict:
    return {"version": VERSION, "quality": QUALITY, **counts._asdict()}


def _recorded(path: Path) -> Optional[dict]:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except ValueError:
        return {}


def _is_stale(out: Path, parameters: dict) -> bool:
    """Tell whether the files there were drawn by another version (counts do not matter)."""
    for name in (STAMP, UNDER_WAY):
        before = _recorded(out / name)
        if before is not None:
            return any(before.get(key) != parameters[key] for key in ("version", "quality"))
    return True  # nothing known about what lies there


def missing_jobs(out: Path, jobs: Sequence[Job]) -> list[Job]:
    """Return the pictures whose files are not all there and whole."""
    return [job for job in jobs if not all(is_whole(path) for path in paths_of(out, job))]


def generate(out: Path, counts: Counts, workers: int, quiet: bool = False) -> int:
    """Make what is missing of the embedded set.

    Args:
        out: folder that gets `dataset` and `classifier`.
        counts: how many pictures of each kind.
        workers: processes; the files do not depend on it.
        quiet: no progress bar.

    Returns:
        The number of pictures drawn; 0 if all were there.

    Raises:
        OSError: a file cannot be written; DataError: a worker was killed. What was whole stays.
    """
    parameters, jobs = _parameters(counts), jobs_of(counts)
    stale = _is_stale(out, parameters)
    for folder in sorted({path.parent for job in jobs for path in paths_of(out, job)}):
        folder.mkdir(parents=True, exist_ok=True)
        remove_left_over(folder)
    todo = jobs if stale else missing_jobs(out, jobs)
    if todo or _recorded(out / STAMP) != parameters:
        if stale:  # files drawn by another version must not pass for ours after a kill
            for path in (path for job in jobs for path in paths_of(out, job)):
                path.unlink(missing_ok=True)
        write_text(out / UNDER_WAY, json.dumps(parameters))
        (out / STAMP).unlink(missing_ok=True)
        _draw(out, todo, workers, len(jobs), quiet)
    write_lists(out, jobs)
    write_text(out / STAMP, json.dumps(parameters))
    (out / UNDER_WAY).unlink(missing_ok=True)
    return len(todo)


def _draw(out: Path, todo: Sequence[Job], workers: int, total: int, quiet: bool) -> None:
    """Draw pictures in `workers` processes behind one progress bar."""
    with tqdm(
        total=total, initial=total - len(todo), unit="image", desc="shapes", disable=quiet
    ) as bar:
        chunks = [todo[start : start + CHUNK] for start in range(0, len(todo), CHUNK)]
        for done in spread(partial(_make_some, out), chunks, workers):
            bar.update(done)


def _count(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 99999:
        raise argparse.ArgumentTypeError(f"{value} is not in 0..99999")
    return value


def _arguments(argv: Optional[Sequence[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m data.shapes.generate", description="Make the embedded data set `shapes`."
    )
    add = parser.add_argument
    add("--out", type=Path, default=Path("data/shapes"), help="folder (%(default)s)")
    add("--jobs", type=_count, default=cores(), help="processes (all cores: %(default)s)")
    add("--train", type=_count, default=1500, help="training scenes (%(default)s)")
    add("--val", type=_count, default=200, help="validation scenes (%(default)s)")
    add("--classifier", type=_count, nargs=2, default=(4000, 400), metavar=("TRAIN", "VAL"),
        help="pictures of one object (4000 400)")  # fmt: skip
    add("--quiet", action="store_true", help="no progress bar")
    return parser.parse_args(argv)


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command; faults are raised (startup.run makes lines of them)."""
    args = _arguments(argv)
    counts = Counts(args.train, args.val, *args.classifier)
    drawn = generate(args.out, counts, args.jobs, args.quiet)
    print(f"{args.out}: {sum(counts)} pictures, {drawn} of them drawn now")
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))
