"""One process a peer: `python -m bench.worker MODULE`, which does one pass whenever it is asked to.

In:   on stdin one request per line of JSON: first the job, then {"do": "pass"}, {"do": "passes", "seconds": S}, {"do":
      "use", "what": NAME} where the peer can do several things, or {"do": "answer", "path": FILE}.
Out:  a line of JSON each: seconds of each part of a pass, peak GiB; the last answer as .npy. Noise goes to stderr.
Not here: what a pass is (peer_caffe, peer_opencv, peer_eager), whose turn it is (measure).
Runs on Python 3.9, too, because genuine Caffe needs that.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("GLOG_minloglevel", "2")

import numpy as np


def peak_gib() -> float:
    """Return the greatest memory that this process has had; the kernel's own count, pages of files included."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 2**20
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def timed(parts: list, clock=time.perf_counter) -> list:
    """Call each part of a pass in turn and return the seconds of each."""
    seconds = []
    for part in parts:
        begin = clock()
        part()
        seconds.append(clock() - begin)
    return seconds


def repeated(parts: list, least: float, clock) -> list:
    """Do a pass that does not count, then passes for at least so many seconds; return the mean of each part."""
    timed(parts)
    passes, end = [], time.perf_counter() + least
    while not passes or time.perf_counter() < end:
        passes.append(timed(parts, clock))
    return [sum(part) / len(part) for part in zip(*passes)]


def serve(module: str, requests, replies) -> None:
    """Answer requests until there are no more."""
    job = json.loads(next(requests))
    work = importlib.import_module(f"bench.{module}").work(job)
    print(json.dumps({"ready": True, "peak_gib": peak_gib()}), file=replies, flush=True)
    for line in requests:
        request = json.loads(line)
        if request["do"] == "pass":
            reply = {"seconds": timed(work.parts), "peak_gib": peak_gib()}
        elif request["do"] == "passes":
            clock = time.process_time if job.get("clock") == "cpu" else time.perf_counter
            reply = {"seconds": repeated(work.parts, request["seconds"], clock), "peak_gib": peak_gib()}
        elif request["do"] == "use":
            work.use(request["what"])
            reply = {}
        else:
            np.save(request["path"], np.asarray(work.answer(), np.float32))
            reply = {}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    with os.fdopen(os.dup(1), "w") as channel:
        os.dup2(2, 1)  # what libraries print does not come between the replies
        serve(sys.argv[1], iter(sys.stdin), channel)
