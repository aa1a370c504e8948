"""Record what genuine Caffe answers in the cases of single layers.

Run:  python -m tests.reference.record_layers [FAMILY ...]

In:   FAMILIES, lists of cases in tests/caffe; genuine Caffe (.venv-bvlc).
Out:  tests/reference/FAMILY.npz: `names` ("case/array 2,3", the shape behind the
      blank) and their `values`, joined.
Not here: the comparison (tests/caffe/test_layer_cases.py).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc
from tests.caffe import corpus_cases, elementary_cases, spatial_cases
from tests.caffe.layer_case import SEED, Case, inputs

HERE = Path(__file__).parent
FAMILIES: dict[str, list[Case]] = {
    "elementary": elementary_cases.CASES, "spatial": spatial_cases.CASES, "corpus": corpus_cases.CASES}

# Each case is a net of Input layers and the layer itself; force_backward makes it run backward without a
# loss. Where that would ask for gradients that a layer refuses, the bottoms that take one are Parameter
# layers and the tops carry loss weights.
SCRIPT = """
import json, tempfile, zlib

def values(name, shape):
    return np.random.RandomState(zlib.crc32(name.encode())).uniform(-2, 2, shape).astype(np.float32)

def bottom_text(i, dims, learned):
    kind, field = ("Parameter", "parameter_param") if learned else ("Input", "input_param")
    shape = "".join(" dim: %d" % d for d in dims)
    return 'layer { name: "b%d" type: "%s" top: "b%d" %s { shape {%s } } }\\n' % (i, kind, i, field, shape)

for case in json.loads(str(inp["cases"])):
    name, learn = case["name"], case["learn"]
    text = "force_backward: true\\n" if learn is None else ""
    for i, dims in enumerate(case["shapes"]):
        text += bottom_text(i, dims, i in (learn or []))
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
        given = values("%s/p%d" % (name, i), tuple(blob.shape))
        blob.data[...] = np.abs(given) if case["positive_params"] else given
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
_KEYS = ("name", "layer_text", "shapes", "tops", "in_place", "backward", "learn", "positive_params")


def questions(cases: list[Case]) -> dict[str, np.ndarray]:
    """Return what the script finds in `inp`: the cases as JSON, the seed, the bottoms."""
    rows = [{key: getattr(case, key) for key in _KEYS} for case in cases]
    arrays = {f"{c.name}/{key}": value for c in cases for key, value in inputs(c).items()}
    return {"cases": np.array(json.dumps(rows)), "seed": np.array(SEED), **arrays}


def ask_oracle(family: str) -> dict[str, np.ndarray]:
    """Run every case of a family in genuine Caffe, in one process."""
    return run_bvlc(SCRIPT, **questions(FAMILIES[family]))


def load(family: str) -> dict[str, np.ndarray]:
    """Read the recorded answers of a family."""
    with np.load(HERE / f"{family}.npz") as stored:
        names, joined = stored["names"], stored["values"]
    answers, start = {}, 0
    for row in names:
        name, dims = str(row).split(" ")
        shape = tuple(int(d) for d in dims.split(",") if d)
        stop = start + int(np.prod(shape))
        answers[name] = joined[start:stop].reshape(shape)
        start = stop
    return answers


def answers_of(case: Case, answers: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays of one case, without its name."""
    prefix = f"{case.name}/"
    return {name.removeprefix(prefix): value for name, value in answers.items() if name.startswith(prefix)}


def record(family: str) -> None:
    """Write the answers of a family, through a temporary name."""
    answers = ask_oracle(family)
    names = [f"{name} {','.join(map(str, value.shape))}" for name, value in answers.items()]
    joined = np.concatenate([value.ravel() for value in answers.values()]).astype(np.float32)
    recorded, part = HERE / f"{family}.npz", HERE / f"{family}.part.npz"
    np.savez_compressed(part, names=np.array(names), values=joined)
    os.replace(part, recorded)
    print(f"{recorded}: {len(names)} arrays of {len(FAMILIES[family])} cases, {recorded.stat().st_size} bytes")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or FAMILIES:
        record(chosen)
