"""Recipes say what the release's solvers said, and solver prototxts say what the recipes say."""

from pathlib import Path

import pytest
from google.protobuf import text_format

from caffe.proto import caffe_pb2
from data.sets import SETS
from nets.zoo import ZOO
from solvers import SolveError
from solvers.__main__ import main
from solvers.recipes import RECIPES, recipe, solver_param

ROOT = Path(__file__).resolve().parent.parent
VGG = "models/ilsvrc-nets/vgg16-fcn.caffemodel"
NYUD = ("models/nyud-fcn32s-color/nyud-fcn32s-color.caffemodel", "models/nyud-fcn32s-hha/nyud-fcn32s-hha.caffemodel")
RELEASED = {  # initial weights, base_lr, max_iter, steps of a round, rounds, snapshot, test_iter
    "voc-fcn32s": ((VGG,), 1e-10, 100000, 4000, 25, 4000, 736),
    "voc-fcn16s": (("models/voc-fcn32s/voc-fcn32s.caffemodel",), 1e-12, 100000, 4000, 25, 4000, 736),
    "voc-fcn8s": (("models/voc-fcn16s/voc-fcn16s.caffemodel",), 1e-14, 100000, 4000, 25, 4000, 736),
    "voc-fcn8s-atonce": ((VGG,), 1e-10, 300000, 4000, 75, 4000, 736),
    "voc-fcn-alexnet": (("models/ilsvrc-nets/alexnet-fcn.caffemodel",), 1e-4, 100000, 4000, 25, 4000, 736),
    "pascalcontext-fcn32s": ((VGG,), 1e-10, 300000, 8000, 50, 4000, 5105),
    "pascalcontext-fcn16s": (("models/pascalcontext-fcn32s/pascalcontext-fcn32s.caffemodel",),
                             1e-12, 300000, 8000, 50, 4000, 5105),
    "pascalcontext-fcn8s": (("models/pascalcontext-fcn16s/pascalcontext-fcn16s.caffemodel",),
                            1e-14, 300000, 8000, 50, 4000, 5105),
    "nyud-fcn32s-color": ((VGG,), 1e-10, 300000, 2000, 50, 2000, 654),
    "nyud-fcn32s-hha": ((VGG,), 1e-10, 300000, 2000, 50, 2000, 654),
    "nyud-fcn32s-color-d": ((VGG,), 1e-10, 300000, 2000, 50, 2000, 654),
    "nyud-fcn32s-color-hha": (NYUD, 1e-12, 300000, 2000, 50, 2000, 654),
    "siftflow-fcn32s": ((VGG,), 1e-10, 300000, 2000, 50, 2000, 200),
    "siftflow-fcn16s": (("models/siftflow-fcn32s/siftflow-fcn32s.caffemodel",), 1e-12, 300000, 2000, 50, 2000, 200),
    "siftflow-fcn8s": (("models/siftflow-fcn16s/siftflow-fcn16s.caffemodel",), 1e-12, 300000, 2000, 50, 2000, 200),
}
COMMON = """test_interval: 999999999 test_initialization: false display: 20 average_loss: 20
lr_policy: "fixed" weight_decay: 0.0005"""


@pytest.mark.parametrize("name", RELEASED)
def test_golden_released_solver(name):
    sources, base_lr, max_iter, step, rounds, snapshot, test_iter = RELEASED[name]
    train, val = ("trainval", "test") if name[:4] in ("nyud", "sift") else ("train", "val")
    batch = "momentum: 0.9 iter_size: 20" if name == "voc-fcn-alexnet" else "momentum: 0.99 iter_size: 1"
    want = text_format.Parse(f"""{COMMON} {batch} base_lr: {base_lr} max_iter: {max_iter} test_iter: {test_iter}
        train_net: "models/{name}/{train}.prototxt" test_net: "models/{name}/{val}.prototxt"
        snapshot: {snapshot} snapshot_prefix: "models/{name}/snapshot/train" """, caffe_pb2.SolverParameter())
    assert solver_param(name) == want  # each field, and no other: no clip_gradients, seed or mode
    row = recipe(name)
    assert (row.sources, row.surgery, row.dataset) == (sources, ("interp",), name.split("-")[0])
    assert (row.step, row.iterations, row.score) == (step, step * rounds, "segmentation")


def test_all_fifteen_released_nets_have_their_recipe():
    assert len(RELEASED) == 15


def test_siftflow_saves_what_it_trains():
    """D29: the release's solver has neither snapshot nor prefix."""
    assert all(RECIPES[f"siftflow-fcn{stride}s"].snapshot == 2000 for stride in (32, 16, 8))


@pytest.mark.parametrize("name", RECIPES)
def test_committed_solver_says_what_the_recipe_says(name):
    text = (ROOT / "models" / name / "solver.prototxt").read_text()
    assert text_format.Parse(text, caffe_pb2.SolverParameter()) == solver_param(name)


@pytest.mark.parametrize("name", RECIPES)
def test_row_fits_the_net_and_the_data_set(name):
    row = recipe(name)
    assert row.dataset in SETS and name.startswith(f"{row.dataset}-") and len(ZOO[name].phases) == 3
    assert 0 < row.step <= row.max_iter and row.snapshot > 0
    starts_from = [other for other in RECIPES if f"models/{other}/{other}.caffemodel" in row.sources]
    assert all(list(RECIPES).index(other) < list(RECIPES).index(name) for other in starts_from)


def test_unknown_net_lists_the_known():
    with pytest.raises(SolveError, match="net 'voc-fcn2s': no recipe; known are voc-fcn32s, voc-fcn16s"):
        recipe("voc-fcn2s")


def test_command_writes_and_checks(tmp_path, capsys):
    assert main(["voc-fcn8s", "--out", str(tmp_path)]) == 0
    path = tmp_path / "voc-fcn8s" / "solver.prototxt"
    assert "base_lr: 1e-14\n" in path.read_text()
    assert main(["voc-fcn8s", "--out", str(tmp_path), "--check"]) == 0
    path.write_text(path.read_text().replace("1e-14", "1e-13"))
    assert main(["voc-fcn8s", "--out", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == f"not fresh: {path}; run `python -m solvers`\n"
