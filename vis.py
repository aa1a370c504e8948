"""Colours for label maps: the VOC palette, overlays, panels, grids of validation images.

In:   label maps (H, W) of class numbers, RGB images (H, W, 3) uint8.
Out:  RGB arrays, palette PNG files.
Not here: caffe, metrics, plotting windows. NumPy only; PIL comes in where text or files do.
Source: make_palette, color_seg and vis_seg have the names and results of the FCN release.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

__all__ = ["make_palette", "class_palette", "has_background", "color_seg", "vis_seg", "legend", "panel", "grid",
           "save_label", "save_rgb"]

INK, PAPER = (0, 0, 0), 255


def make_palette(num_classes: int) -> np.ndarray:
    """Colours of PASCAL VOC: the bits of the class number dealt to R, G, B, top bits first.

    Args:
        num_classes: how many colours, 0 to 256.

    Returns:
        (num_classes, 3) uint8 RGB; 0 is black, 1 (128, 0, 0), 255 (224, 224, 192).
    """
    numbers = np.arange(num_classes, dtype=np.uint8)
    palette = np.zeros((num_classes, 3), dtype=np.uint8)
    for bit in range(8):  # bits 0 3 6 go to R, 1 4 7 to G, 2 5 to B, each from the top down
        palette[:, bit % 3] |= ((numbers >> bit) & 1) << (7 - bit // 3)
    return palette


def has_background(classes: Sequence[str]) -> bool:
    """Tell whether class 0 is what is none of the others: it stays black, and out of overlays."""
    return classes[0] == "background"


def class_palette(classes: Sequence[str]) -> np.ndarray:
    """Colours of a set's classes: VOC's; a set without background begins with colour 1, for 0 is black.

    Args:
        classes: names in the order of the class numbers, up to 254.

    Returns:
        (256, 3) uint8 RGB; 255 is that of ignored pixels.
    """
    palette = make_palette(256)
    return palette if has_background(classes) else np.concatenate([palette[1:255], palette[:1], palette[255:]])


def color_seg(seg: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Colour a label map: (H, W) integers → (H, W, 3) in the palette's dtype."""
    return palette[seg.flat].reshape(seg.shape + (3,))


def vis_seg(img: np.ndarray, seg: np.ndarray, palette: np.ndarray,
            alpha: float = 0.5, *, everywhere: bool = False) -> np.ndarray:
    """Blend the colours of a label map over its image, where the label is not 0.

    Args:
        img: (H, W, 3) RGB, 0 to 255.
        seg: (H, W) integers.
        palette: (K, 3) RGB, K above the largest label.
        alpha: weight of the colour, 0 to 1.
        everywhere: also where the label is 0, for sets without background.

    Returns:
        (H, W, 3) uint8, cut to whole numbers; background keeps the image.
    """
    vis = np.array(img, dtype=np.float32)
    mask = seg >= 0 if everywhere else seg > 0
    vis[mask] = (1.0 - alpha) * vis[mask] + alpha * palette[seg[mask].flat]
    return vis.astype(np.uint8)


def legend(entries: Sequence[tuple[int, str]], palette: np.ndarray, width: int) -> np.ndarray:
    """Strip of colour patches with their text, wrapped to a width.

    Args:
        entries: (class number, text), drawn in this order.
        palette: (K, 3) uint8 RGB.
        width: pixels; raised to what the longest entry needs.

    Returns:
        (height, width', 3) uint8 RGB on white; height 0 without entries.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default()
    boxes = [font.getbbox(text) for _, text in entries]
    widths = [int(np.ceil(box[2])) + 26 for box in boxes]
    row_height = max([int(np.ceil(box[3])) for box in boxes] + [10]) + 6
    width = max([width, *widths])
    places, x, y = [], 0, 0
    for entry_width in widths:
        if x and x + entry_width > width:
            x, y = 0, y + row_height
        places.append((x, y))
        x += entry_width
    image = Image.new("RGB", (width, (y + row_height) if entries else 0), (PAPER,) * 3)
    draw = ImageDraw.Draw(image)
    for (number, text), (x, y) in zip(entries, places):
        colour = tuple(int(value) for value in palette[number])
        draw.rectangle([x + 4, y + 3, x + 15, y + row_height - 4], fill=colour, outline=INK)
        draw.text((x + 20, y + 2), text, fill=INK, font=font)
    return np.asarray(image)


def panel(pictures: Sequence[np.ndarray], footer: np.ndarray | None = None, *,
          gap: int = 4, down: bool = False) -> np.ndarray:
    """Pictures side by side on white, the tops aligned, a footer such as a legend below.

    Args:
        pictures: (H, W, 3) uint8 RGB each; sizes may differ.
        footer: (h, w, 3) uint8 RGB or None.
        gap: pixels between pictures.
        down: one below the other instead.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    row = _join(list(pictures), gap, axis=0 if down else 1)
    return row if footer is None or not footer.size else _join([row, footer], gap, axis=0)


def grid(rows: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]], classes: Sequence[str], *,
         ignore_label: int = 255) -> np.ndarray:
    """Picture of validation images, one a row: image, truth, prediction; a legend below.

    Args:
        rows: (image (H, W, 3) uint8 RGB, truth (H, W), prediction (H, W)) each.
        classes: names in the order of the class numbers.
        ignore_label: class number shown in the colour of 255 and named `ignored`.

    Returns:
        (H', W', 3) uint8 RGB.
    """
    palette = class_palette(classes)
    lines, seen = [], set()
    for image, truth, prediction in rows:
        seen |= set(np.unique(truth).tolist()) | set(np.unique(prediction).tolist())
        lines.append(panel([image, color_seg(truth, palette), color_seg(prediction, palette)]))
    names = {number: name for number, name in enumerate(classes)}
    names[ignore_label] = "ignored"
    picture = _join(lines, 4, axis=0)
    entries = [(number, names.get(number, str(number))) for number in sorted(seen)]
    return panel([picture], legend(entries, palette, picture.shape[1]))


def save_label(path: Path, seg: np.ndarray, palette: np.ndarray | None = None) -> None:
    """Write a label map, (H, W) of 0 to 255, as a PNG of class numbers with a palette, (256, 3); None: VOC's."""
    from PIL import Image

    image = Image.fromarray(np.ascontiguousarray(seg, dtype=np.uint8))
    image.putpalette((make_palette(256) if palette is None else palette).tobytes())  # L becomes P, the numbers stay
    _write_png(path, image)


def save_rgb(path: Path, picture: np.ndarray) -> None:
    """Write an (H, W, 3) uint8 RGB array as a PNG."""
    from PIL import Image

    _write_png(path, Image.fromarray(np.ascontiguousarray(picture, dtype=np.uint8)))


def _write_png(path: Path, image) -> None:  # noqa: ANN001
    """Write to a temporary name in the same folder, then rename: never half a picture."""
    path = Path(path)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            image.save(file, format="PNG", compress_level=3)
        os.replace(part, path)
    except OSError as error:
        if error.errno:
            error.filename = str(path)  # not the temporary name
        raise
    finally:
        part.unlink(missing_ok=True)


def _join(pictures: list[np.ndarray], gap: int, *, axis: int) -> np.ndarray:
    """Lay pictures along an axis (0 down, 1 across), padded with white to the largest."""
    other = 1 - axis
    extent = max(picture.shape[other] for picture in pictures)
    pieces = []
    for number, picture in enumerate(pictures):
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[other] = (0, extent - picture.shape[other])
        pad[axis] = (gap if number else 0, 0)
        pieces.append(np.pad(picture, pad, constant_values=PAPER))
    return np.concatenate(pieces, axis=axis)
