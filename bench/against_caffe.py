"""Scores of a random full-size FCN-8s, ours against genuine Caffe's: `python -m bench.against_caffe --image FILE`.

In:   a photograph (resized to 500 x 500; default: noise); genuine Caffe in .venv-bvlc.
Out:  greatest difference relative to the greatest score, share of pixels with one answer, seconds of both.
Not here: small nets (tests compare those). Both read one weights file, written by us and removed afterwards;
each runs in a process of its own and takes about 3 GiB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from bench.full_size import load_image

ROOT = Path(__file__).resolve().parent.parent
BVLC_PYTHON = ROOT / ".venv-bvlc" / "bin" / "python"
DEPLOY = ROOT / "models" / "voc-fcn8s" / "deploy.prototxt"

MAKE = """
import sys, numpy as np, caffe, surgery
net = caffe.Net(sys.argv[1], caffe.TEST)
rng = np.random.default_rng(1)
for name, blobs in net.params.items():
    for blob in blobs:  # as many steps up as down from layer to layer, so that scores are neither 0 nor infinite
        fan_in = max(1, blob.count // blob.shape[0])
        std = np.sqrt(2 / fan_in) if len(blob.shape) > 1 else 0.1
        blob.data[...] = rng.standard_normal(tuple(blob.shape), np.float32) * np.float32(std)
surgery.interp(net, [name for name in net.params if name.startswith("upscore")])
net.save(sys.argv[2])
"""
RUN = """
import sys, time, numpy as np, caffe
net = caffe.Net(sys.argv[1], caffe.TEST)
net.copy_from(sys.argv[2])
image = np.load(sys.argv[3])
net.blobs["data"].reshape(1, *image.shape)
net.blobs["data"].data[...] = image
times = []
for _ in range(int(sys.argv[5])):
    begin = time.time()
    score = net.forward()["score"]
    times.append(time.time() - begin)
np.savez(sys.argv[4], score=score, seconds=min(times))
"""


def run(python: str | Path, script: str, *arguments: object) -> None:
    """Run a script in a process of its own; stops with its last words if it fails."""
    env = dict(os.environ, GLOG_minloglevel="2")
    done = subprocess.run([str(python), "-c", script, *map(str, arguments)], cwd=ROOT, env=env, capture_output=True,
                          text=True)
    if done.returncode:
        raise SystemExit(f"{python}: stopped ({done.returncode})\n{done.stderr[-2000:]}")


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", help="photograph, resized to 500 x 500")
    parser.add_argument("--runs", type=int, default=2, help="forward passes of each; the best counts")
    args = parser.parse_args()
    if not BVLC_PYTHON.exists():
        raise SystemExit("genuine Caffe is not installed (.venv-bvlc; make setup builds it where Python 3.9 is found)")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        weights, image = f"{folder}/random.caffemodel", f"{folder}/image.npy"
        np.save(image, load_image(args.image))
        run(sys.executable, MAKE, DEPLOY, weights)
        for who, python in (("ours", sys.executable), ("genuine", BVLC_PYTHON)):
            run(python, RUN, DEPLOY, weights, image, f"{folder}/{who}.npz", args.runs)
            with np.load(f"{folder}/{who}.npz") as loaded:
                found[who] = dict(loaded)
    ours, genuine = found["ours"]["score"], found["genuine"]["score"]
    relative = np.abs(ours - genuine).max() / np.abs(genuine).max()
    equal = (ours.argmax(1) == genuine.argmax(1)).mean()
    seconds = {who: float(of["seconds"]) for who, of in found.items()}
    print(f"scores {ours.shape}, greatest {np.abs(genuine).max():.3g}: differ by {relative:.2e} relative; "
          f"argmax equal at {equal:.4%} of the pixels, {len(np.unique(genuine.argmax(1)))} classes occur")
    print(f"forward: ours {seconds['ours']:.2f} s, genuine Caffe {seconds['genuine']:.2f} s, "
          f"ours / genuine {seconds['ours'] / seconds['genuine']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
