"""Record what genuine Caffe makes of the nets of tests/caffe/net_cases.py: `python -m tests.reference.record_net`.

In:   CASES; genuine Caffe (.venv-bvlc).
Out:  tests/reference/net.npz: `names` ("case/array 2,3", the shape behind the blank), their `values`, joined, and
      `facts` (JSON: names, orders and weights of each case).
Not here: the comparison (tests/caffe/test_net_init.py).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc
from tests.caffe.net_cases import CASES

RECORDED = Path(__file__).with_name("net.npz")

# Runs in genuine Caffe and in ours. Diffs are 7 before the backward pass, so that what keeps 7 got no gradient;
# where a loss weight lives in a diff it is left there.
SCRIPT = """
import json
facts = {}
for case, (text, phase, level, stages) in sorted(json.loads(str(inp["cases"])).items()):
    with open("net.prototxt", "w") as file:
        file.write(text)
    caffe.set_random_seed(7)
    net = caffe.Net("net.prototxt", phase, level=level, stages=stages)
    for name in net.inputs:
        net.blobs[name].data[...] = 0.5
    last = len(net.layers) - 1
    facts[case] = {
        "blobs": list(net.blobs), "layers": list(net._layer_names), "inputs": list(net.inputs),
        "outputs": list(net.outputs), "bottoms": [[k, list(v)] for k, v in net.bottom_names.items()],
        "tops": [[k, list(v)] for k, v in net.top_names.items()], "params": list(net.params),
        "weights": [float(w) for w in net._blob_loss_weights], "types": [l.type for l in net.layers],
        "loss": net._forward(0, last)}
    weights = dict(zip(net._blob_names, net._blob_loss_weights))
    params = [("%d_%d" % (i, j), b) for i, l in enumerate(net.layers) for j, b in enumerate(l.blobs)]
    for name, blob in net.blobs.items():
        out["%s/data_%s" % (case, name)] = blob.data.copy()
        if not weights[name]:
            blob.diff[...] = 7
    for name, blob in params:
        out["%s/param_%s" % (case, name)] = blob.data.copy()
        blob.diff[...] = 7
    net._backward(last, 0)
    for name, blob in net.blobs.items():
        out["%s/diff_%s" % (case, name)] = blob.diff.copy()
    for name, blob in params:
        out["%s/param_diff_%s" % (case, name)] = blob.diff.copy()
    net.clear_param_diffs()
    assert all((b.diff == 0).all() for _, b in params), case
out["facts"] = np.array(json.dumps(facts))
"""


def questions() -> dict[str, np.ndarray]:
    """Return what the script finds in `inp`."""
    return {"cases": np.array(json.dumps(CASES))}


def load() -> dict[str, np.ndarray]:
    """Read the recorded answers."""
    with np.load(RECORDED) as stored:
        names, joined, facts = stored["names"], stored["values"], stored["facts"]
    answers, start = {"facts": facts}, 0
    for row in names:
        name, dims = str(row).split(" ")
        shape = tuple(int(d) for d in dims.split(",") if d)
        stop = start + int(np.prod(shape))
        answers[name] = joined[start:stop].reshape(shape)
        start = stop
    return answers


def main() -> None:
    """Write the answers, through a temporary name."""
    answers = run_bvlc(SCRIPT, **questions())
    facts = answers.pop("facts")
    names = [f"{name} {','.join(map(str, value.shape))}" for name, value in answers.items()]
    joined = np.concatenate([value.ravel() for value in answers.values()]).astype(np.float32)
    part = RECORDED.with_suffix(".part.npz")
    np.savez_compressed(part, names=np.array(names), values=joined, facts=facts)
    os.replace(part, RECORDED)
    print(f"{RECORDED.name}: {len(names)} arrays of {len(CASES)} nets, {RECORDED.stat().st_size} bytes")


if __name__ == "__main__":
    main()
