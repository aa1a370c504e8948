"""Who is measured: ours, genuine Caffe, OpenCV dnn, eager PyTorch; each as a process that waits for its turn.

In:   a peer's name and its job; how many threads each may use.
Out:  a Worker that does one pass on request; why a peer is left out.
Not here: what a worker does (worker, peer_*), in which order they are asked (measure).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class BenchError(ValueError):
    """A measurement cannot be made, or a peer stopped."""


@dataclass(frozen=True)
class Peer:
    """One column of the table."""

    title: str
    module: str  # what its worker imports
    python: Path
    path: tuple[str, ...]  # PYTHONPATH below the project's root
    remedy: str = ""
    trains: bool = True

    def missing(self, kind: str) -> str | None:
        """Say why this peer does no job of this kind here, or None if it does."""
        if kind != "forward" and not self.trains:
            return f"{self.title} does not train"
        return None if self.python.exists() else f"{self.title} is not installed ({self.remedy})"


PEERS = {
    "ours": Peer("ours", "peer_caffe", Path(sys.executable), ("", "python", "layers")),
    "genuine": Peer("genuine Caffe", "peer_caffe", ROOT / ".venv-bvlc/bin/python", ("", "layers"),
                    "make setup makes .venv-bvlc where Python 3.9 is found"),
    "opencv": Peer("OpenCV dnn", "peer_opencv", ROOT / ".venv-opencv/bin/python", ("",),
                   "bash bench/setup_opencv.sh makes .venv-opencv", trains=False),
    "eager": Peer("eager PyTorch", "peer_eager", Path(sys.executable), ("", "python")),
}


def threads() -> int:
    """Return how many threads each peer gets: the physical cores that this process may use."""
    from caffe._caffe.threads import physical_cores

    return physical_cores()


def say_threads() -> None:
    """Print on stderr how many threads each peer gets."""
    print(f"each peer computes with {threads()} threads: physical cores that this process may use", file=sys.stderr)


def environment(peer: Peer, count: int) -> dict[str, str]:
    """Return the variables of a peer's process."""
    counts = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(count))
    path = os.pathsep.join(str(ROOT / part) for part in peer.path)
    return {**os.environ, **counts, "PYTHONPATH": path, "GLOG_minloglevel": "2", "PYTHONWARNINGS": "ignore"}


class Worker:
    """A peer's process with its net built, which does a pass when it is asked to."""

    def __init__(self, peer: Peer, job: dict, count: int) -> None:
        """Start it and wait until it is ready.

        Raises:
            BenchError: it stopped; says its last line.
        """
        self.title = peer.title
        self.noise = tempfile.TemporaryFile("w+")  # noqa: SIM115 - lives as long as the process
        self.process = subprocess.Popen(
            [str(peer.python), "-m", "bench.worker", peer.module], cwd=ROOT, env=environment(peer, count), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.noise)
        try:
            self.loaded_gib = self.ask({**job, "threads": count})["peak_gib"]
        except BaseException:
            self.close()
            raise

    def ask(self, request: dict) -> dict:
        """Send a request and wait for its reply."""
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            reply = self.process.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            raise BenchError(f"{self.title} stopped ({self.process.wait()}): {self.last_line()}")
        return json.loads(reply)

    def run(self) -> dict:
        """Do one pass: its `seconds`, a part each, and `peak_gib` so far."""
        return self.ask({"do": "pass"})

    def last_line(self) -> str:
        """Return what the process said last."""
        self.noise.seek(0)
        return (self.noise.read().strip().splitlines() or ["no word"])[-1]

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.noise.close()
