"""Random draws and transformed images of every source, from one seed, against genuine Caffe's to the last bit.

What draws: fillers (test_filler.py), Dropout (test_rng.py), crops and mirrors of Data (test_data_layer.py), shuffles
and skips of ImageData (test_image_data.py), windows (test_window_data.py). Here: that none is left out; MemoryData;
the depth of reading ahead; ranks.
"""

from __future__ import annotations

import re
from pathlib import Path

import lmdb
import numpy as np
import pytest
from bvlc import run_bvlc
from PIL import Image

import caffe
from caffe._caffe import filler
from caffe.proto import caffe_pb2
from tests.caffe.two_caffes import both, ours
from tests.reference import record_rng

RNG = np.random.RandomState(12)
IMAGES = [RNG.randint(0, 256, (9, 10, 3)).astype(np.uint8) for _ in range(7)]
DRAWN = 'layer { name: "u" type: "DummyData" top: "u" dummy_data_param { shape { dim: 4 } ' \
        'data_filler { type: "uniform" } } }'
DROPPED = 'layer { name: "o" type: "Dropout" bottom: "data" top: "o" }'


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("draws")
    with lmdb.open(str(folder / "db"), map_size=1 << 22) as env, env.begin(write=True) as txn:
        for i, pixels in enumerate(IMAGES):
            datum = caffe.io.array_to_datum(pixels.transpose(2, 0, 1), i)
            txn.put(b"%08d" % i, datum.SerializeToString())
            Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "list.txt").write_text("".join(f"{i}.png {i}\n" for i in range(len(IMAGES))))
    mean = caffe_pb2.BlobProto(num=1, channels=3, height=9, width=10)
    mean.data.extend(np.mean(IMAGES, 0).transpose(2, 0, 1).ravel())
    (folder / "mean.binaryproto").write_bytes(mean.SerializeToString())
    return folder


def data(root, transform="", depth=4, more=DRAWN):
    return (f'layer {{ name: "d" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} data_param {{ '
            f'source: "{root}/db" batch_size: 3 backend: LMDB prefetch: {depth} }} }}\n{more}')


def images(root, transform="", settings="shuffle: true", more=DRAWN):
    return (f'layer {{ name: "d" type: "ImageData" top: "data" top: "label" transform_param {{ {transform} }} '
            f'image_data_param {{ source: "{root}/list.txt" root_folder: "{root}/" batch_size: 3 {settings} }} }}'
            f'\n{more}')


def test_every_filler_is_recorded():
    recorded = " ".join(text for _, layers in record_rng.FILLS.values() for _, text in layers)
    assert set(re.findall(r'type: "(\w+)"', recorded)) == set(filler.FILLERS)


def test_order_and_pixels_do_not_depend_on_the_depth_of_reading_ahead(root):
    transform = 'crop_size: 6 mirror: true scale: 0.017 mean_file: "mean.binaryproto"'
    jobs = [(data(root, transform, depth, DRAWN + DROPPED), caffe.TRAIN, 6) for depth in (1, 2, 12)]
    got = ours(jobs, root)
    for key, values in got.items():
        assert np.array_equal(values, got["0" + key[1:]]), key
    both(jobs, root)


def test_two_sources_draw_from_one_seed_in_the_order_of_layers(root):
    second = images(root, "mirror: true crop_size: 5", "shuffle: true rand_skip: 3").replace('"d"', '"e"')
    second = second.replace('top: "data" top: "label"', 'top: "data2" top: "label2"')
    both([(data(root, "mirror: true crop_size: 5", more="") + second + DROPPED, phase, 5)
          for phase in (caffe.TRAIN, caffe.TEST)], root)


MEMORY = """
import os
os.chdir(str(inp["folder"]))
for i, transform in enumerate(inp["transforms"]):
    path = "%d.prototxt" % os.getpid()
    with open(path, "w") as file:
        file.write('layer { name: "d" type: "MemoryData" top: "data" top: "label" transform_param { %s } '
                   'memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }' % transform)
        file.write(str(inp["more"]))
    for phase in (caffe.TRAIN, caffe.TEST):
        caffe.set_random_seed(5)
        net = caffe.Net(path, phase)
        net.set_input_arrays(inp["data"], inp["labels"])
        for j in range(3):
            net.forward()
            for name in net.blobs:
                out["%d %d %d %s" % (i, phase, j, name)] = net.blobs[name].data.copy()
"""
TRANSFORMS = ["", "mirror: true", "crop_size: 3", "mirror: true crop_size: 2 scale: 0.5 mean_value: 7",
              'mean_file: "mean.binaryproto"']


def test_memory_data_takes_its_seed_and_leaves_the_arrays_as_they_are(root, monkeypatch):
    inp = {"folder": np.array(str(root)), "transforms": np.array(TRANSFORMS), "more": np.array(DRAWN + DROPPED),
           "data": RNG.uniform(0, 255, (4, 3, 4, 5)).astype(np.float32), "labels": np.arange(4, dtype=np.float32)}
    monkeypatch.chdir(root)
    got = {}
    exec(MEMORY, {"caffe": caffe, "np": np, "inp": inp, "out": got})
    want = run_bvlc(MEMORY, **inp)
    assert list(got) == list(want)
    for key, value in want.items():
        assert np.array_equal(got[key], value), (TRANSFORMS[int(key[0])], key)


@pytest.mark.parametrize(("transform", "words"), [
    ('mean_file: "gone"', "Could not open mean_file 'gone'"),
    ('mean_file: "gone" mean_value: 1', "Cannot specify mean_file and mean_value")])
def test_memory_data_names_bad_settings(tmp_path, transform, words):
    (tmp_path / "net.prototxt").write_text(
        f'layer {{ name: "d" type: "MemoryData" top: "data" top: "label" transform_param {{ {transform} }} '
        'memory_data_param { batch_size: 2 channels: 3 height: 4 width: 5 } }')
    with pytest.raises(RuntimeError, match=r"layer 'd' \(MemoryData\): ") as found:
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    assert words in str(found.value)


# -- solvers that train together ---------------------------------------------------------------

RANKS = """
import os
for i, prototxt in enumerate(inp["texts"]):
    path = "%s/%d.prototxt" % (inp["folder"], os.getpid())
    with open(path, "w") as file:
        file.write(str(prototxt))
    for count in (1, 3):
        for rank in range(count):
            for phase in (caffe.TRAIN, caffe.TEST):
                caffe.set_solver_count(count)
                caffe.set_solver_rank(rank)
                caffe.set_random_seed(5 + rank)  # as a solver with random_seed: 5 does
                net = caffe.Net(path, phase)
                for j in range(4):
                    net.forward()
                    for name in ("data", "label"):
                        out["%d %d/%d %d %d %s" % (i, rank, count, phase, j, name)] = net.blobs[name].data.copy()
caffe.set_solver_count(1)
caffe.set_solver_rank(0)
"""


def test_each_rank_reads_what_genuine_caffes_reads(root):
    """Data deals its records out by rank; ImageData, as in Caffe, reads its whole list in each rank's own order."""
    texts = [data(root, "mirror: true crop_size: 4"), images(root, "mirror: true crop_size: 4"),
             images(root, settings="rand_skip: 6"), images(root, settings="")]
    inp, got = {"texts": np.array(texts), "folder": np.array(str(root))}, {}
    exec(RANKS, {"caffe": caffe, "np": np, "inp": inp, "out": got})
    want = run_bvlc(RANKS, **inp)
    assert list(got) == list(want)
    for key, value in want.items():
        assert np.array_equal(got[key], value), key
    labels = {rank: np.concatenate([got[f"0 {rank}/3 {caffe.TRAIN} {j} label"] for j in range(4)]) for rank in range(3)}
    for rank, found in labels.items():
        assert found.tolist() == (np.arange(rank, 36, 3) % 7).tolist()
    shuffled = [got[f"1 {rank}/3 {caffe.TRAIN} 0 label"].tolist() for rank in range(3)]
    assert shuffled[0] != shuffled[1] != shuffled[2]


def test_a_solver_adds_its_rank_to_the_seed(root, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    loss = 'layer { name: "s" type: "InnerProduct" bottom: "data" top: "s" inner_product_param { num_output: 2 ' \
           'weight_filler { type: "xavier" } } } layer { name: "l" type: "EuclideanLoss" bottom: "s" bottom: "s" ' \
           'top: "l" }'
    Path("net.prototxt").write_text(images(root, more=loss))
    Path("solver.prototxt").write_text('net: "net.prototxt" base_lr: 0 lr_policy: "fixed" max_iter: 1 random_seed: 5')
    found = []
    for rank in (0, 1):
        monkeypatch.setattr(caffe._caffe.common._state, "solver_rank", rank)
        monkeypatch.setattr(caffe._caffe.common._state, "solver_count", 2)
        solver = caffe.SGDSolver("solver.prototxt")
        solver.net.forward()
        found.append(solver.net.blobs["label"].data.tolist())
    caffe.set_random_seed(6)
    again = caffe.Net("net.prototxt", caffe.TRAIN)
    again.forward()
    assert found[0] != found[1] == again.blobs["label"].data.tolist()


def test_an_unshuffled_list_warns_the_other_ranks(root, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("GLOG_minloglevel", "0")
    monkeypatch.setenv("GLOG_logtostderr", "1")
    monkeypatch.setattr(caffe._caffe.common._state, "solver_rank", 1)
    (tmp_path / "net.prototxt").write_text(images(root, settings=""))
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TRAIN)
    assert "Shuffling or skipping recommended for multi-GPU" in capfd.readouterr().err


RECURRENT_FILLERS = {
    "xavier, uniform": 'weight_filler { type: "xavier" } bias_filler { type: "uniform" max: 0.5 }',
    "gaussian, sparse": 'weight_filler { type: "gaussian" std: 0.1 sparse: 2 } bias_filler { type: "gaussian" }',
    "msra, constant": 'weight_filler { type: "msra" } bias_filler { value: 0.5 }',
    "unitball, uniform": 'weight_filler { type: "positive_unitball" } bias_filler { type: "uniform" }',
}
# What a uniform layer behind draws from seed 5 in genuine Caffe.
BEHIND = {
    ("LSTM", 1, "xavier, uniform"): [0.3383386731147766, 0.7597273588180542, 0.7427508234977722, 0.9967984557151794],
    ("LSTM", 3, "xavier, uniform"): [0.20105388760566711, 0.25919604301452637, 0.3545789122581482, 0.102663554251194],
    ("LSTM", 3, "gaussian, sparse"): [0.11931157112121582, 0.2999572455883026, 0.2509240508079529, 0.02288873679935932],
    ("RNN", 1, "gaussian, sparse"): [0.17766137421131134, 0.3092308044433594, 0.5748574137687683, 0.24563102424144745],
    ("RNN", 3, "xavier, uniform"): [0.009708312340080738, 0.08719868957996368, 0.5494635105133057, 0.1570010781288147],
    ("RNN", 3, "gaussian, sparse"): [0.6808907389640808, 0.9033743739128113, 0.251611590385437, 0.5597754120826721],
}


def recurrent(kind, steps, fillers, static=False, expose=False, names=False):
    """Return a net of two such layers, perhaps with shared parameters, and one that shows where the draws stand."""
    states = ["h", "c"][:2 if kind == "LSTM" else 1] if expose else []
    inputs = [("x", (steps, 2, 3)), ("cont", (steps, 2)), *([("static", (2, 4))] if static else []),
              *((state, (1, 2, 6)) for state in states)]
    tops = " ".join(f'top: "{name}"' for name, _ in inputs)
    shapes = " ".join("shape { " + " ".join(f"dim: {d}" for d in dims) + " }" for _, dims in inputs)
    text = f'layer {{ name: "in" type: "Input" {tops} input_param {{ {shapes} }} }}\n'
    count = (3 if kind == "LSTM" else 5) + static
    shared = " ".join(f'param {{ name: "p{i}" }}' for i in range(count)) if names else ""
    for i in range(2):
        bottoms = " ".join(f'bottom: "{name}"' for name, _ in inputs)
        out = " ".join(f'top: "{name}{i}"' for name in ["y", *states])
        text += (f'layer {{ name: "r{i}" type: "{kind}" {bottoms} {out} {shared} recurrent_param {{ num_output: 6 '
                 f'expose_hidden: {str(expose).lower()} {fillers} }} }}\n')
    return text + DRAWN


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_recurrent_layers_draw_anew_for_each_step(kind, tmp_path):
    both([(recurrent(kind, steps, fillers, static, expose, names), caffe.TEST, 1)
          for steps in (1, 2, 5) for fillers in RECURRENT_FILLERS.values()
          for static, expose, names in ((False, False, False), (True, False, True), (False, True, False),
                                        (True, True, True))], tmp_path, "u")


@pytest.mark.parametrize(("kind", "steps", "fillers"), BEHIND)
def test_recurrent_draws_are_recorded(kind, steps, fillers, tmp_path):
    got = ours([(recurrent(kind, steps, RECURRENT_FILLERS[fillers]), caffe.TEST, 1)], tmp_path)["0 0 u"]
    assert got.tolist() == BEHIND[kind, steps, fillers]


@pytest.mark.parametrize("kind", ["LSTM", "RNN"])
def test_blobs_given_to_recurrent_layers_are_not_looked_at(kind, tmp_path):
    plain = recurrent(kind, 3, RECURRENT_FILLERS["xavier, uniform"])
    given = plain.replace("recurrent_param", "blobs { shape { dim: 1 } data: 7 } recurrent_param")
    same = ours([(plain, caffe.TEST, 1), (given, caffe.TEST, 1)], tmp_path)
    assert np.array_equal(same["0 0 u"], same["1 0 u"])
    both([(given, caffe.TEST, 1)], tmp_path, "u")


def test_d43_the_weights_of_very_many_steps_are_drawn_a_bounded_number_of_times(tmp_path):
    after = []
    for steps in (9_999, 10_000, 1_000_000):
        (tmp_path / "net.prototxt").write_text(f"""
layer {{ name: "x" type: "Input" top: "x" top: "cont" input_param {{
  shape {{ dim: {steps} dim: 1 dim: 1 }} shape {{ dim: {steps} dim: 1 }} }} }}
layer {{ name: "rnn" type: "RNN" bottom: "x" bottom: "cont" top: "y" recurrent_param {{ num_output: 1
  weight_filler {{ type: "uniform" }} }} }}""")
        caffe.set_random_seed(1)
        caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
        after.append(caffe._caffe.common.rng().draw())
    assert after[0] != after[1] == after[2]
