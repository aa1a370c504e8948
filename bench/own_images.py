"""Draw a small set as a user would have it: `python -m bench.own_images OUT` makes OUT/images and OUT/labels.

In:   a folder, how many pictures.
Out:  JPEG images of three kinds of drawn objects, PNG labels in colours (white: void); JSON on stdout.
Not here: drawing itself (data/shapes), training (train.py).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from PIL import Image

from data.shapes.objects import OBJECTS
from data.shapes.scene import BORDER, draw_scene
from data.whole import write_whole

KINDS = ("ball", "box", "tent")
COLOURS = ((0, 0, 0), (230, 25, 75), (60, 180, 75), (0, 130, 200))  # background, then KINDS
VOID = (255, 255, 255)


def draw(out: Path, count: int) -> None:
    """Draw `count` pairs of at most 256 x 256 pixels."""
    among = [OBJECTS.index(kind) for kind in KINDS]
    table = np.zeros((256, 3), np.uint8)
    table[BORDER] = VOID
    for number, colour in zip([0, *[kind + 1 for kind in among]], COLOURS):
        table[number] = colour
    for index in range(count):
        scene = draw_scene("own", index, among)
        name, label = f"picture_{index:03d}", Image.fromarray(table[scene.label])
        write_whole(out / "labels" / f"{name}.png", lambda file, label=label: label.save(file, "PNG"))
        write_whole(out / "images" / f"{name}.jpg",
                    lambda file, picture=scene.picture: picture.save(file, "JPEG", quality=90))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.own_images")
    parser.add_argument("out", type=Path)
    parser.add_argument("--count", type=int, default=60)
    args = parser.parse_args()
    draw(args.out, args.count)
    print(json.dumps({"pairs": args.count, "images": str(args.out / "images"), "labels": str(args.out / "labels"),
                      "classes": ["background", *KINDS]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
