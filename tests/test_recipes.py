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
RELEASED = {  # initial weights, base_lr, max_iter, rounds of scoring in max_iter
    "voc-fcn32s": (VGG, 1e-10, 100000, 25),
    "voc-fcn16s": ("models/voc-fcn32s/voc-fcn32s.caffemodel", 1e-12, 100000, 25),
    "voc-fcn8s": ("models/voc-fcn16s/voc-fcn16s.caffemodel", 1e-14, 100000, 25),
    "voc-fcn8s-atonce": (VGG, 1e-10, 300000, 75),
}
COMMON = """test_iter: 736 test_interval: 999999999 test_initialization: false display: 20 average_loss: 20
lr_policy: "fixed" momentum: 0.99 iter_size: 1 weight_decay: 0.0005 snapshot: 4000"""


@pytest.mark.parametrize("name", RELEASED)
def test_golden_released_solver(name):
    init, base_lr, max_iter, rounds = RELEASED[name]
    want = text_format.Parse(f"""{COMMON} base_lr: {base_lr} max_iter: {max_iter}
        train_net: "models/{name}/train.prototxt" test_net: "models/{name}/val.prototxt"
        snapshot_prefix: "models/{name}/snapshot/train" """, caffe_pb2.SolverParameter())
    assert solver_param(name) == want  # each field, and no other: no clip_gradients, seed or mode
    row = recipe(name)
    assert (row.init, row.surgery, row.dataset, row.score) == (init, ("interp",), "voc", "segmentation")
    assert (row.step, row.max_iter // row.step, row.max_iter % row.step) == (4000, rounds, 0)


@pytest.mark.parametrize("name", RECIPES)
def test_committed_solver_says_what_the_recipe_says(name):
    text = (ROOT / "models" / name / "solver.prototxt").read_text()
    assert text_format.Parse(text, caffe_pb2.SolverParameter()) == solver_param(name)


@pytest.mark.parametrize("name", RECIPES)
def test_row_fits_the_net_and_the_data_set(name):
    row = recipe(name)
    assert row.dataset in SETS and ZOO[name].phases == ("train", "val", "deploy")
    assert 0 < row.step <= row.max_iter and row.snapshot > 0
    starts_from = [other for other in RECIPES if row.init == f"models/{other}/{other}.caffemodel"]
    assert not starts_from or list(RECIPES).index(starts_from[0]) < list(RECIPES).index(name)


def test_unknown_net_lists_the_known():
    with pytest.raises(SolveError, match="net 'voc-fcn4s': no recipe; known are voc-fcn32s, voc-fcn16s"):
        recipe("voc-fcn4s")


def test_command_writes_and_checks(tmp_path, capsys):
    assert main(["voc-fcn8s", "--out", str(tmp_path)]) == 0
    path = tmp_path / "voc-fcn8s" / "solver.prototxt"
    assert "base_lr: 1e-14\n" in path.read_text()
    assert main(["voc-fcn8s", "--out", str(tmp_path), "--check"]) == 0
    path.write_text(path.read_text().replace("1e-14", "1e-13"))
    assert main(["voc-fcn8s", "--out", str(tmp_path), "--check"]) == 1
    assert capsys.readouterr().err == f"not fresh: {path}; run `python -m solvers`\n"
