"""Read damaged files of every kind: `python -m tests.fuzz [--count 100000] [--seed 1] [--jobs 2] [--only NUMBER ...]`.

In:   a seed; the cases are numbered, and a number's case is always the same.
Out:  a JSON summary on stdout; exit code 1 where a process died, hung, took too much memory or raised what no
      docstring tells. Each fault stands there with the number that `--only` runs again.
Not here: damage (mutate), good files (seeds), reading (targets), one process (worker).
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 5  # of its processor's time that a case may take
WALL_SECONDS = 60  # whatever else the machine does
MB = 1024
QUIET_AND_SMALL = {"GLOG_minloglevel": "3", "CAFFE_MEMORY_LIMIT": "64"}  # of a reading process
TICKS = os.sysconf("SC_CLK_TCK")


class Worker:
    """A process that reads files in a folder of its own, begun anew when it died or was ended."""

    def __init__(self, seed: int, seeds: Path) -> None:
        self._seed, self._seeds = seed, seeds
        self._process: subprocess.Popen | None = None

    def run(self, number: int) -> dict:
        """Run a case; say how it ended."""
        process = self._process or self._start()
        process.stdin.write(f"{number}\n".encode())
        process.stdin.flush()
        begun, used = time.monotonic(), self._used(process)
        while not select.select([process.stdout], [], [], 0.5)[0]:
            wall, own = time.monotonic() - begun, self._used(process) - used
            if own > SECONDS or wall > WALL_SECONDS:
                self.end()
                return {"kind": "?", "outcome": "hang", "trace": f"{own:.1f} s of processor, {wall:.1f} s"}
        line = process.stdout.readline()
        if not line:
            trace = self._errors.read_text(errors="replace")[-2000:]
            self.end()
            return {"kind": "?", "outcome": "crash", "trace": f"exit code {process.returncode}\n{trace}"}
        return self._judged(json.loads(line))

    def _judged(self, result: dict) -> dict:
        if result["mb"] > MB:
            self.end()
            result |= {"outcome": "memory", "trace": f"{result['mb']} MB"}
        return result

    def _start(self) -> subprocess.Popen:
        self._folder = tempfile.TemporaryDirectory()
        self._errors = Path(self._folder.name) / "stderr"
        for name in ("net.prototxt", "solver.prototxt", "rows.h5"):
            (Path(self._folder.name) / name).write_bytes((self._seeds / name).read_bytes())
        path = os.pathsep.join([str(ROOT), str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.worker", str(self._seed), str(self._seeds)], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, cwd=self._folder.name,
                env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", **QUIET_AND_SMALL})
        self._process.stdout.readline()  # it is ready
        return self._process

    @staticmethod
    def _used(process: subprocess.Popen) -> float:
        """Return the seconds of processor a process has used."""
        try:
            fields = Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / TICKS

    def end(self) -> None:
        """End the process and remove its folder."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None
            self._folder.cleanup()


def fuzz(numbers: list[int], seed: int, jobs: int = 1) -> dict:
    """Run cases; return the counts of each kind's outcomes, the most memory one took, and the faults."""
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    faults, most, begun, lock = [], 0, time.monotonic(), threading.Lock()
    with tempfile.TemporaryDirectory() as folder, tqdm(total=len(numbers), desc="fuzz", unit="") as bar:
        _write_seeds(Path(folder))
        queue = iter(numbers)

        def serve() -> None:
            nonlocal most
            worker = Worker(seed, Path(folder))
            try:
                for number in _shared(queue, lock):
                    result = worker.run(number)
                    with lock:
                        counts[result["kind"]][result["outcome"]] += 1
                        most = max(most, result.get("mb", 0))
                        if "trace" in result:
                            faults.append({"number": number, **result})
                            bar.write(f"{number}: {result['outcome']}, {result['trace'].splitlines()[-1]}", sys.stderr)
                        bar.set_postfix(faults=len(faults), refresh=False)
                        bar.update()
            finally:
                worker.end()

        threads = [threading.Thread(target=serve) for _ in range(jobs)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    kinds = {kind: dict(sorted(found.items())) for kind, found in sorted(counts.items())}
    return {"seed": seed, "run": sum(sum(found.values()) for found in kinds.values()), "outcomes": kinds,
            "most_mb": most, "seconds": round(time.monotonic() - begun), "faults": faults}


def _shared(queue: Iterator[int], lock: threading.Lock) -> Iterator[int]:
    while True:
        with lock:
            number = next(queue, None)
        if number is None:
            return
        yield number


def _write_seeds(folder: Path) -> None:
    """Make the good files in a process of its own, where their folder is the present one."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])
    subprocess.run([sys.executable, "-m", "tests.fuzz.seeds"], cwd=folder, check=True,
                   env=os.environ | {"PYTHONPATH": path, "GLOG_minloglevel": "3"})


def main(argv: list[str] | None = None) -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100_000, help="run the cases 0 … COUNT - 1")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--only", type=int, nargs="+", metavar="NUMBER", help="run these cases")
    args = parser.parse_args(argv)
    summary = fuzz(args.only or list(range(args.count)), args.seed, args.jobs)
    print(json.dumps(summary, indent=1))
    return 1 if summary["faults"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
