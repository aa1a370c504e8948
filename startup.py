"""How every command of the toolkit starts and stops.

In:   the interpreter that a user happened to call, `--gpu N`, the main function of a command.
Out:  the right interpreter, caffe set to a device; one line and an exit code when it goes wrong.
Not here: arguments of one command; anything outside the standard library before `import caffe`.
"""

from __future__ import annotations

import argparse
import errno
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent
RESTARTED = "FCN_STARTED_AGAIN"
TRACEBACK = "FCN_TRACEBACK"


def ensure_environment() -> None:
    """Go on when caffe and what it needs can be imported, else start again inside ROOT/.venv.

    Returns only in an interpreter that has them. Without `.venv` (or when it lacks them, too) it
    says `make setup` and exits with 2. Nothing is imported to find out, only looked up.
    """
    sys.excepthook = _quiet_interrupt
    missing = missing_imports()
    if not missing:
        return
    python = ROOT / ".venv" / "bin" / "python"
    if python.exists() and not os.environ.get(RESTARTED):
        os.environ[RESTARTED] = "1"
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            os.execv(str(python), [str(python), *_same_command()])
        except OSError as error:
            _stop(f"cannot start {python} ({error.strerror}); run `make setup` in {ROOT}")
    who = str(python) if os.environ.get(RESTARTED) else f"this Python ({sys.executable})"
    _stop(f"{who} lacks {', '.join(missing)}; run `make setup` in {ROOT}")


def missing_imports() -> list[str]:
    """Names of what the toolkit needs and this interpreter does not have."""
    needed = ["numpy", "PIL", "google.protobuf"]
    caffe = _caffe_folder()
    absent = [] if caffe is not None else ["caffe"]
    if caffe == ROOT / "python" / "caffe":
        needed.append("torch")
        absent += ["Python 3.10"] if sys.version_info < (3, 10) else []
    return absent + [name for name in needed if not _is_there(name)]


def quiet_caffe() -> None:
    """Keep Caffe's construction log off the screen, unless GLOG_minloglevel says otherwise.

    To be called before caffe is imported for the first time.
    """
    os.environ.setdefault("GLOG_minloglevel", "2")


def run(main: Callable[[], int | None]) -> int:
    """Call `main`; what goes wrong becomes one line on stderr and an exit code.

    FCN_TRACEBACK=1 lets every exception through.

    Returns:
        What `main` returned (None counts as 0); 130 after Ctrl-C, 1 after an error, 70 after a
        fault of the program itself.
    """
    if os.environ.get(TRACEBACK) == "1":
        return main() or 0
    usual, warnings.formatwarning = warnings.formatwarning, _one_line
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # file names may have any bytes
    try:
        return main() or 0
    except KeyboardInterrupt as stop:
        return _say(str(stop) or "interrupted; finished files stay as they are", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # quiet last flush
        return 1
    except OSError as error:
        return _say(_os_message(error), 1)
    except MemoryError as error:  # the engine's says which blobs, and what to do
        return _say(str(error) or "out of memory; a smaller image or batch would need less", 1)
    except (RuntimeError, ValueError, ImportError) as error:  # CaffeError, DataError among these
        return _say(str(error) or type(error).__name__, 1)
    except Exception as error:
        fault = f"(a fault of the program; {TRACEBACK}=1 shows where)"
        return _say(f"{type(error).__name__}: {error} {fault}", 70)
    finally:
        warnings.formatwarning = usual


def tool(name: str) -> int:
    """Run one of caffe.tools, for the file that stands under the tool's old name; gives its exit code."""
    sys.path.insert(0, str(ROOT / "python"))
    ensure_environment()
    from importlib import import_module

    return import_module(f"caffe.tools.{name}").main()


def select_device(gpu: int | None) -> None:
    """Set caffe to the CPU (None) or to one GPU, never to anything but what was asked for.

    On the CPU it prints how many threads convolutions use, where this Caffe can tell.

    Args:
        gpu: CUDA device number from 0, or None.

    Raises:
        RuntimeError: there is no such device, or caffe was built without CUDA.
    """
    os.environ["CAFFE_STRICT_GPU"] = "1"
    import caffe

    if gpu is None:
        caffe.set_mode_cpu()
        if hasattr(caffe, "choose_threads"):
            print(f"convolutions with {caffe.choose_threads()}")
        return
    remedy = "leave --gpu (GPU=) out to work on the CPU"
    if gpu < 0:
        raise RuntimeError(f"--gpu {gpu}: devices count from 0; {remedy}")
    if _is_compiled(Path(caffe.__file__).parent) and not _compiled_has_gpu(gpu):
        raise RuntimeError(f"--gpu {gpu}: this Caffe cannot use that device; {remedy}")
    try:
        caffe.set_device(gpu)
        caffe.set_mode_gpu()
    except RuntimeError as error:
        raise RuntimeError(f"--gpu {gpu}: {str(error).split(';')[0]}; {remedy}") from error


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options `--gpu N` and `--precision`."""
    parser.add_argument("--gpu", type=int, metavar="N", help="CUDA device (default: the CPU); with torchrun that of "
                        "a machine's first process, the others take those after it")
    parser.add_argument("--precision", choices=("fp32", "tf32", "bf16"), default="fp32",
                        help="of convolutions; all but fp32, the default, are faster and less exact")


def select_precision(precision: str, gpu: int | None = None) -> None:
    """Choose the precision of convolutions, and say so where it is not Caffe's.

    Raises:
        RuntimeError: this Caffe, or this machine, does not compute in it.
    """
    if precision == "fp32":
        return
    import caffe

    remedy = "leave --precision out for fp32"
    if not hasattr(caffe, "set_precision"):
        raise RuntimeError(f"--precision {precision}: genuine Caffe computes in fp32 alone; {remedy}")
    if precision == "tf32" and gpu is None:
        raise RuntimeError(f"--precision tf32: GPUs alone compute in it; give --gpu N, or {remedy}")
    try:
        caffe.set_precision(precision)
    except RuntimeError as error:
        raise RuntimeError(f"--precision {precision}: {str(error).split('; ')[0]}; {remedy}") from error
    print(f"convolutions in {precision}")


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _caffe_folder() -> Path | None:
    """Folder of a real caffe package; an unrelated one of that name has no pycaffe in it."""
    try:
        spec = find_spec("caffe")
    except (ImportError, ValueError):
        return None
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        if (Path(folder) / "pycaffe.py").exists() and (Path(folder) / "__init__.py").exists():
            return Path(folder).resolve()
    return None


def _is_compiled(folder: Path) -> bool:
    return any(folder.glob("_caffe*.so")) or any(folder.glob("_caffe*.pyd"))


def _compiled_has_gpu(gpu: int) -> bool:
    """Ask in another process, because a compiled Caffe without CUDA aborts the one that asks."""
    code = f"import caffe; caffe.set_device({gpu}); caffe.set_mode_gpu()"
    return subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def _same_command() -> list[str]:
    """Arguments that repeat this command: `-m package.module` or a script, whichever it was."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None:
        return list(sys.argv)
    name = spec.name[:-len(".__main__")] if spec.name.endswith(".__main__") else spec.name
    return ["-m", name, *sys.argv[1:]]


def _os_message(error: OSError) -> str:
    name = error.filename2 or error.filename  # where it was to go, not its temporary name
    what = f"{name}: {error.strerror}" if name and error.strerror else str(error)
    if error.errno == errno.ENOSPC:
        return f"{what}; free some space and repeat the command, finished files stay as they are"
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return f"{what}; choose a place that can be read and written"
    if error.errno in (errno.EEXIST, errno.ENOTDIR):
        return f"{what}; want a folder where a file is; choose another place or move the file"
    if error.errno == errno.EISDIR:
        return f"{what}; want a file where a folder is; choose another name or move the folder"
    if error.errno == errno.ENAMETOOLONG:
        return f"{what}; choose a shorter name"
    return what


def _one_line(message, *where: object, **more: object) -> str:  # noqa: ANN001
    """Write a warning as its text alone; the line of code that warned is nothing to a user."""
    return f"warning: {' '.join(str(message).split())}\n"


def _say(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _stop(message: str) -> NoReturn:
    sys.exit(_say(message, 2))


def _quiet_interrupt(kind, error, trace):  # noqa: ANN001, ANN202
    """Report Ctrl-C during the imports, before `run` is there, in one line."""
    if issubclass(kind, KeyboardInterrupt):
        _say("interrupted", 130)
        os._exit(130)
    sys.__excepthook__(kind, error, trace)
