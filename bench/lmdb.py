"""Write and read 1,000 image/label pairs as LMDBs: `python -m bench.lmdb [--pairs 1000] [--images DIR --labels DIR]`.

In:   two folders of photographs and palette labels, repeated; without them, drawn photographs of 500 x 375 as JPEG.
Out:  JSON: pairs a second written, read back and decoded to uint8 (JPEG and PNG), and given by Data layers to a net.
Not here: training steps (step.py). One process and one core: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import caffe
from bench.photographs import draw
from data.lmdb_pairs.checking import pairs
from data.lmdb_pairs.datums import unpack
from data.lmdb_pairs.source import of_folders, ordered
from data.lmdb_pairs.writing import plan, write

DRAWN = 40  # different pictures, where none are given
NET = """
layer { name: "data" type: "Data" top: "data" transform_param { mean_value: 104.00699 mean_value: 116.66877
        mean_value: 122.67892 } data_param { source: "DIR/data" batch_size: 1 backend: LMDB } }
layer { name: "label" type: "Data" top: "label" data_param { source: "DIR/label" batch_size: 1 backend: LMDB } }
"""


class NoBar:
    def __init__(self, **_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *fault):
        pass

    def update(self, n):
        pass


class Clock:
    """Counts pairs a second, and a second of this process's own CPU time, which other processes do not stretch."""

    def __init__(self) -> None:
        self.start = time.perf_counter(), time.process_time()

    def rates(self, count: int, name: str) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self.start[0], time.process_time() - self.start[1]
        return {f"{name}_per_s": round(count / wall, 1), f"{name}_per_cpu_s": round(count / cpu, 1)}


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--labels", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images, labels = (args.images, args.labels) if args.images else draw(folder, DRAWN)
        ids = sorted({p.stem for p in images.iterdir()} & {p.stem for p in labels.iterdir()})
        (folder / "val.txt").write_text("\n".join(ids) + "\n")
        what = plan(ordered(of_folders(images, labels, folder, "val"), "file", 0), args.pairs, "jpeg-as-is", "png")
        clock = Clock()
        write(what, folder / "db", NoBar)
        found = {"pairs": args.pairs, "different": len(ids), **clock.rates(args.pairs, "written")}
        clock = Clock()
        for _, values in pairs(folder / "db", what.kinds):
            for top, value in values.items():
                unpack(value, what.kinds[top])
        found.update(clock.rates(args.pairs, "read_and_decoded"))
        (folder / "net.prototxt").write_text(NET.replace("DIR", str(folder / "db")))
        net = caffe.Net(str(folder / "net.prototxt"), caffe.TRAIN)
        clock = Clock()
        for _ in range(args.pairs):
            net.forward()
        found.update(clock.rates(args.pairs, "data_layers"))
        size = sum((folder / "db" / top / "data.mdb").stat().st_size for top in what.kinds)
        print(json.dumps({**found, "bytes_per_pair": size // args.pairs}))


if __name__ == "__main__":
    main()
