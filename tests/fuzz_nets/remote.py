"""A judge in a process of its own, which may die or hang: `python -m tests.fuzz_nets.remote` is that process.

In:   comparisons and Cases, pickled.
Out:  what the judge says; a process that died or hung is a Difference, and begun anew.
Not here: judging (judge).
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .compare import Difference
from .spec import Case

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60  # of the clock that a case may take


class RemoteJudge:
    """A judge's process, begun when it is first asked; a context manager."""

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> RemoteJudge:
        return self

    def __exit__(self, *problem) -> None:
        self.end()

    def __call__(self, comparison: str, case: Case) -> Difference | None:
        """Return where the two ways differ first, or how the process ended."""
        process = self._process or self._start()
        pickle.dump((comparison, case), process.stdin)
        process.stdin.flush()
        begun = time.monotonic()
        while not select.select([process.stdout], [], [], 0.5)[0]:
            if time.monotonic() - begun > SECONDS:
                self.end()
                return Difference("what is raised", f"{SECONDS} s without an end", "no error")
        try:
            return pickle.load(process.stdout)
        except (EOFError, pickle.UnpicklingError):
            self.end()
            return Difference("what is raised", f"the process died of {_signal(process.returncode)}", "no error")

    def _start(self) -> subprocess.Popen:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz_nets_")
        path = os.pathsep.join([str(ROOT), str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.fuzz_nets.remote"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            cwd=self._folder.name,
            env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "GLOG_minloglevel": "3"})
        return self._process

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._folder.cleanup()
            self._process = None


def _signal(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def serve() -> None:
    """Judge until stdin ends."""
    from .judge import LocalJudge

    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what is printed goes elsewhere
    with LocalJudge() as judge:
        while True:
            try:
                comparison, case = pickle.load(sys.stdin.buffer)
            except EOFError:
                return
            pickle.dump(judge(comparison, case), out)
            out.flush()


if __name__ == "__main__":
    serve()
