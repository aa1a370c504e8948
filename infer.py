"""Segment photographs: image → score → the best class of every pixel → pictures.

In:   image files or folders, HHA or depth where the net reads it, a trained net with its record.
Out:  the files of inference/outputs.py: label map, overlay, panel, on request scores.
Not here: metrics (score.py); reading, estimates and writing (inference/); colours (vis.py).
Source: infer.py of the FCN release for the preprocessing.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import startup

if __name__ == "__main__":
    startup.ensure_environment()

import numpy as np
from PIL import Image

from inference.inputs import WHAT, Scene, as_input, companion, main_kind, preprocess, read_scene
from inference.memory import forward_bytes, free_bytes, longest_side
from inference.outputs import said, save_pictures, save_scores, shares
from inference.photos import PhotoError, enlarge_label, find_images, image_size, output_stems
from nets import NetError
from nets.choice import choose, how_to_get_voc, is_embedded, trained
from nets.loading import is_finite, open_net
from nets.record import Head, Record
from ranks import Meeting, first_speaks, gpu_of, here

__all__ = ["preprocess", "infer", "infer_heads", "softmax"]

GIB = 2.0**30
PAINTED = 52  # bytes that a pixel of the picture takes, read, enlarged and painted (measured at 16 and 64 megapixels)


def infer(net: Any, record: Record, im_rgb: np.ndarray) -> np.ndarray:
    """Run a deploy net of one input on one picture.

    Args:
        net: caffe.Net with the blobs that the record names.
        record: inputs, scale and heads.
        im_rgb: (H, W, 3) uint8 RGB, or HHA as stored for a net that reads that.

    Returns:
        (K, H, W) float32 scores of the first head: a view of the net's blob, overwritten by the next pass.

    Raises:
        NetError: as infer_heads.
    """
    return infer_heads(net, record, {record.inputs[0].kind: im_rgb})[0]


def infer_heads(net: Any, record: Record, pictures: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    """Run a deploy net on one picture, or several of one size.

    Args:
        net: caffe.Net with the blobs that the record names.
        record: inputs, scale and heads.
        pictures: by kind: color and hha (H, W, 3) uint8, depth (H, W) in millimetres.

    Returns:
        (K, H, W) float32 scores of each head: views of the net's blobs, overwritten by the next pass.

    Raises:
        NetError: an input missing, scores of another size than the picture, or not finite.
    """
    for spec in record.inputs:
        if spec.kind not in pictures:
            raise NetError(f"net '{record.net}': reads {spec.kind} in blob '{spec.blob}', got {', '.join(pictures)}")
        data = as_input(pictures[spec.kind], spec, record.scale)  # (C, H, W)
        net.blobs[spec.blob].reshape(1, *data.shape)
        net.blobs[spec.blob].data[0] = data
    net.forward()
    return [_checked(net.blobs[head.score].data[0], record, head, data.shape[1:]) for head in record.heads]


def _checked(score: np.ndarray, record: Record, head: Head, size: tuple[int, ...]) -> np.ndarray:
    """Refuse scores of the wrong size, or that are no numbers."""
    if score.shape != (len(head.classes), *size):
        raise NetError(f"net '{record.net}': {head.score} is {score.shape}, want {len(head.classes)} "
                       f"classes by {size} pixels; check the net's Crop and its record")
    if not is_finite(score):
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
    ranks, out = here(), Path(args.out)
    images = find_images(args.images, out)
    record = choose(args.net, args.weights)
    given = {"hha": args.hha, "depth": args.depth}
    main_is = main_kind(record, given)
    args.gpu = gpu_of(ranks, args.gpu)
    with first_speaks(ranks):
        startup.select_device(args.gpu)
        startup.select_precision(args.precision, args.gpu)
    net = _open_net(record)
    with first_speaks(ranks):
        _say_which(record)
        if main_is != "color":
            print(f"it reads {WHAT[main_is]}, and takes the images given for that")
    needed = forward_bytes(net, [spec.blob for spec in record.inputs])
    Image.MAX_IMAGE_PIXELS = None  # the estimate decides instead
    out.mkdir(parents=True, exist_ok=True)
    with Meeting(ranks, out / ".ranks") as meeting:
        free, failed = free_bytes(args.gpu), 0
        mine = list(output_stems(images, out).items())[ranks.rank::ranks.count]
        for number, (image, stem) in enumerate(mine):
            try:
                _check_memory(image, args.max_side, needed, free)
                others = {kind: companion(kind, place, image, len(images) == 1)
                          for kind, place in given.items() if place is not None and kind != main_is}
                _segment(net, record, image, stem, read_scene(image, main_is, others, args.max_side), args.scores)
            except (PhotoError, RuntimeError, NetError, MemoryError) as error:
                failed += 1
                print(f"error: {_said(error, image)}", file=sys.stderr)
                continue
            if number == failed and ranks.is_first:  # the first that ran
                _warn_if_dead(net, record)
        failed = meeting.tell(sum(meeting.gather(failed) or []))
    with first_speaks(ranks):
        _say_done(record, len(images), failed, out)
    return 1 if failed else 0


def _say_done(record: Record, images: int, failed: int, out: Path) -> None:
    print(f"{images - failed} of {images} image{'s' * (images != 1)} done, results in {out}{os.sep}")
    if is_embedded(record):
        print(f"note: this net knows drawn objects only; {how_to_get_voc()}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="infer.py", description=(
        "Segment photographs: label PNG, overlay and side-by-side panel for every image."))
    parser.add_argument("images", nargs="+", metavar="IMAGE|FOLDER")
    parser.add_argument("--net", help="net in models/ (default: the best one trained here)")
    parser.add_argument("--weights", help="caffemodel in place of the net's own")
    parser.add_argument("--hha", metavar="FILE|FOLDER", help="HHA of the image, for nets that read it, or a folder "
                        "with a file of each image's name")
    parser.add_argument("--depth", metavar="FILE|FOLDER", help="likewise its depth: PNG of 16 bits, millimetres")
    startup.add_device_options(parser)
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
    net = open_net(record.deploy, record.weights, record.net)
    for name in (*(spec.blob for spec in record.inputs), *(head.score for head in record.heads)):
        if name not in net.blobs:
            raise NetError(f"net '{record.deploy}': no blob '{name}'; it has "
                           f"{', '.join(net.blobs)}; infer.py wants a deploy net for segmentation")
    return net


def _say_which(record: Record) -> None:
    iu = record.scores.get("mean_iu")
    scored = f", mean IU {iu:.3f} in validation" if iu else ""
    print(f"net {record.net} ({record.weights}){scored}")
    for head in record.heads:
        print(f"it knows {len(head.classes)} classes: {', '.join(head.classes)}")
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
    pixels = PAINTED * whole[0] * whole[1]
    want = needed(height, width) + pixels
    if want <= free:
        return
    side = longest_side(needed, *whole, free - pixels)
    remedy = f"--max-side {side} would do" if side else "make the image smaller first"
    too_large = want == float("inf")
    how_much = "blobs larger than Caffe can have" if too_large else f"about {want / GIB:.1f} GiB"
    raise PhotoError(f"'{path}': {width} x {height} pixels need {how_much}, free are "
                     f"{free / GIB:.1f} GiB; {remedy}")


def _segment(net: Any, record: Record, image: Path, stem: Path, scene: Scene, scores: bool) -> None:
    """Segment one image, write its files, print its line."""
    start = perf_counter()
    found = infer_heads(net, record, scene.pictures)
    labels = [score.argmax(0).astype(np.uint8) for score in found]  # (h, w) each
    if scores:
        save_scores(stem, [softmax(score) for score in found], record.heads)
    (height, width), small = scene.whole.shape[:2], labels[0].shape
    labels = [enlarge_label(label, height, width) for label in labels]  # (H, W)
    save_pictures(stem, scene.whole, labels, record.heads)
    classes = "; ".join(said(shares(label, head), head) for label, head in zip(labels, record.heads))
    size = f"{width}x{height}" + (f" (net: {small[1]}x{small[0]})" if small != (height, width) else "")
    print(f"{image}: {size}, {perf_counter() - start:.2f} s: {classes} -> {stem}_label.png", flush=True)


def _said(error: Exception, image: Path) -> str:
    """The message in one line, with the image's name."""
    text = " ".join(str(error).split())
    if not text or "can't allocate memory" in text:  # what the kernels say when memory is out
        text = "out of memory; --max-side N would need less"
    return text if str(image) in text else f"'{image}': {text}"


def _warn_if_dead(net: Any, record: Record) -> None:
    from surgery.diagnose import diagnose

    for head in record.heads:
        for finding in diagnose(net, head.score):
            print(f"warning: {finding}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(startup.run(main))
