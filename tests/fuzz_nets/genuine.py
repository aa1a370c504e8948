"""Genuine Caffe in a process of its own that runs one case after another.

In:   Cases.
Out:  what was seen, as scenario.run returns it; a process that dies is begun anew, and its death is what was raised.
Not here: the process's side (genuine_worker).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .compare import Run
from .spec import Case

ROOT = Path(__file__).resolve().parents[2]
PYTHON = ROOT / ".venv-bvlc" / "bin" / "python"
WORKER = Path(__file__).with_name("genuine_worker.py")


class Genuine:
    """The process; a context manager. `found` is false where genuine Caffe is not installed."""

    found = PYTHON.exists()

    def __init__(self) -> None:
        self._process: subprocess.Popen | None = None

    def __enter__(self) -> Genuine:
        return self

    def __exit__(self, *problem) -> None:
        self.end()

    def run(self, case: Case) -> Run:
        """Run a case."""
        process = self._process or self._start()
        try:
            process.stdin.write(json.dumps(case.message()).encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline()
        except BrokenPipeError:
            head = b""
        if not head:
            self.end()
            return [], f"genuine Caffe ended with {process.returncode}: {self._last_words()}"
        return self._read(json.loads(head), process.stdout)

    @staticmethod
    def _read(head: dict, stream) -> Run:
        seen = []
        for label, shape in head["seen"]:
            count = int(np.prod(shape, dtype=np.int64))
            seen.append((label, np.frombuffer(stream.read(4 * count), np.float32).reshape(shape)))
        return seen, head["raised"]

    def _start(self) -> subprocess.Popen:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz_nets_")
        self._errors = Path(self._folder.name) / "stderr"
        env = {"PATH": os.environ.get("PATH", ""), "HOME": self._folder.name, "GLOG_minloglevel": "2",
               "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen([str(PYTHON), str(WORKER)], cwd=self._folder.name, env=env,
                                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)
        return self._process

    def _last_words(self) -> str:
        lines = [line for line in self._words.splitlines() if "] " in line and "@" not in line[:4]]
        return lines[0].split("] ", 1)[1] if lines else self._words[-300:]

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait(20)
            self._words = self._errors.read_text(errors="replace")
            self._folder.cleanup()
            self._process = None
