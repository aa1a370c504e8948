"""Who may import whom, and what every source file owes its reader: a charter, a length, a Python version.

Makefile -> nets, solvers, infer, score -> surgery, layers, data -> caffe (public) -> caffe._caffe -> torch
"""

from __future__ import annotations

import ast
import functools
import graphlib
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LONGEST_FILE, LONGEST_FUNCTION = 450, 60
BELOW_CAFFE = {"torch", "torchvision", "google.protobuf.pyext"}


def tracked():
    listed = subprocess.run(["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"], cwd=ROOT,
                            capture_output=True, text=True, check=True).stdout.split("\n")
    return sorted(name for name in listed if name and (ROOT / name).exists())


ALL = tracked()
ENGINE = [name for name in ALL if name.startswith("python/caffe/")]
TESTS = [name for name in ALL if name.startswith("tests/")]
# bench measures the machine below caffe as well
TOOLKIT = [name for name in ALL if name not in ENGINE and not name.startswith(("tests/", "bench/", "python/"))]
TOP_LEVEL = {name.split("/")[0].removesuffix(".py") for name in TOOLKIT} | {
    Path(name).stem for name in TOOLKIT if name.startswith("layers/")}


@functools.cache
def tree_of(name, version=None):
    return ast.parse((ROOT / name).read_text(encoding="utf-8"), name, feature_version=version)


@functools.cache
def imports_of(name):
    """Full dotted names of all that a file imports; `from . import x` counts from the file's package."""
    package = Path(name).with_suffix("").parts[:-1]
    if package[:1] == ("python",):
        package = package[1:]
    found = []
    for node in ast.walk(tree_of(name)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = list(package[:len(package) - node.level + 1]) if node.level else []
            base += [node.module] if node.module else []
            found += [".".join([*base, alias.name]) for alias in node.names]
        elif (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)
              and isinstance(node.args[0].value, str)
              and ast.unparse(node.func) in ("importlib.import_module", "__import__", "import_module")):
            found.append(node.args[0].value)
    return found


def starts(imported, *names):
    return any(imported == name or imported.startswith(f"{name}.") for name in names)


def test_the_lists_are_not_empty():
    assert len(ENGINE) > 50 and len(TOOLKIT) > 30
    assert {"nets/vgg16.py", "solvers/solve.py", "layers/voc_layers.py", "infer.py"} <= set(TOOLKIT)


@pytest.mark.parametrize("name", TOOLKIT)
def test_the_toolkit_uses_only_public_caffe(name):
    below = [i for i in imports_of(name) if i.startswith("caffe._") or starts(i, *BELOW_CAFFE)]
    assert not below, f"{name} reaches below public caffe: {below}"


@pytest.mark.parametrize("name", ENGINE)
def test_the_engine_never_imports_the_toolkit(name):
    above = [i for i in imports_of(name) if starts(i, *TOP_LEVEL)]
    assert not above, f"{name} imports the toolkit: {above}"


@pytest.mark.parametrize("name", ALL)
def test_layers_is_a_path_entry_not_a_package(name):
    # `import layers.voc_layers` beside `import voc_layers` would be two copies of one module
    assert not [i for i in imports_of(name) if starts(i, "layers")], name


@pytest.mark.parametrize("name", TOOLKIT)
def test_own_images_are_at_the_top(name):
    # what trains on a user's images uses nets, solvers and scoring; none of them knows of it
    if name != "train.py" and not name.startswith("own/"):
        assert not [i for i in imports_of(name) if starts(i, "own", "train")], name


def test_no_modules_of_the_toolkit_import_each_other():
    modules = {name.removesuffix(".py").removesuffix("/__init__").removeprefix("layers/").replace("/", "."): name
               for name in TOOLKIT}
    below = {module: {next((whole for whole in (imported, imported.rpartition(".")[0]) if whole in modules), module)
                      for imported in imports_of(name)} - {module} for module, name in modules.items()}
    assert "nets.analysis" in below["nets.explain"] and "score" in below["own.evaluate"]
    graphlib.TopologicalSorter(below).prepare()  # raises CycleError, which names them


@pytest.mark.parametrize("name", [n for n in TOOLKIT if n.startswith(("data/", "layers/"))])
def test_data_know_nothing_of_nets(name):
    built_on_data = ("nets", "surgery", "solvers", "scoring", "inference", "score", "infer")
    above = [i for i in imports_of(name) if starts(i, *built_on_data)]
    assert not above, f"{name} imports what is built on data: {above}"


def test_layers_has_no_init():
    assert not (ROOT / "layers" / "__init__.py").exists()
    # it would overwrite `from caffe import layers as L`
    assert not (ROOT / "python" / "caffe" / "layers").exists()


@pytest.mark.parametrize("name", [n for n in ALL if n not in TESTS])
def test_length_and_charter(name):
    source = (ROOT / name).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= LONGEST_FILE, f"{name} is over budget: a noun is missing"
    tree = tree_of(name)
    assert ast.get_docstring(tree), f"{name} opens without its charter"
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = node.end_lineno - node.lineno + 1
            assert length <= LONGEST_FUNCTION, f"{name}: {node.name} has {length} lines"


@pytest.mark.parametrize("name", TOOLKIT)
def test_the_toolkit_is_python_3_9(name):
    tree_of(name, version=(3, 9))


@pytest.mark.parametrize("name", [n for n in ALL if n not in TESTS])
def test_no_bare_except_and_no_eval(name):
    for node in ast.walk(tree_of(name)):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), f"{name}:{node.lineno} bare except"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("eval", "exec"), f"{name}:{node.lineno} {node.func.id}"
    if name != "python/caffe/py2/names.py":  # a user's script may ask for it
        assert not [i for i in imports_of(name) if starts(i, "pickle", "cPickle", "dill")], f"{name} imports pickle"
