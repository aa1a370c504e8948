"""Scripts of Python 2 through `python -m caffe.py2`: what they print, compute and raise, as Python 2 did."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caffe
from caffe.py2 import scipy_misc
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
