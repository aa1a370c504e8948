"""`python -m caffe.py2 SCRIPT [args]`: see the package's docstring.

In:   a script of Python 2. Out: its own output and exit code; 1 after an exception, 2 without a script.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType, TracebackType

from .loader import Loader, install

USAGE = "usage: python -m caffe.py2 SCRIPT [args]   (runs a script of Python 2, docs/py2.md)"
HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def main(argv: list[str]) -> int:
    """Run argv[0] with the arguments after it."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE, file=sys.stdout if argv else sys.stderr)
        return 0 if argv else 2
    path = os.path.abspath(argv[0])
    if path.endswith(".ipynb"):
        print(f"py2: {argv[0]} is a notebook; want a script (jupyter nbconvert --to script)", file=sys.stderr)
        return 2
    sys.argv[:] = argv
    folder = os.path.dirname(os.path.realpath(path))
    sys.path[:] = [folder, *sys.path[0 if getattr(sys.flags, "safe_path", False) else 1:]]
    install()
    module = sys.modules["__main__"] = ModuleType("__main__")
    loader = Loader("__main__", path)
    vars(module).update(__file__=path, __loader__=loader)
    try:
        loader.exec_module(module)
    except (Exception, KeyboardInterrupt) as error:
        return _report(error, path)
    return 0


def _report(error: BaseException, path: str) -> int:
    """Print what went wrong: the script's own lines of the traceback, or one line if it never started."""
    own = error.__traceback__
    while own is not None and own.tb_frame.f_code.co_filename != path:
        own = own.tb_next
    if own is not None:
        error.__traceback__ = own
        _leave_ours_out(error)
        sys.excepthook(type(error), error, error.__traceback__)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    what = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        what = f"{error.filename}, line {error.lineno}: {error.msg}\n    {(error.text or '').strip()}"
    print(f"py2: {what}", file=sys.stderr)
    return 1


def _leave_ours_out(error: BaseException) -> None:
    """Remove the frames of this package and of the import system from the tracebacks of an error and its causes."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            one.__traceback__ = _without_ours(one.__traceback__)
            waiting += [one.__cause__, one.__context__]


def _without_ours(traceback: TracebackType | None) -> TracebackType | None:
    """Return the user's and libraries' frames: if division.py and the like failed, the line above them did."""
    steps = []
    while traceback is not None:
        steps.append(traceback)
        traceback = traceback.tb_next
    steps = [step for step in steps if not step.tb_frame.f_code.co_filename.startswith((HERE, "<frozen importlib"))]
    for step, following in zip(steps, [*steps[1:], None]):
        step.tb_next = following
    return steps[0] if steps else None


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
