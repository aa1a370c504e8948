"""Record what genuine Caffe answers in the cases of elementary layers.

Run:  python -m tests.reference.record_elementary

In:   tests/caffe/elementary_cases.py; genuine Caffe (.venv-bvlc).
Out:  tests/reference/elementary.npz: `names` ("case/array 2,3", the shape behind the
      blank) and their `values`, joined.
Not here: the comparison (tests/caffe/test_layers_elementary.py).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc
from tests.caffe.elementary_cases import CASES, SEED, inputs

RECORDED = Path(__file__).with_name("elementary.npz")

# Each case is a net of Input layers and the layer itself; force_backward makes it run
# backward without a loss.
SCRIPT = """
import json, tempfile, zlib

def values(name, shape):
    return np.random.RandomState(zlib.crc32(name.encode())).uniform(-2, 2, shape).astype(np.float32)

def shape(dims):
    return "".join(" dim: %d" % d for d in dims)

for case in json.loads(str(inp["cases"])):
    name = case["name"]
    text = "force_backward: true\\n"
    for i, dims in enumerate(case["shapes"]):
        text += 'layer { name: "b%d" type: "Input" top: "b%d" ' % (i, i)
        text += "input_param { shape {%s } } }\\n" % shape(dims)
    text += "layer { %s }" % case["layer_text"]
    with tempfile.NamedTemporaryFile("w", suffix=".prototxt") as source:
        source.write(text)
        source.flush()
        caffe.set_random_seed(int(inp["seed"]))
        net = caffe.Net(source.name, caffe.TRAIN)
    bottoms = [net.blobs["b%d" % i] for i in range(len(case["shapes"]))]
    tops = bottoms[:1] if case["in_place"] else [net.blobs["t%d" % i] for i in range(case["tops"])]
    params = list(net.params["l"]) if "l" in net.params else []
    for i, blob in enumerate(params):
        out["%s/filled%d" % (name, i)] = blob.data.copy()
        blob.data[...] = values("%s/p%d" % (name, i), tuple(blob.shape))
        blob.diff[...] = 3
    for _ in range(2):
        for i, blob in enumerate(bottoms):
            blob.data[...] = inp["%s/b%d" % (name, i)]
        net.forward(start="l", end="l")
    for i, blob in enumerate(tops):
        out["%s/top%d" % (name, i)] = blob.data.copy()
    if not case["backward"]:
        continue
    for blob in bottoms:
        blob.diff[...] = 7
    for i, blob in enumerate(tops):
        blob.diff[...] = values("%s/d%d" % (name, i), tuple(blob.shape))
    net.backward(start="l", end="l")
    for i, blob in enumerate(bottoms):
        out["%s/bottom_diff%d" % (name, i)] = blob.diff.copy()
    for i, blob in enumerate(params):
        out["%s/param_diff%d" % (name, i)] = blob.diff.copy()
"""


def questions() -> dict[str, np.ndarray]:
    """Return what the script finds in `inp`: the cases as JSON, the seed, the bottoms."""
    keys = ("name", "layer_text", "shapes", "tops", "in_place", "backward")
    cases = [{key: getattr(case, key) for key in keys} for case in CASES]
    arrays = {f"{c.name}/{key}": value for c in CASES for key, value in inputs(c).items()}
    return {"cases": np.array(json.dumps(cases)), "seed": np.array(SEED), **arrays}


def ask_oracle() -> dict[str, np.ndarray]:
    """Run every case in genuine Caffe, in one process."""
    return run_bvlc(SCRIPT, **questions())


def load() -> dict[str, np.ndarray]:
    """Read the recorded answers."""
    with np.load(RECORDED) as stored:
        names, joined = stored["names"], stored["values"]
    answers, start = {}, 0
    for row in names:
        name, dims = str(row).split(" ")
        shape = tuple(int(d) for d in dims.split(",") if d)
        stop = start + int(np.prod(shape))
        answers[name] = joined[start:stop].reshape(shape)
        start = stop
    return answers


def main() -> None:
    """Write the answers, through a temporary name."""
    answers = ask_oracle()
    names = [f"{name} {','.join(map(str, value.shape))}" for name, value in answers.items()]
    joined = np.concatenate([value.ravel() for value in answers.values()]).astype(np.float32)
    part = RECORDED.with_suffix(".part.npz")
    np.savez_compressed(part, names=np.array(names), values=joined)
    os.replace(part, RECORDED)
    print(f"{RECORDED}: {len(names)} arrays of {len(CASES)} cases, {RECORDED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
