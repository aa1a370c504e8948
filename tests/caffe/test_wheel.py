"""The engine outside its checkout: a wheel holds all that `import caffe` and the commands need."""

from __future__ import annotations

import configparser
import importlib
import os
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = {"caffe", "convert_imageset", "compute_image_mean", "extract_features", "upgrade_net_proto_text",
            "upgrade_net_proto_binary", "upgrade_solver_proto_text", "classify.py", "detect.py", "draw_net.py",
            "parse_log.py", "plot_training_log.py", "extract_seconds.py", "resize_and_crop_images.py", "summarize.py",
            "download_model_binary.py"}
# Imports all of the package and runs two commands; prints where caffe is from.
OUTSIDE = """
import pkgutil, sys
import caffe
for module in pkgutil.walk_packages(caffe.__path__, "caffe."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
from caffe.tools import command, summarize
open("net.prototxt", "w").write('''
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y" convolution_param { num_output: 3 kernel_size: 3 } }''')
assert summarize.main(["net.prototxt"]) == command.main(["time", "-model", "net.prototxt", "-iterations", "1"]) == 0
assert len(caffe.layer_type_list()) > 50
print(caffe.__file__)
"""


def copied(folder):
    """A copy of what git holds: a build leaves its traces there, not in the checkout."""
    names = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "python",
                            "pyproject.toml", "README.md", "LICENSE"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, names.decode().split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes((ROOT / name).read_bytes())
    return folder


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    pytest.importorskip("setuptools", minversion="68", reason="builds a wheel without network")
    source = copied(tmp_path_factory.mktemp("source"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    done = subprocess.run([sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", str(source / "wheels"),
                           str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    built, = (source / "wheels").iterdir()
    return built


def test_a_wheel_has_every_module_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    package = ROOT / "python"
    want = {path.relative_to(package).as_posix() for path in (package / "caffe").rglob("*.py")}
    want.add("caffe/imagenet/ilsvrc_2012_mean.npy")
    assert names == want  # no file of python/ beside the package: `import train` is not ours to give


def test_its_name_is_not_taken_and_its_commands_lead_somewhere(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = next(name.split("/")[0] for name in archive.namelist() if ".dist-info/" in name)
        facts = Parser().parsestr(archive.read(f"{info}/METADATA").decode())
        entries = configparser.ConfigParser()
        entries.optionxform = str
        entries.read_string(archive.read(f"{info}/entry_points.txt").decode())
        assert [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert facts["Name"] not in ("caffe", "ptcaffe")
    assert {line.split(">")[0] for line in facts.get_all("Requires-Dist") if "extra" not in line} == {
        "torch", "numpy", "pillow", "protobuf", "lmdb", "h5py"}
    commands = dict(entries["console_scripts"])
    assert set(commands) == COMMANDS
    for target in commands.values():
        module, function = target.split(":")
        assert callable(getattr(importlib.import_module(module), function)), target


def test_caffe_is_imported_and_used_from_an_unpacked_wheel(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "GLOG"))}
    done = subprocess.run([sys.executable, "-c", OUTSIDE], cwd=tmp_path, capture_output=True, text=True,
                          env={**env, "PYTHONPATH": str(tmp_path / "site"), "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith(str(tmp_path / "site" / "caffe"))
