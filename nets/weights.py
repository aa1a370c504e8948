"""Fetch released weights: `python -m nets weights NAME [--from FILE]`, `make weights-NAME`.

In:   a name, a file the user has already (as released, or converted by others), the project's root.
Out:  the caffemodel where infer.py, score.py and the trainings look for it, with its record.
Not here: which weights there are (weight_rows.py), one download (data/download.py), how files are converted
    (caffe.convert), scoring.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.archives import move
from data.download import Download, check, digests, fetch, forget
from data.sets import SETS
from data.whole import DataError, alone
from nets import NetError
from nets.prototxt import write_prototxt
from nets.record import Head, Input, Record, load_record, record_path, save_record
from nets.weight_rows import TOLERANCE, WEIGHTS, Weights, weights_row
from nets.zoo import emit, inputs

__all__ = ["WEIGHTS", "bring", "expected", "from_readme", "judge", "main"]

DOWNLOADS = "data/downloads"
SEG11VALID = ("seg11valid", 736)  # the split that scores were measured on, and its images
CONVERTED = (".npz", ".pth", ".pt")


def bring(name: str, root: Path = Path("."), from_file: Path | None = None, *, force: bool = False) -> Path:
    """Put released weights in their place, with their record.

    Args:
        name: a key of WEIGHTS, or the released file's name.
        root: the project's root.
        from_file: the released caffemodel, or the same weights as .npz, .pth or .pt, which are converted.
        force: replace weights that were trained here, or that nobody knows.

    Returns:
        The caffemodel's path.

    Raises:
        DataError: unknown name, other weights in that place, a download or file that is wrong.
        RuntimeError: caffe cannot read the file, or it does not fit the net.
    """
    row = weights_row(name)
    place = root / row.place
    if row.published:
        print(f"{row.name}: published: {row.published}")
    with alone(root / DOWNLOADS / f".{row.name}.lock", f"fetches {row.name}"):
        origin = _origin(row, place)
        if place.exists() and not force:
            if not origin:
                raise DataError(f"'{place}' is there and is not the released file ({_what(place)}); move it away, or "
                                f"replace it with --force (make weights-{row.name} FORCE=1)")
            print(f"{place}: there already")
            _save_record(row, place, origin)
        else:
            if from_file is not None and from_file.suffix.lower() in CONVERTED:
                path, origin = _convert(row, from_file, root)
            else:
                path, origin = _fetch(row, from_file, root)
            place.unlink(missing_ok=True)  # before its record changes; the new one is there, whole
            _save_record(row, place, origin)
            move(path, place)
        print(f"{place}: {origin}")
    return place


def expected(record: Record) -> dict[str, float] | None:
    """Give the scores that a net's released weights must have on seg11valid, each within TOLERANCE.

    Returns:
        overall_accuracy, mean_accuracy, mean_iu, fwavacc; None for weights of another origin, or unmeasured ones.
    """
    row = WEIGHTS.get(record.net)
    if row is None or not row.expected or record.iteration is not None:
        return None
    return dict(row.expected) if record.origin.startswith(row.download.urls[0]) else None


def judge(record: Record, split: str, images: int, mean_iu: float) -> str:
    """Say in a line how a mean IU is to the one measured on the released weights; empty where there is none."""
    want = expected(record)
    if want is None or (split, images) != SEG11VALID:
        return ""
    verdict = "as released" if abs(mean_iu - want["mean_iu"]) <= TOLERANCE else "warning: NOT as released"
    return (f"{verdict}: mean IU {mean_iu:.4f}, expected {want['mean_iu']:.4f} +- {TOLERANCE} of the released weights "
            f"of {record.net} on {split}\n")


def from_readme(path: Path) -> Download:
    """Read what a model zoo's readme.md says of its caffemodel, in the lines between its first two `---`.

    Raises:
        DataError: caffemodel, caffemodel_url or sha1 is not there.
    """
    head = re.match(r"---\s*\n(.*?)\n---", path.read_text(encoding="utf-8", errors="replace"), re.DOTALL)
    found = dict(re.findall(r"^(\w+):[ \t]*(\S.*?)[ \t]*$", head.group(1) if head else "", re.MULTILINE))
    lacking = [key for key in ("caffemodel", "caffemodel_url", "sha1") if key not in found]
    if lacking:
        raise DataError(f"'{path}' does not say {', '.join(lacking)} in its front matter; want a model zoo's readme.md")
    return Download(Path(found["caffemodel"]).name, (found["caffemodel_url"],), 0, (f"sha1:{found['sha1'].lower()}",),
                    found.get("license", ""))


def _origin(row: Weights, place: Path) -> str:
    """Where the weights in this place come from, if they are the released ones; else empty.

    Raises:
        DataError: their record says so, but the file is another.
    """
    if not place.exists():
        return ""
    released = " ".join((row.download.urls[0], *row.download.checksums))
    with contextlib.suppress(NetError):
        origin = load_record(place).origin
        if origin == released:
            check(row.download, place)
        return origin
    if record_path(place).exists() or not row.download.checksums:
        return ""
    with contextlib.suppress(DataError):
        check(row.download, place)
        return released
    return ""


def _what(place: Path) -> str:
    try:
        record = load_record(place)
    except NetError:
        return "without a record that could be read"
    scores = ", ".join(f"{key} {value:.4f}" for key, value in record.scores.items())
    trained = record.origin or f"trained here, iteration {record.iteration}"
    return f"{trained}{f'; {scores}' if scores else ''}"


def _fetch(row: Weights, from_file: Path | None, root: Path) -> tuple[Path, str]:
    """Fetch the released file, checked; gives its path and origin."""
    try:
        path = fetch(row.download, root / DOWNLOADS, from_file)
    except DataError as error:
        raise DataError(f"{error}{_other_ways(row)}") from error
    if not row.download.checksums:
        _try(row, path)
    return path, " ".join((row.download.urls[0], *row.download.checksums))


def _other_ways(row: Weights) -> str:
    """Where else the same weights are; those hosts want a browser."""
    files = "; ".join(f"{one.what}: {one.url} (md5 {one.md5})" for one in row.converted)
    return f". The same weights, converted by others, to be fetched with a browser and given with --from: {files}" \
        if files else ""


def _convert(row: Weights, from_file: Path, root: Path) -> tuple[Path, str]:
    """Convert weights of another kind for the row's net; gives the new file's path and origin."""
    try:
        from caffe.convert import convert, form_of
    except ImportError as error:
        raise DataError("this Caffe converts no files; run the command with the toolkit's own (.venv), or give "
                        "--from a caffemodel") from error
    if not from_file.is_file():
        raise DataError(f"--from '{from_file}' is missing")
    md5 = digests(from_file, ["md5"])[0].partition(":")[2]
    known = next((one for one in row.converted if one.md5 == md5), None)
    options: dict = {}
    if form_of(from_file).startswith("torchvision-"):
        options = dict(images=known.images) if known else dict(mean_bgr=SETS["voc"].mean_bgr)
    path = root / DOWNLOADS / f"{row.name}-converted.caffemodel"
    with _deploy(row) as prototxt:
        done = convert(from_file, path, net=prototxt, **options)
    print(f"{from_file}: {done.found}", *done.notes, sep="\n")
    return path, f"{row.download.urls[0]} converted by others, md5:{md5}" if known else \
        f"converted from {from_file.name}, md5:{md5}"


def _try(row: Weights, path: Path) -> None:
    """Load a file of which no checksum is known into its net: every layer must get something."""
    import caffe

    with _deploy(row) as prototxt:
        try:
            net = caffe.Net(str(prototxt), caffe.TEST, weights=str(path))
        except RuntimeError as error:
            forget(path)
            raise DataError(f"{error}; remove '{path}', and repeat the command") from error
    empty = [name for name, blobs in net.params.items() if not blobs[0].data.any()]
    if empty:
        forget(path)
        raise DataError(f"'{path}' has nothing for the layers {', '.join(empty)} of {row.net}; it is another net's "
                        "file: remove it, and repeat the command")


@contextlib.contextmanager
def _deploy(row: Weights) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        prototxt = Path(folder, f"{row.net}.prototxt")
        write_prototxt(emit(row.net, "deploy"), prototxt)
        yield prototxt


def _save_record(row: Weights, place: Path, origin: str) -> None:
    """Write the record of a net for segmentation; a whole one of the same origin stays."""
    if not row.segments:
        return
    with contextlib.suppress(NetError):
        if load_record(place).origin == origin:
            return
    dataset = SETS[row.net.split("-")[0]]
    heads = tuple(Head(head.classes, head.score, head.label, head.loss) for head in dataset.heads)
    fed = tuple(Input(blob, kind, dataset.means[kind]) for blob, kind in inputs(row.net))
    save_record(Record(net=row.net, deploy=f"models/{row.net}/deploy.prototxt", weights=row.place,
                       classes=dataset.classes, mean_bgr=dataset.mean_bgr, scale=dataset.scale,
                       scores=dict(row.expected), origin=origin, heads=heads, inputs=fed), place)


def main(argv: Sequence[str]) -> int:
    """Run `python -m nets weights`; faults are raised."""
    parser = argparse.ArgumentParser(prog="python -m nets weights", description="Fetch or convert released weights.")
    parser.add_argument("name", metavar="NAME", nargs="?", help="which; none: name all; or a model zoo's readme.md")
    parser.add_argument("--from", dest="from_file", type=Path, metavar="FILE",
                        help="a copy you have: caffemodel, .npz, .pth or .pt")
    parser.add_argument("--force", action="store_true", help="replace weights that were trained here")
    parser.add_argument("--root", type=Path, default=Path("."), help="the project's root (.)")
    args = parser.parse_args(argv)
    if args.name is None:
        for row in WEIGHTS.values():
            known = ", ".join(row.download.checksums) or "checksum recorded at first use"
            print(f"{row.name:22} {row.place}  {row.download.urls[0]}  {known}")
    elif args.name.endswith(".md"):
        print(fetch(from_readme(Path(args.name)), Path(args.name).parent, args.from_file))
    else:
        bring(args.name, args.root, args.from_file, force=args.force)
    sys.stdout.flush()
    return 0
