"""The right interpreter, one line for what goes wrong, devices never guessed."""

import errno
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import startup

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize(("error", "code", "line"), [
    (RuntimeError("layer 'x': wrong\n  size"), 1, "error: layer 'x': wrong size"),
    (ValueError("label 21"), 1, "error: label 21"),
    (OSError(errno.ENOSPC, "No space left on device", "a.png"), 1,
     "error: a.png: No space left on device; free some space and repeat"),
    (OSError(errno.EROFS, "Read-only file system", "a.png"), 1,
     "error: a.png: Read-only file system; choose a place that can be read and written"),
    (FileNotFoundError(errno.ENOENT, "No such file or directory", "b"), 1,
     "error: b: No such file or directory"),
    (FileExistsError(errno.EEXIST, "File exists", "out"), 1,
     "error: out: File exists; want a folder where a file is; choose another place"),
    (IsADirectoryError(errno.EISDIR, "Is a directory", "a.png"), 1,
     "error: a.png: Is a directory; want a file where a folder is; choose another name"),
    (MemoryError(), 1, "error: out of memory"),
    (MemoryError("the net takes 9 GB"), 1, "error: the net takes 9 GB"),
    (KeyboardInterrupt(), 130, "error: interrupted"),
    (KeyError("x"), 70, "error: KeyError: 'x' (a fault of the program; FCN_TRACEBACK=1 shows where)"),
])
def test_what_goes_wrong_is_one_line_and_a_code(error, code, line, capsys, monkeypatch):
    monkeypatch.delenv("FCN_TRACEBACK", raising=False)

    def main():
        raise error

    assert startup.run(main) == code
    seen = capsys.readouterr()
    assert seen.out == "" and seen.err.startswith(line) and seen.err.count("\n") == 1


def test_a_warning_is_one_line_too(capsys):
    def main():
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("label 'x'\n is empty", UserWarning, stacklevel=1)

    usual = warnings.formatwarning
    with pytest.warns(UserWarning):
        assert startup.run(main) == 0
    assert startup._one_line(UserWarning("label 'x'\n is empty")) == "warning: label 'x' is empty\n"
    assert warnings.formatwarning is usual


def test_codes_of_main_are_passed_on():
    assert startup.run(lambda: 3) == 3 and startup.run(lambda: None) == 0


def test_tracebacks_are_to_be_had(monkeypatch):
    monkeypatch.setenv("FCN_TRACEBACK", "1")
    with pytest.raises(ValueError):
        startup.run(lambda: int("x"))


def test_no_gpu_is_a_message_never_the_cpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CAFFE_STRICT_GPU", raising=False)
    with pytest.raises(RuntimeError, match="--gpu -1: devices count from 0"):
        startup.select_device(-1)
    with pytest.raises(RuntimeError, match="--gpu 64: .*leave --gpu"):
        startup.select_device(64)
    startup.select_device(None)


def test_threads_are_said_where_the_cpu_computes(monkeypatch, capsys):
    import caffe

    monkeypatch.setenv("CAFFE_STRICT_GPU", "1")  # so that it is taken back
    monkeypatch.setattr(caffe, "choose_threads", lambda: "3 threads (why)", raising=False)
    startup.select_device(None)
    assert capsys.readouterr().out == "convolutions with 3 threads (why)\n"
    monkeypatch.delattr(caffe, "choose_threads")  # genuine Caffe
    startup.select_device(None)
    assert capsys.readouterr().out == ""


def test_another_precision_is_chosen_aloud_or_refused(monkeypatch, capsys):
    import caffe

    seen = []
    monkeypatch.setattr(caffe, "set_precision", seen.append, raising=False)
    startup.select_precision("fp32")
    assert not seen and capsys.readouterr().out == ""
    startup.select_precision("bf16")
    assert seen == ["bf16"] and capsys.readouterr().out == "convolutions in bf16\n"
    with pytest.raises(RuntimeError, match="--precision tf32: GPUs alone .* leave --precision out"):
        startup.select_precision("tf32")

    def refuse(precision):
        raise caffe.CaffeError("set_precision: this machine computes in bf16 neither here nor there; stay with fp32")

    monkeypatch.setattr(caffe, "set_precision", refuse)
    with pytest.raises(RuntimeError, match="--precision bf16: .* neither here nor there; leave --precision out"):
        startup.select_precision("bf16")
    monkeypatch.delattr(caffe, "set_precision")
    with pytest.raises(RuntimeError, match="genuine Caffe computes in fp32 alone"):
        startup.select_precision("bf16")


@pytest.fixture
def project(tmp_path):
    """A folder with startup.py and a script that needs caffe, outside any environment."""
    shutil.copy(ROOT / "startup.py", tmp_path)
    (tmp_path / "tool.py").write_text(
        "import startup, sys\nstartup.ensure_environment()\nprint('ran', sys.argv[1:], startup.ROOT)\n")
    return tmp_path


def bare_python(project, *arguments, path=""):
    """Run the interpreter below the environment, which has no caffe, without its packages."""
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    env = {k: v for k, v in os.environ.items() if k not in ("FCN_STARTED_AGAIN", "PYTHONHOME")}
    return subprocess.run([str(python), "-S", *arguments], cwd=project, text=True, capture_output=True,
                          env={**env, "PYTHONPATH": str(path)})


def stand_in(project, text):
    """A `.venv/bin/python` that is a shell script."""
    python = project / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f"#!/bin/sh\n{text}\n")
    python.chmod(0o755)


def test_without_an_environment_it_says_make_setup(project):
    done = bare_python(project, "tool.py")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert "lacks caffe, numpy" in done.stderr and "run `make setup` in " in done.stderr


def test_it_starts_again_inside_the_environment_with_the_same_command(project):
    stand_in(project, 'echo "again $@"')
    done = bare_python(project, "tool.py", "a b", "--gpu", "1")
    assert (done.returncode, done.stdout) == (0, "again tool.py a b --gpu 1\n")
    package = project / "pack"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "__main__.py").write_text("import startup\nstartup.ensure_environment()\n")
    assert bare_python(project, "-m", "pack", "x").stdout == "again -m pack x\n"


def test_an_environment_that_lacks_caffe_too_is_no_endless_loop(project):
    python = Path(sys.base_prefix, "bin", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    stand_in(project, f'exec {python} -S "$@"')
    done = bare_python(project, "tool.py")
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert ".venv/bin/python lacks caffe" in done.stderr


def test_an_unrelated_package_called_caffe_does_not_fool_it(project, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    for name in ("caffe", "numpy", "PIL", "google", "google/protobuf"):
        (other / name).mkdir(parents=True)
        (other / name / "__init__.py").write_text("")
    assert "lacks caffe;" in bare_python(project, "tool.py", path=other).stderr
    (other / "caffe" / "pycaffe.py").write_text("")
    assert bare_python(project, "tool.py", path=other).stdout.startswith("ran []")


def test_this_environment_has_everything():
    assert startup.missing_imports() == []
