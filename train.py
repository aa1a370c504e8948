"""Train a net on your own images: two folders in, a trained net and a report out.

In:   `python train.py --images DIR --labels DIR`; see --help.
Out:  models/NAME: class table, check.html, report.html, the best weights with their record.
Not here: all of the work (own/).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import List, Optional

import startup

if __name__ == "__main__":
    startup.ensure_environment()
    startup.quiet_caffe()


def main(argv: Optional[List[str]] = None) -> int:
    """Check two folders, then train on them; gives the exit code."""
    from own.home import Home
    from own.inspect import Request, inspect
    from ranks import here

    args = vars(_arguments(argv))
    if here().count > 1:
        raise ValueError("train.py trains in one process; nets with a recipe train in several: "
                         "torchrun ... -m solvers.solve NAME")
    only_check, gpu = args.pop("check"), args.pop("gpu")
    for key in ("images", "labels", "classes", "train_list", "val_list"):
        args[key] = Path(args[key]) if args[key] else None
    if not Path("models").is_dir():  # started elsewhere: nets are made in the project
        for key in ("images", "labels", "classes", "train_list", "val_list"):
            args[key] = args[key].resolve() if args[key] else None
        if args["init"] and Path(args["init"]).exists():
            args["init"] = str(Path(args["init"]).resolve())
        os.chdir(startup.ROOT)
    request = Request(**args)
    home = Home(request.name)
    if not only_check:
        startup.select_device(gpu)
    checked = inspect(request, home)
    if only_check:
        return 0
    from own.run import train_own

    train_own(request, home, checked, gpu)
    return 0


def _arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="train.py", description=(
        "Train a net on your own images. The same command goes on where an earlier one stopped."))
    add = parser.add_argument
    add("--images", type=_folder, metavar="DIR", required=True, help="folder of images")
    add("--labels", type=_folder, metavar="DIR", required=True,
        help="folder of labels of the same names; endings may differ")
    add("--classes", metavar="FILE", help="class table (--check writes one to edit), or class names, one a line")
    add("--train-list", metavar="FILE", help="ids to train on, one a line (default: four fifths, drawn)")
    add("--val-list", metavar="FILE", help="ids to validate on, one a line")
    add("--net", help="32s, 16s, 8s, 8s-atonce or staged (default: 8s by way of 32s and 16s, where the trunk "
                     "has them)")
    add("--init", metavar="FILE", help="initial weights: a caffemodel, or vgg16, googlenet, alexnet, squeezenet, "
                                       "shapes, none (default: the best that are here)")
    add("--name", default="own", help="of the net, and of its folder in models/ (default: own)")
    add("--minutes", type=_positive, metavar="N", help="budget for the training (default: by the number of images)")
    add("--max-iter", type=_count, metavar="N", help="iterations of all stages together")
    add("--max-side", type=_count, metavar="N", help="make larger images smaller, their labels by the nearest pixel")
    add("--crop", type=_count, default=0, metavar="N", help="train on random windows of N x N pixels")
    add("--jitter", type=_count, default=0, metavar="N", help="move images by up to N pixels, anew each time")
    add("--batch", type=_count, default=1, metavar="N", help="images a step (default: 1, as FCN)")
    add("--no-mirror", dest="mirror", action="store_false", help="never flip images: left and right differ in them")
    add("--seed", type=int, default=0, help="of splits and training (default: 0)")
    add("--leave-out", action="store_true", help="leave pairs out that cannot be used, in place of stopping")
    add("--check", action="store_true", help="only check images and labels, and propose classes")
    add("--gpu", type=int, metavar="N", help="number of the GPU (default: the CPU)")
    return parser.parse_args(argv)


def _folder(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("no name given; want a folder")
    return text


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text)):
        raise argparse.ArgumentTypeError(f"{text}; want a whole number from 1 up")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}; want a number above 0")
    return value


if __name__ == "__main__":
    sys.exit(startup.run(main))
