"""The Makefile: stages in order, each once; variables passed on. Nothing is made, `make -n` only."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from nets.zoo import phases
from solvers.recipes import RECIPES

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """The Makefile and the committed prototxts alone, as after a clone."""
    root = tmp_path_factory.mktemp("clone")
    (root / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for name in ("setup.sh", "requirements.txt", "requirements-dev.txt"):
        (root / name).touch()
    for name in RECIPES:
        (root / "models" / name).mkdir(parents=True)
        for kind in ("solver", *phases(name)):
            (root / "models" / name / f"{kind}.prototxt").touch()
    return root


def make(root, *arguments):
    return subprocess.run(["make", "--no-print-directory", *arguments], cwd=root, text=True, capture_output=True)


def stages(root, *arguments):
    """The commands that would run, without the interpreter, blanks evened."""
    done = make(root, "-n", *arguments)
    assert done.returncode == 0, done.stderr
    return [" ".join(re.sub(r"^\.venv/bin/python (-m )?", "", line).split()) for line in done.stdout.splitlines()]


SHAPES = ["bash setup.sh", "data.shapes.generate", "solvers.solve shapes-vgg16", "surgery.base_nets shapes-vgg16",
          "solvers.solve shapes-fcn32s"]


def score(name):
    return f"score.py --net {name} --split seg11valid --out results/{name}.json"


def test_main_job_runs_all_stages_in_order_each_once(fresh):
    assert stages(fresh, "fcn32s") == [*SHAPES, score("shapes-fcn32s")]
    assert stages(fresh, "fcn8s") == [*SHAPES, "solvers.solve shapes-fcn16s", "solvers.solve shapes-fcn8s",
                                      score("shapes-fcn8s")]
    three = stages(fresh, "fcn32s", "fcn16s", "fcn8s")
    assert len(three) == len(set(three)) == len(SHAPES) + 5
    assert three.index("solvers.solve shapes-fcn16s") < three.index("solvers.solve shapes-fcn8s")


def test_voc_starts_with_what_is_missing(fresh):
    want = ["bash setup.sh", "solvers.needs voc-fcn32s", "surgery.base_nets ilsvrc-vgg16", "solvers.solve voc-fcn32s"]
    assert stages(fresh, "DATASET=voc", "fcn32s") == [*want, score("voc-fcn32s")]
    assert stages(fresh, "voc-fcn32s") == [*want, score("voc-fcn32s")]
    assert stages(fresh, "voc-fcn8s-atonce")[1:3] == ["solvers.needs voc-fcn8s-atonce", want[2]]
    assert stages(fresh, "voc-fcn-googlenet")[1:4] == ["solvers.needs voc-fcn-googlenet",
                                                      "surgery.base_nets ilsvrc-googlenet",
                                                      "solvers.solve voc-fcn-googlenet"]


def test_released_weights_are_used_and_never_trained_anew(tmp_path, fresh):
    root = tmp_path / "clone"
    shutil.copytree(fresh, root)
    (root / "models/voc-fcn32s/voc-fcn32s.json").write_text('{"net": "voc-fcn32s",\n "origin": "http://host/file"}')
    (root / "models/voc-fcn32s/voc-fcn32s.caffemodel").touch()
    assert stages(root, "voc-fcn32s")[1:] == [score("voc-fcn32s")]
    assert stages(root, "voc-fcn16s")[1:] == ["solvers.solve voc-fcn16s", score("voc-fcn16s")]


def test_other_sets_are_trained_and_scored_on_their_own_splits(fresh):
    assert stages(fresh, "siftflow-fcn16s")[1:] == [
        "solvers.needs siftflow-fcn32s", "surgery.base_nets ilsvrc-vgg16", "solvers.solve siftflow-fcn32s",
        "solvers.solve siftflow-fcn16s",
        "score.py --net siftflow-fcn16s --split test --out results/siftflow-fcn16s.json"]
    assert stages(fresh, "pascalcontext33-fcn32s")[-1].startswith("score.py --net pascalcontext33-fcn32s --split val ")
    late = stages(fresh, "nyud-fcn32s-color-hha")
    assert late[-2] == "solvers.solve nyud-fcn32s-color-hha"
    assert {"solvers.solve nyud-fcn32s-color", "solvers.solve nyud-fcn32s-hha"} < set(late[:-2])


@pytest.mark.parametrize("trunk", ["alexnet", "googlenet"])
def test_embedded_nets_of_other_trunks_start_from_their_own_classifier(fresh, trunk):
    assert stages(fresh, f"shapes-fcn-{trunk}")[1:] == [
        "data.shapes.generate", f"solvers.solve shapes-{trunk}", f"surgery.base_nets shapes-{trunk}",
        f"solvers.solve shapes-fcn-{trunk}", score(f"shapes-fcn-{trunk}")]


def test_finished_stages_are_not_repeated(fresh, tmp_path):
    for path in fresh.rglob("*"):
        if path.is_file():
            (tmp_path / path.relative_to(fresh)).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path.relative_to(fresh)).touch()
    (tmp_path / "Makefile").write_bytes((ROOT / "Makefile").read_bytes())
    for made in (".venv/.complete", "data/shapes/.complete", "models/shapes-vgg16/shapes-vgg16.caffemodel",
                 "models/shapes-vgg16/shapes-vgg16-fcn.caffemodel", "models/shapes-fcn32s/shapes-fcn32s.caffemodel"):
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
    assert stages(tmp_path, "fcn16s") == ["solvers.solve shapes-fcn16s", score("shapes-fcn16s")]


def test_variables_are_passed_on(fresh):
    commands = stages(fresh, "fcn32s", "GPU=0")
    assert "solvers.solve shapes-fcn32s --gpu 0" in commands
    assert "score.py --net shapes-fcn32s --split seg11valid --gpu 0 --out results/shapes-fcn32s.json" in commands
    assert "surgery.base_nets shapes-vgg16" in commands  # a cast needs no GPU
    assert stages(fresh, "voc-fcn-squeezenet", "VOC=/photos", "SQUEEZENET=/s.caffemodel")[1:] == [
        "solvers.solve voc-fcn-squeezenet --voc-dir /photos --init /s.caffemodel",
        "score.py --net voc-fcn-squeezenet --split seg11valid --voc-dir /photos --out results/voc-fcn-squeezenet.json"]


def test_own_images_start_from_the_embedded_classifier_unless_there_are_other_weights(fresh):
    folders = ("mine", "IMAGES=/my images", "LABELS=/labels")
    command = 'train.py --images "/my images" --labels "/labels"'
    look, *rest = stages(fresh, *folders)
    assert look.startswith('test -d "/my images" && test -d "/labels"') and rest == [*SHAPES[:4], command]
    assert stages(fresh, *folders, "INIT=x.caffemodel", "MINUTES=5", "NAME=cells")[2:] == [
        f'{command} --init "x.caffemodel" --name "cells" --minutes "5"']
    assert stages(fresh, *folders, "SQUEEZENET=/s.caffemodel")[2:] == [f'{command} --init "/s.caffemodel"']


@pytest.mark.parametrize("folders", [(), ("IMAGES=models",), ("IMAGES=models", "LABELS=gone")])
def test_own_images_want_two_folders_before_anything_is_trained(fresh, folders):
    done = make(fresh, "mine", *folders)
    assert done.returncode == 2 and "want IMAGES=folder LABELS=folder" in done.stderr and not (fresh / ".venv").exists()


def test_data_sets_are_fetched_by_name(fresh):
    assert stages(fresh, "data-voc", "data-siftflow")[1:] == ["data get voc", "data get siftflow"]
    assert stages(fresh, "data-context", "FROM=/a/labels.txt /b/trainval.tar.gz")[1:] == [
        "data get context --from /a/labels.txt --from /b/trainval.tar.gz"]


def test_help_names_every_net_and_is_what_make_alone_says(fresh):
    done = make(fresh, "help")
    assert done.returncode == 0 and set(RECIPES) <= set(re.findall(r"[\w-]+", done.stdout))
    assert make(fresh).stdout == done.stdout


@pytest.mark.parametrize("arguments", [("fcn2s",), ("fcn32s", "DATASET=coco")])
def test_unknown_target_fails(fresh, arguments):
    done = make(fresh, "-n", *arguments)
    assert done.returncode == 2 and "No rule to make target" in done.stderr
