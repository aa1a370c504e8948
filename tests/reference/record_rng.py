"""Record genuine Caffe's random numbers and fillers: `python -m tests.reference.record_rng`.

In:   the cases below, run in genuine Caffe (.venv-bvlc).
Out:  tests/reference/rng.npz: each array, or its CRC-32 where it is longer than a screen.
Not here: the comparison (tests/caffe/test_rng.py, test_filler.py).
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from tests.bvlc import run_bvlc

RECORDED = Path(__file__).with_name("rng.npz")
LONG = 400
EDGE_SEED = 44

# name -> seed and the (shape, filler) of one DummyData layer each, filled in turn from one stream
FILLS = {
    "constant": (1, [((2, 3), 'type: "constant" value: 0.1'), ((4,), 'type: "uniform"')]),
    "uniform": (2, [((50, 7), 'type: "uniform" min: -3 max: 1e-3'),
                    ((5,), 'type: "uniform" min: 2 max: 2')]),
    "gaussian": (3, [((400, 500), 'type: "gaussian" mean: 0.3 std: 2.5'),
                     ((9,), 'type: "uniform"')]),
    "gaussian_sparse": (4, [((40, 30), 'type: "gaussian" std: 0.01 sparse: 15'),
                            ((9,), 'type: "uniform"')]),
    "gaussian_sparse0": (5, [((4, 3), 'type: "gaussian" sparse: 0'), ((9,), 'type: "uniform"')]),
    "positive_unitball": (6, [((11, 3, 5, 7), 'type: "positive_unitball"'),
                              ((9,), 'type: "uniform"')]),
    "xavier": (7, [((8, 6, 3, 3), 'type: "xavier"'),
                   ((8, 6, 3, 3), 'type: "xavier" variance_norm: FAN_OUT'),
                   ((8, 5, 3, 3), 'type: "xavier" variance_norm: AVERAGE'),
                   ((17,), 'type: "xavier" variance_norm: FAN_OUT')]),
    "msra": (8, [((8, 6, 3, 3), 'type: "msra"'),
                 ((8, 6, 3, 3), 'type: "msra" variance_norm: FAN_OUT'),
                 ((8, 5, 3, 3), 'type: "msra" variance_norm: AVERAGE')]),
    "bilinear": (9, [((2, 1, k, k), 'type: "bilinear"')
                     for k in (1, 2, 3, 4, 5, 7, 15, 16, 30, 32, 63, 64)]),
    "seed_beyond_32_bits": (2**32 + 11, [((9,), 'type: "uniform"')]),
}

SCRIPT = """
import os
def net(text, phase=caffe.TRAIN):
    with open("net.prototxt", "w") as f:
        f.write(text)
    return caffe.Net("net.prototxt", phase)

def dummy(i, shape, filler):
    dims = " ".join("dim: %d" % d for d in shape)
    return ('layer { name: "d%d" type: "DummyData" top: "d%d" dummy_data_param { shape { %s } '
            'data_filler { %s } } }\\n' % (i, i, dims, filler))

for name, (seed, layers) in FILLS.items():
    caffe.set_random_seed(seed %% 2**32)
    n = net("".join(dummy(i, *layer) for i, layer in enumerate(layers)))
    n.forward()
    for i in range(len(layers)):
        out["fill/%%s/%%d" %% (name, i)] = n.blobs["d%%d" %% i].data.copy()

# weights of real layers, in the order in which a net makes them
caffe.set_random_seed(21)
n = net(dummy(0, (1, 3, 6, 6), 'value: 1') + '''
layer { name: "c" type: "Convolution" bottom: "d0" top: "c"
  convolution_param { num_output: 4 kernel_size: 3
  weight_filler { type: "gaussian" std: 0.1 } bias_filler { type: "uniform" } } }
layer { name: "f" type: "InnerProduct" bottom: "c" top: "f" inner_product_param { num_output: 5
  weight_filler { type: "xavier" } } }''')
for i, blob in enumerate([*n.params["c"], *n.params["f"]]):
    out["layers/%%d" %% i] = blob.data.copy()

# dropout: the mask stream over two forward passes, and at a rate where single and double part
for ratio in (0.5, 0.3):
    caffe.set_random_seed(31)
    n = net(dummy(0, (3, 1000), 'value: 1') +
            'layer { name: "o" type: "Dropout" bottom: "d0" top: "o" '
            'dropout_param { dropout_ratio: %%r } }' %% ratio)
    for k in range(2):
        n.forward()
        out["dropout/%%s/%%d" %% (ratio, k)] = (n.blobs["o"].data != 0).astype(np.uint8)
p = float(inp["edge_p"])
caffe.set_random_seed(int(inp["edge_seed"]))
n = net(dummy(0, (1,), 'value: 1') + 'layer { name: "o" type: "Dropout" bottom: "d0" top: "o" '
        'dropout_param { dropout_ratio: %%.9g } }' %% (1 - p))
n.forward()
out["dropout/edge"] = n.blobs["o"].data.copy()

# shuffle: the order in which ImageData gives its labels
from PIL import Image
Image.new("RGB", (4, 4)).save("a.png")
with open("list.txt", "w") as f:
    f.write("".join("a.png %%d\\n" %% i for i in range(53)))
caffe.set_random_seed(41)
n = net('layer { name: "i" type: "ImageData" top: "i" top: "label" '
        'image_data_param { source: "list.txt" root_folder: "%%s/" shuffle: true '
        'batch_size: 53 } }' %% os.getcwd())
n.forward()
out["shuffle"] = n.blobs["label"].data.astype(np.int64)
"""


def edge_probability() -> float:
    """A keep rate: EDGE_SEED's first draw is kept in single, dropped in double precision."""
    word = int(np.random.RandomState(EDGE_SEED).randint(0, 2**32, dtype=np.uint32))
    step = 256  # the distance of single-precision numbers from 2**31 on
    assert word >= 2**31 and 0 < word % step < step // 2
    return (word - word % step) / 2**32


def genuine() -> dict[str, np.ndarray]:
    """Run all cases in genuine Caffe."""
    script = f"FILLS = {FILLS!r}\n" + SCRIPT.replace("%%", "%")
    return run_bvlc(script, edge_p=np.float64(edge_probability()), edge_seed=np.int64(EDGE_SEED))


def shorten(value: np.ndarray) -> np.ndarray:
    """Keep a short array as it is; of a long one keep the CRC-32 of its bytes."""
    if value.size <= LONG:
        return value
    return np.array([value.size, zlib.crc32(np.ascontiguousarray(value).tobytes())], np.uint64)


if __name__ == "__main__":
    np.savez_compressed(RECORDED, **{name: shorten(value) for name, value in genuine().items()})
