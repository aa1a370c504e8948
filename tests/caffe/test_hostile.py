"""What files and settings say is never run, never leads out of its folder, and is named where it is wrong."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import lmdb
import numpy as np
import pytest

import caffe
from caffe._caffe.files import caffemodel, wire

ROOT = Path(__file__).resolve().parents[2]
MODULES = ("pickle", "cPickle", "yaml", "marshal", "shelve", "dill", "joblib")


def sources():
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split() if not name.startswith("tests/") and (ROOT / name).exists()]


def runs_text(tree):
    """Yield what would run text, or build objects that a file names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            allowed = [k for k in node.keywords if k.arg in ("allow_pickle", "weights_only")]
            if name in ("eval", "exec", "builtins.eval", "builtins.exec", "__import__", "yaml.load", "os.system"):
                yield name
            elif name == "torch.load" and not any(k.arg == "weights_only" for k in allowed):
                yield "torch.load without weights_only"
            elif any(isinstance(k.value, ast.Constant) and k.value.value is (k.arg == "allow_pickle") for k in allowed):
                yield f"{name} with pickle"
            elif any(k.arg == "shell" and getattr(k.value, "value", True) for k in node.keywords):
                yield f"{name} with a shell"
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (name for name in names if name.split(".")[0] in MODULES)


@pytest.mark.parametrize("name", sources())
def test_no_text_is_run_and_no_pickle_read(name):
    found = list(runs_text(ast.parse((ROOT / name).read_text(encoding="utf-8"))))
    assert not found or name in RUNS_SCRIPTS and set(found) <= {"exec"}


RUNS_SCRIPTS = {"python/caffe/py2.py"}  # which is there to run the user's own


@pytest.mark.parametrize("code", ["eval(x)", "import pickle", "from yaml import load", "np.load(f, allow_pickle=True)",
                                  "torch.load(f)", "torch.load(f, weights_only=False)", "run(x, shell=True)"])
def test_the_test_sees_it(code):
    assert list(runs_text(ast.parse(code)))


def layer_of_fork():
    """A layer of another Caffe: numbers that mean something else here, of other kinds, and unknown ones."""
    def field(number, kind, payload):
        return wire.tag(number, kind) + payload

    def text(number, value):
        return field(number, wire.LEN, wire.varint(len(value)) + value)

    blob = text(7, b"\x0a\x02\x02\x03") + text(5, np.arange(6, dtype="<f4").tobytes())
    return (text(1, b"ip") + text(2, b"InnerProduct") + text(7, blob)
            + text(130, b"\xff\xff\xff") + field(131, wire.I32, b"abcd") + field(117, wire.VARINT, b"\x07")
            + field(143, wire.I64, b"abcdefgh") + text(150, b"\x0a\xff") + text(9999, b"?") + text(8, b"\x00"))


def test_fields_of_forks_do_not_disturb_weights(tmp_path):
    layer = layer_of_fork()
    path, net = tmp_path / "fork.caffemodel", tmp_path / "net.prototxt"
    path.write_bytes(wire.tag(100, wire.LEN) + wire.varint(len(layer)) + layer)
    assert [(found.name, found.type) for found in caffemodel.read_layers(path)] == [("ip", "InnerProduct")]
    net.write_text("""layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip"
  inner_product_param { num_output: 2 bias_term: false } }""")
    built = caffe.Net(str(net), caffe.TEST)
    built.copy_from(str(path))
    np.testing.assert_array_equal(built.params["ip"][0].data, [[0, 1, 2], [3, 4, 5]])


def test_a_corrupt_record_is_named_by_its_key(tmp_path):
    good = caffe.io.array_to_datum(np.zeros((1, 2, 2), np.uint8)).SerializeToString()
    with lmdb.open(str(tmp_path / "db"), map_size=1 << 20) as env, env.begin(write=True) as write:
        write.put(b"00000000_good", good)
        write.put(b"00000001_../../etc/passwd", good[:-2])
    (tmp_path / "net.prototxt").write_text(f"""layer {{ name: "data" type: "Data" top: "data"
      data_param {{ source: "{tmp_path / "db"}" backend: LMDB batch_size: 1 }} }}""")
    net = caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST)
    net.forward()
    with pytest.raises(caffe.LayerError, match=r"record '00000001_\.\./\.\./etc/passwd' of LMDB '.*db'.*hold a Datum"):
        net.forward()


def test_paths_with_a_zero_byte_are_refused(tmp_path):
    solver = tmp_path / "solver.prototxt"
    solver.write_text('net: "a\\000b" base_lr: 1 lr_policy: "fixed"')
    with pytest.raises(caffe.ProtoError, match="Could not open file .*null byte"):
        caffe.SGDSolver(str(solver))
    solver.write_text('net_param { } base_lr: 1 lr_policy: "fixed" snapshot: 1 snapshot_prefix: "a\\000b"')
    with pytest.raises(caffe.SolverError, match="Cannot write to snapshot prefix .*null byte"):
        caffe.SGDSolver(str(solver))
    with pytest.raises(caffe.ProtoError, match="Could not open file .*null byte"):
        caffemodel.read_layers("a\0b")


class Moody(caffe.Layer):
    """Raises where it is told to."""

    raises = ""

    def _do(self, where):
        if Moody.raises == where:
            raise KeyError(where)

    def setup(self, bottom, top):
        self._do("setup")

    def reshape(self, bottom, top):
        self._do("reshape")
        top[0].reshape(*bottom[0].shape)

    def forward(self, bottom, top):
        self._do("forward")
        top[0].data[...] = bottom[0].data

    def backward(self, top, propagate_down, bottom):
        self._do("backward")
        bottom[0].diff[...] = top[0].diff


@pytest.mark.parametrize("where", ["reshape", "forward", "backward"])
def test_a_python_layer_that_raises_leaves_net_and_solver_usable(where, tmp_path, monkeypatch):
    import sys
    import types
    monkeypatch.setitem(sys.modules, "moody", types.SimpleNamespace(Moody=Moody, __name__="moody"))
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text("""layer { name: "x" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 2 dim: 3 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 3 } }
layer { name: "moody" type: "Python" bottom: "ip" top: "m" python_param { module: "moody" layer: "Moody" } }
layer { name: "loss" type: "EuclideanLoss" bottom: "m" bottom: "y" top: "loss" }""")
    Path("solver.prototxt").write_text('net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 9')
    solver, same = caffe.SGDSolver("solver.prototxt"), caffe.SGDSolver("solver.prototxt")
    solver.step(2)
    monkeypatch.setattr(Moody, "raises", where)
    with pytest.raises(KeyError, match=where):
        solver.step(1)
    monkeypatch.setattr(Moody, "raises", "")
    assert solver.iter == 2
    solver.step(2)
    same.step(4)
    np.testing.assert_array_equal(solver.net.params["ip"][0].data, same.net.params["ip"][0].data)
    assert np.isfinite(solver.net.forward()["loss"]).all()
