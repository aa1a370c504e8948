"""How much of score.py's time is not the net's forward: `python -m bench.score_share [--voc-dir DIR] [--quick]`.

In:   101 drawn photographs of VOC's sizes, or a folder in VOC layout; the full-size FCN-8s with random weights.
Out:  the share in per cent, from the second image on; images a second.
Not here: the scores. Reading, decoding and handing over images count as not the net's, though a layer does them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
import score
from bench.inputs import write_weights
from bench.measure import counted
from bench.photographs import draw
from bench.worker import peak_gib

SIZES = ((375, 500), (333, 500), (500, 375), (375, 500), (500, 334))  # as VOC's photographs
STRETCHES = 5  # of the images, for the spread


class Clock:
    """Notes when the net works, and how long its first layer, which reads, takes of that."""

    def __init__(self, layer: type) -> None:
        self.passes: list[tuple[float, float, float]] = []  # begin, end, seconds in the data layer
        self.reading = 0.0
        self.layer = layer

    @contextlib.contextmanager
    def patched(self):
        """Let the net and its data layer run under this clock."""
        forward, own = caffe.Net.forward, {name: getattr(self.layer, name) for name in ("reshape", "forward")}

        def timed_pass(net, *args, **kwargs):
            begin, self.reading = time.perf_counter(), 0.0
            found = forward(net, *args, **kwargs)
            self.passes.append((begin, time.perf_counter(), self.reading))
            return found

        def timed(method):
            def call(layer, *args):
                begin = time.perf_counter()
                method(layer, *args)
                self.reading += time.perf_counter() - begin
            return call

        caffe.Net.forward = timed_pass
        for name, method in own.items():
            setattr(self.layer, name, timed(method))
        try:
            yield self
        finally:
            caffe.Net.forward = forward
            for name, method in own.items():
                setattr(self.layer, name, method)

    def shares(self) -> tuple[float, list[float]]:
        """Return the share in per cent that is not the net's, from the second image on; the same of stretches."""
        bounds = [1 + i * (len(self.passes) - 2) // STRETCHES for i in range(STRETCHES + 1)]
        return self.share(1, len(self.passes) - 1), [
            self.share(a, b) for a, b in zip(bounds, bounds[1:]) if b > a]

    def share(self, first: int, last: int) -> float:
        """Return the share between the beginnings of two passes."""
        net = sum(end - begin - reading for begin, end, reading in self.passes[first:last])
        return 100 * (1 - net / (self.passes[last][0] - self.passes[first][0]))


def drawn(folder: Path, count: int, small: bool) -> Path:
    """Draw photographs and labels, laid out as VOC's."""
    draw(folder, count, [(h // 10, w // 10) for h, w in SIZES] if small else SIZES, classes=9 if small else 21)
    (folder / "images").rename(folder / "JPEGImages")
    (folder / "labels").rename(folder / "SegmentationClass")
    ids = folder / "ImageSets" / "Segmentation" / "seg11valid.txt"
    ids.parent.mkdir(parents=True)
    ids.write_text("".join(f"{i:03d}\n" for i in range(count)))
    return folder


def measure(voc: str | None, small: bool) -> dict:
    """Score and return a row of the table."""
    from voc_layers import VOCSegDataLayer

    name, count = ("shapes-fcn8s", 8) if small else ("voc-fcn8s", 101)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_weights(folder, name)
        voc = voc or str(drawn(folder, count, small))
        command = ["--net", name, "--weights", str(folder / f"{name}.caffemodel"), "--voc-dir", voc,
                   "--split", "seg11valid", "--out", str(folder / "scored.json")]
        with Clock(VOCSegDataLayer).patched() as clock, contextlib.redirect_stdout(sys.stderr):
            score.main(command)
    share, stretches = clock.shares()
    images = len(clock.passes) - 2
    seconds = (clock.passes[-1][0] - clock.passes[1][0]) / images
    ours = {**counted(stretches, peak_gib=peak_gib()), "median": share}
    return {"name": "score", "what": f"score.py, FCN-8s, {len(clock.passes)} photographs: share that is not the net's",
            "unit": "%", "sides": {"ours": ours}, "ratios": {}, "agrees": {}, "seconds_an_image": seconds}


def main(argv: list[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--voc-dir", help="folder in VOC layout with the split seg11valid (default: drawn)")
    parser.add_argument("--quick", action="store_true", help="eight small photographs and the embedded set's net")
    parser.add_argument("--json", action="store_true", help="print the row of the table as JSON")
    args = parser.parse_args(argv)
    row = measure(args.voc_dir, args.quick)
    ours = row["sides"]["ours"]
    print(json.dumps([row]) if args.json else f"{row['what']}: {ours['median']:.2f} % ({ours['least']:.2f} to "
          f"{ours['most']:.2f} %); {row['seconds_an_image']:.3f} s an image, peak {ours['peak_gib']:.2f} GiB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
