"""Segment photographs: image → score → the best class of every pixel → pictures.

In:   image files or folders, a trained net with its record (mean, scale, classes).
Out:  NAME_label.png (palette), NAME_overlay.png, NAME_panel.png, on request NAME_scores.npz.
Not here: metrics (score.py), reading files (inference/photos.py), estimates (inference/memory.py), colours (vis.py).
Source: infer.py of the FCN release for the preprocessing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import numpy as np
from PIL import Image

from inference.memory import forward_bytes, free_bytes, longest_side
from inference.photos import (
    PhotoError,
    enlarge_label,
    find_images,
    image_size,
    output_stems,
    read_photo,
)
from nets import NetError
from nets.choice import choose, how_to_get_voc, is_embedded, trained
from nets.record import Record
from vis import color_seg, legend, make_palette, panel, save_label, save_rgb, vis_seg

SHARE_IN_LEGEND = 0.0005  # classes of fewer pixels would crowd it; the printed list has them all
GIB = 2.0**30


def preprocess(im_rgb: np.ndarray, mean_bgr: Sequence[float], scale: float = 1.0) -> np.ndarray:
    """Make a net's input of a picture, bit for bit as the data layers do.

    Args:
        im_rgb: (H, W, 3) uint8 RGB.
        mean_bgr: blue, green, red, subtracted from 0 to 255.
        scale: multiplied after the mean is gone.

    Returns:
        (3, H, W) float32 BGR.
    """
    in_bgr = (im_rgb[:, :, ::-1] - np.asarray(mean_bgr, np.float64)).astype(np.float32)
    in_bgr = np.ascontiguousarray(in_bgr.transpose(2, 0, 1))  # (3, H, W)
    return in_bgr if scale == 1 else in_bgr * np.float32(scale)


def infer(net: Any, record: Record, im_rgb: np.ndarray) -> np.ndarray:
    """Run a deploy net on one picture.

    Args:
        net: caffe.Net with blobs `data` and `score`.
        record: mean, scale and classes.
        im_rgb: (H, W, 3) uint8 RGB.

    Returns:
        (K, H, W) float32 scores: a view of the net's blob, overwritten by the next pass.

    Raises:
        NetError: scores of another size than the picture, or not finite.
    """
    data = preprocess(im_rgb, record.mean_bgr, record.scale)
    net.blobs["data"].reshape(1, *data.shape)
    net.reshape()
    net.blobs["data"].data[0] = data
    net.forward()
    score = net.blobs["score"].data[0]  # (K, H, W)
    if score.shape != (len(record.classes), *data.shape[1:]):
        raise NetError(f"net '{record.net}': score is {score.shape}, want {len(record.classes)} "
                       f"classes by {data.shape[1:]} pixels; check the net's Crop and its record")
    if not np.isfinite(score.sum()):
        raise NetError(f"net '{record.net}': scores are not finite; the training of "
                       f"'{record.weights}' diverged; choose an earlier snapshot with --weights")
    return score


def softmax(score: np.ndarray) -> np.ndarray:
    """Probabilities of the classes: (K, H, W) scores → (K, H, W) float32 that add up to 1."""
    powers = np.exp(score - score.max(0))
    return (powers / powers.sum(0)).astype(np.float32)


def main(argv: Sequence[str] | None = None) -> int:
    """Segment images with a trained net; see --help."""
    args = _arguments(argv)
    startup.quiet_caffe()
    out = Path(args.out)
    images = find_images(args.images, out)
    record = choose(args.net, args.weights)
    startup.select_device(args.gpu)
    net = _open_net(record)
    _say_which(record)
    needed, free = forward_bytes(net), free_bytes(args.gpu)
    Image.MAX_IMAGE_PIXELS = None  # the estimate decides instead
    out.mkdir(parents=True, exist_ok=True)
    failed = 0
    for number, (image, stem) in enumerate(output_stems(images, out).items()):
        try:
            _check_memory(image, args.max_side, needed, free)
            _segment(net, record, image, stem, args)
        except (PhotoError, RuntimeError, NetError, MemoryError) as error:
            failed += 1
            print(f"error: {_said(error, image)}", file=sys.stderr)
            continue
        if number == failed:  # the first that ran
            _warn_if_dead(net)
    done = len(images) - failed
    print(f"{done} of {len(images)} image{'s' * (len(images) != 1)} done, results in {out}{os.sep}")
    if is_embedded(record):
        print(f"note: this net knows drawn objects only; {how_to_get_voc()}")
    return 1 if failed else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="infer.py", description=(
        "Segment photographs: label PNG, overlay and side-by-side panel for every image."))
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER")
    parser.add_argument("--net", help="net in models/ (default: the best one trained here)")
    parser.add_argument("--weights", help="caffemodel in place of the net's own")
    parser.add_argument("--gpu", type=int, metavar="N", help="CUDA device (default: the CPU)")
    parser.add_argument("--out", default="output", metavar="DIR",
                        help="folder of results (%(default)s)")
    parser.add_argument("--scores", action="store_true",
                        help="also write probabilities as NAME_scores.npz")
    parser.add_argument("--max-side", type=int, metavar="N",
                        help="make larger images smaller for the net; labels keep the image's size")
    args = parser.parse_args(argv)
    if args.max_side is not None and args.max_side < 1:
        parser.error(f"--max-side {args.max_side}: want 1 or more pixels")
    return args


def _open_net(record: Record) -> Any:
    import caffe

    net = caffe.Net(record.deploy, caffe.TEST, weights=record.weights)
    for name in ("data", "score"):
        if name not in net.blobs:
            raise NetError(f"net '{record.deploy}': no blob '{name}'; it has "
                           f"{', '.join(net.blobs)}; infer.py wants a deploy net for segmentation")
    return net


def _say_which(record: Record) -> None:
    iu = record.scores.get("mean_iu")
    scored = f", mean IU {iu:.3f} in validation" if iu else ""
    print(f"net {record.net} ({record.weights}){scored}")
    print(f"it knows {len(record.classes)} classes: {', '.join(record.classes)}")
    others = [other.net for other in trained() if other.net != record.net]
    if others:
        print(f"other nets here (--net): {', '.join(others)}")
    sys.stdout.flush()


def _check_memory(path: Path, max_side: int | None, needed: Callable[[int, int], float],
                  free: float) -> None:
    """Refuse an image, before it is read, whose pass would not fit."""
    whole = height, width = image_size(path)
    if max_side is not None and max(whole) > max_side:
        height, width = (max(1, round(side * max_side / max(whole))) for side in whole)
    pixels = 10 * whole[0] * whole[1]  # the picture itself, read and painted
    want = needed(height, width) + pixels
    if want <= free:
        return
    side = longest_side(needed, *whole, free - pixels)
    remedy = f"--max-side {side} would do" if side else "make the image smaller first"
    too_large = want == float("inf")
    how_much = "blobs larger than Caffe can have" if too_large else f"about {want / GIB:.1f} GiB"
    raise PhotoError(f"'{path}': {width} x {height} pixels need {how_much}, free are "
                     f"{free / GIB:.1f} GiB; {remedy}")


def _segment(net: Any, record: Record, image: Path, stem: Path, args: argparse.Namespace) -> None:
    """Segment one image, write its files, print its line."""
    start = perf_counter()
    whole, for_net = read_photo(image, args.max_side)
    score = infer(net, record, for_net)
    label = score.argmax(0).astype(np.uint8)  # (h, w)
    if args.scores:
        _save_scores(stem, score, record)
    label = enlarge_label(label, *whole.shape[:2])  # (H, W)
    counts = np.bincount(label.ravel(), minlength=len(record.classes))
    order = np.argsort(-counts, kind="stable")
    shares = [(int(k), counts[k] / label.size) for k in order if counts[k]]
    _save_pictures(stem, whole, label, record, shares)
    found = ", ".join(f"{record.classes[k]} {_percent(share)}" for k, share in shares)
    size = f"{whole.shape[1]}x{whole.shape[0]}"
    if for_net is not whole:
        size += f" (net: {for_net.shape[1]}x{for_net.shape[0]})"
    seconds = perf_counter() - start
    print(f"{image}: {size}, {seconds:.2f} s: {found} -> {stem}_label.png", flush=True)


def _save_pictures(stem: Path, whole: np.ndarray, label: np.ndarray, record: Record,
                   shares: list[tuple[int, float]]) -> None:
    palette = make_palette(256)
    overlay = vis_seg(whole, label, palette)
    entries = [(k, f"{record.classes[k]} {_percent(share)}") for k, share in shares
               if share >= SHARE_IN_LEGEND]
    side_by_side = [whole, color_seg(label, palette), overlay]
    width = sum(picture.shape[1] for picture in side_by_side)
    save_label(_beside(stem, "_label.png"), label)
    save_rgb(_beside(stem, "_overlay.png"), overlay)
    save_rgb(_beside(stem, "_panel.png"), panel(side_by_side, legend(entries, palette, width)))


def _said(error: Exception, image: Path) -> str:
    """The message in one line, with the image's name."""
    text = " ".join(str(error).split())
    if not text or "can't allocate memory" in text:  # what the kernels say when memory is out
        text = "out of memory; --max-side N would need less"
    return text if str(image) in text else f"'{image}': {text}"


def _save_scores(stem: Path, score: np.ndarray, record: Record) -> None:
    """Write `probability` (K, h, w) float32 at the size the net saw, and `classes`."""
    path = _beside(stem, "_scores.npz")
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as stream:
            np.savez(stream, probability=softmax(score), classes=np.array(record.classes))
        os.replace(part, path)
    except OSError as error:
        if error.errno:
            error.filename = str(path)  # not the temporary name
        raise
    finally:
        part.unlink(missing_ok=True)


def _warn_if_dead(net: Any) -> None:
    from surgery.diagnose import diagnose

    for finding in diagnose(net):
        print(f"warning: {finding}", file=sys.stderr)


def _beside(stem: Path, ending: str) -> Path:
    return stem.with_name(stem.name + ending)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.001 else "<0.1 %"


if __name__ == "__main__":
    sys.exit(startup.run(main))
