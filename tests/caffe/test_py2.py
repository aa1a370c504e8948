"""Scripts of Python 2 through `python -m caffe.py2`: what they print, compute and raise, as Python 2 did."""

from __future__ import annotations

import ast
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.py2 import scipy_misc, source
from caffe.py2.names import builtins_of_python_2
from caffe.py2.source import to_code
from tests.caffe import py2_scripts as scripts

PYTHON = Path(caffe.__file__).resolve().parent.parent


def py2(folder, *args, typed=""):
    environment = {**os.environ, "PYTHONPATH": str(PYTHON), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-W", "error::SyntaxWarning", "-m", "caffe.py2", *args], cwd=folder,
                          env=environment, input=typed, capture_output=True, text=True, timeout=120, check=False)


def write(folder, **files):
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text, encoding="latin-1")


def names_after(text):
    module = {"__builtins__": builtins_of_python_2()}
    exec(to_code(text.encode(), "x.py"), module)
    return module


def test_the_language_the_library_and_the_script_s_own_lines_in_the_traceback(tmp_path):
    folder = tmp_path / "scripts"
    folder.mkdir()
    write(folder, language=scripts.LANGUAGE, helper=scripts.HELPER, tabs=scripts.TABS)
    write(tmp_path, more=scripts.MORE)
    done = py2(tmp_path, "scripts/language.py", "one", typed="typed\n[1, 2]\n")
    assert done.stdout.splitlines() == ["helper helper", "a b c", "x 3 4 True", "bad", "in exec 3",
                                        "2 __main__ True ['scripts/language.py', 'one'] scripts"], done.stderr
    lines = scripts.LANGUAGE.splitlines()
    path = folder / "language.py"
    assert done.stderr.splitlines() == [
        "to stderr 1", "Traceback (most recent call last):",
        f'  File "{path}", line {len(lines)}, in <module>', "    inverse(0)",
        f'  File "{path}", line {len(lines) - 1}, in inverse', "    return 1 / a  # the division",
        "ZeroDivisionError: integer division or modulo by zero"]
    assert done.returncode == 1
    assert not list(folder.glob("__pycache__"))


def test_a_project_of_2015_solves_scores_and_infers(tmp_path, monkeypatch):
    write(tmp_path, toy_layers=scripts.LAYERS, surgery=scripts.SURGERY, score=scripts.SCORE, solve=scripts.SOLVE,
          infer=scripts.INFER)
    (tmp_path / "net.prototxt").write_text(scripts.NET)
    (tmp_path / "solver.prototxt").write_text(scripts.SOLVER)
    done = py2(tmp_path, "solve.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:-1] == [f">>> Iteration {n} Begin seg tests " for n in (15, 30, 45)]
    hists = pickle.loads((tmp_path / "hists.pkl").read_bytes())
    assert [hist.sum() for hist in hists] == [5 * 48] * 3
    assert np.array_equal(hists[-1], np.diag(np.diag(hists[-1]))) and (np.diag(hists[-1]) > 0).all()

    inner = scripts.NET[scripts.NET.index('layer { name: "conv"'):scripts.NET.index('layer { name: "loss"')]
    (tmp_path / "deploy.prototxt").write_text('input: "data" input_shape { dim: [1, 3, 2, 2] }' + inner)
    label = np.array([[0, 1, 1], [1, 0, 1]]).repeat(2, 0).repeat(2, 1)
    Image.fromarray((label[..., None].repeat(3, 2) * 254).astype(np.uint8)).save(tmp_path / "im.png")
    done = py2(tmp_path, "infer.py", "im.png")
    assert done.stdout == "classes [0, 1] of size 4/6\n", done.stderr
    assert np.load(tmp_path / "im.npy").tolist() == label.tolist()


def test_a_bad_script_gives_one_message(tmp_path):
    write(tmp_path, bad="x = 1\nprint 'a',\ny = 3 = = 4\n", uses="import bad\n")
    done = py2(tmp_path, "bad.py")
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == (f"py2: {tmp_path}/bad.py, line 3: invalid syntax; neither Python 2 nor Python 3 can read "
                           "this\n    y = 3 = = 4\n")
    done = py2(tmp_path, "uses.py")
    assert done.returncode == 1 and done.stderr.startswith("Traceback") and "bad.py\", line 3" in done.stderr
    (tmp_path / "n.ipynb").write_text("{}")
    for arguments, code, message in ((["none.py"], 1, "No such file"), (["n.ipynb"], 2, "want a script"),
                                     ([], 2, "usage")):
        done = py2(tmp_path, *arguments)
        assert done.returncode == code and message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(("text", "line"), [
    ("x = (1,\n", 2), ("if True:\n  x\n y\n", 3), ("print 'a'\ndef f(:\n", 2), ("True = 1\n", 1),
    ("print 1\nasync = 3\n", 2), ("x = 'a\nprint 1\n", 1)])
def test_what_no_python_reads_is_named_with_its_line(text, line):
    with pytest.raises(SyntaxError) as caught:
        to_code(text.encode(), "x.py")
    assert (caught.value.filename, caught.value.lineno) == ("x.py", line)


def test_what_cannot_be_decoded_is_named():
    with pytest.raises(SyntaxError, match="want a coding line"):
        to_code(b"# \xe9\n", "x.py")


def test_lines_stay_where_the_conversion_adds_some():
    text = "def f((a, b),\n      (c, d)):\n    pass\n    return a / 0\n" \
           "class A:\n    __metaclass__ = type\n    x = 1\nt = '''1\n2'''\n\nf((1, 2), (3, 4))\n"
    with pytest.raises(ZeroDivisionError) as caught:
        names_after(text)
    assert [entry.lineno + 1 for entry in caught.traceback if str(entry.path).endswith("x.py")] == [11, 4]


def test_unicode_escapes_of_raw_unicode_strings_are_read():
    names = names_after(r"""a = ur'caf\u00e9 \d'; b = UR'\\u00e9'; c = r'\u00e9'; url = u'\u00e9'""")
    assert (names["a"], names["b"], names["c"], names["url"]) == ("caf\u00e9 \\d", r"\\u00e9", r"\u00e9", "\u00e9")


def test_division_is_what_the_file_asks_for():
    assert names_after("a = 7 / 2")["a"] == 3
    assert names_after("from __future__ import division\na = 7 / 2; b = 7 // 2")["a"] == 3.5
    assert names_after("from __future__ import print_function\nprint('', end='')\na = 7 / 2")["a"] == 3


@pytest.mark.parametrize("python_3", ["x: int = 3", "f'{1}'", "def f(*, a): pass", "def f(a: int): pass",
                                      "def f() -> int: pass", "from __future__ import annotations",
                                      "def f(a):\n    raise ValueError from a"])
def test_what_only_python_3_reads_means_what_it_says(python_3):
    names = names_after(f"{python_3}\na = 7 / 2\n" if "from" in python_3 else f"a = 7 / 2\n{python_3}\n")
    assert names["a"] == 3.5


def test_print_as_a_function_with_keywords_is_python_3():
    assert names_after("print('', end='')\na = 7 / 2\n")["a"] == 3.5


def test_images_of_scipy_misc(tmp_path):
    grey = np.array([[0., 10.], [5., 2.5]])
    assert scipy_misc.bytescale(grey).tolist() == [[0, 255], [128, 64]]
    assert scipy_misc.bytescale(np.full((2, 2), 3.)).tolist() == [[0, 0], [0, 0]]
    with pytest.raises(ValueError, match="below"):
        scipy_misc.bytescale(grey, cmin=1, cmax=0)
    scipy_misc.imsave(tmp_path / "x.png", np.zeros((3, 4, 5), np.uint8))  # the axis of three is the channels
    assert scipy_misc.imread(tmp_path / "x.png").shape == (4, 5, 3)
    with pytest.raises(ValueError, match="channels"):
        scipy_misc.toimage(np.zeros((2, 5, 5)))
    palette = Image.fromarray(np.array([[0, 1]], np.uint8))
    palette.putpalette([1, 2, 3, 4, 5, 6])
    palette.save(tmp_path / "p.png")
    assert scipy_misc.imread(tmp_path / "p.png").tolist() == [[[1, 2, 3], [4, 5, 6]]]
    assert scipy_misc.imread(tmp_path / "p.png", flatten=True).dtype == np.float32
    image = np.arange(16, dtype=np.uint8).reshape(4, 4)
    assert scipy_misc.imresize(image, (2, 2), "nearest").tolist() == [[5, 7], [13, 15]]
    assert scipy_misc.imresize(image, .5).shape == scipy_misc.imresize(image, 50).shape == (2, 2)
    assert scipy_misc.imresize(image.astype(float), (8, 2), mode="F").dtype == np.float32
    assert scipy_misc.imrotate(image, 90).tolist() == np.rot90(image).tolist()
    assert scipy_misc.toimage(image, pal=np.zeros((256, 3))).mode == "P"


def frames(done):
    """Return (file, line) of every frame that a traceback on standard error names, in order."""
    return [(Path(path).name, int(line)) for path, line in re.findall(r'File "([^"]+)", line (\d+)', done.stderr)]


def test_tracebacks_name_the_user_s_lines_in_every_module(tmp_path):
    (tmp_path / "pk").mkdir()
    (tmp_path / "pk" / "__init__.py").touch()
    write(tmp_path / "pk", outer="def go():\n    print 'go'\n    import inner\n", inner="x = 1\nraise ValueError, x\n",
          broken="x = 1\ndef f(:\n", parts="def part(x):\n    return 1 / x\ndef parts(xs):\n    return map(part, xs)\n")
    for text, at in [
            ("import pk.inner", [("s.py", 1), ("inner.py", 2)]),
            ("print 1\nfrom pk import outer\nouter.go()", [("s.py", 3), ("outer.py", 3), ("inner.py", 2)]),
            ("from pk import broken", [("s.py", 1), ("broken.py", 2)]),
            ("from pk import parts\nprint parts.parts([1, 0])", [("s.py", 2), ("parts.py", 4), ("parts.py", 2)]),
            ("from pk import parts\nsorted([2, 1], cmp=lambda a, b: parts.part(0))",
             [("s.py", 2), ("s.py", 2), ("parts.py", 2)]),
            ("from pk import parts\ntry:\n    parts.parts([0])\nexcept Exception, e:\n    raise KeyError, 'k'",
             [("s.py", 3), ("parts.py", 4), ("parts.py", 2), ("s.py", 5)]),
            ("execfile('pk/inner.py')", [("s.py", 1), ("inner.py", 2)])]:
        write(tmp_path, s=text + "\n")
        done = py2(tmp_path, "s.py")
        assert frames(done) == at and done.returncode == 1, done.stderr


def test_tracebacks_name_python_layers_and_callbacks(tmp_path):
    write(tmp_path, lay="import caffe\nclass L(caffe.Layer):\n    def setup(self, bottom, top): print 'setup'\n"
                        "    def reshape(self, bottom, top): top[0].reshape(1)\n    def forward(self, bottom, top):\n"
                        "        print 'forward'\n        top[0].data[...] = 1 / len(bottom)\n",
          s="import sys, caffe\nopen('n.prototxt', 'w').write('layer { name: \"a\" type: \"Python\" top: \"y\" '\n"
            "    'python_param { module: \"lay\" layer: \"L\" } }')\nnet = caffe.Net('n.prototxt', caffe.TEST)\n"
            "def hook(i):\n    print 'hook', i\n    if sys.argv[1:]:\n        {}['k']\nnet.before_forward(hook)\n"
            "net.forward()\n")
    for args, at in [([], [("s.py", 10), ("lay.py", 7)]), (["x"], [("s.py", 10), ("s.py", 8)])]:
        done = py2(tmp_path, "s.py", *args)
        mine = [frame for frame in frames(done) if frame[0] in ("s.py", "lay.py")]
        assert mine == at and not {"__main__.py", "loader.py", "division.py"} & {file for file, _ in frames(done)}, \
            done.stderr


# Each name ends in the number of its line.
NUMBERED = '''print v1, \\
    v2
print >>v3, "a", v3
def f(a, (v4, w4),
      c=v5):
    exec "x = 1" in v6
    return `v7`, v7 <> w7
class A:
    __metaclass__ = int
    def next(self): return v10
if v11.has_key("a") and \\
   v12.has_key(w12):
    raise ValueError, v13
raise ValueError, (v14,
                   v15), w15
try:
    v17
except (v18, ValueError), e:
    v19
except KeyError, e:
    v21
x = [v22 for y in 1, 2, w22]
d = {v23: 0777,
     v24: 10L,
     u"x": ur"\\u0041", "b":
     v26}
apply(f, v27, w27)
for k, v in v28.iteritems(): print w28
lambda (a, b): v29 + \\
    v30
assert v31, \\
    """a
b""" + v33
@v34
def g(): pass
x = reduce(lambda a, b: v36, map(w36, v36), v36); w36
exec v37
execfile(v38)
print
print v40,
v41.throw(ValueError, w41)
while 1: print v42; break
'''


def test_every_word_keeps_its_line():
    tree = source._from_python_2(NUMBERED, "x.py", True)
    found = [(node, int(name[1:])) for node in ast.walk(tree)
             for name in [getattr(node, "id", getattr(node, "arg", getattr(node, "name", None)))]
             if isinstance(name, str) and re.fullmatch(r"[vw]\d+", name)]
    assert len({line for _, line in found}) > 25
    for node, line in found:
        assert node.lineno == line, ast.unparse(node)
