"""How every tool starts and ends: arguments in, an exit code out, one line on stderr if something goes wrong.

In:   the function of a tool that takes a list of arguments.
Out:  `main(argv=None)`, which a console script can call.
Not here: arguments (flags; argparse where the original had it), what a tool does.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

TRACEBACK = "CAFFE_TRACEBACK"


def tool(run: Callable[[list[str]], int | None]) -> Callable[..., int]:
    """Make a tool's `main` from a function of its arguments.

    `main(argv=None)` returns the exit code: that of the function (None counts as 0), 1 after an error, 130 after
    Ctrl-C. CAFFE_TRACEBACK=1 in the environment lets errors through.
    """

    @functools.wraps(run)
    def main(argv: Sequence[str] | None = None) -> int:
        arguments = list(sys.argv[1:] if argv is None else argv)
        if os.environ.get(TRACEBACK) == "1":
            return run(arguments) or 0
        usual, warnings.formatwarning = warnings.formatwarning, _one_line
        try:
            return run(arguments) or 0
        except KeyboardInterrupt:
            return _say("interrupted; finished files stay as they are", 130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # quiet last flush
            return 1
        except MemoryError:
            return _say("out of memory; a smaller batch would need less", 1)
        except OSError as problem:
            name = problem.filename2 or problem.filename
            return _say(f"{name}: {problem.strerror}" if name and problem.strerror else str(problem), 1)
        except (RuntimeError, ValueError, ImportError) as problem:  # CaffeError among these
            return _say(str(problem) or type(problem).__name__, 1)
        except Exception as problem:
            return _say(f"{type(problem).__name__}: {problem} (a bug in the program; {TRACEBACK}=1 shows where)", 70)
        finally:
            warnings.formatwarning = usual

    return main


def _say(message: str, code: int) -> int:
    sys.stdout.flush()
    print(f"error: {' '.join(message.split())}", file=sys.stderr)
    return code


def _one_line(message: Any, *where: object, **more: object) -> str:
    """Format a warning as its text alone."""
    return f"warning: {' '.join(str(message).split())}\n"
