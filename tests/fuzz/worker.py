"""A process that reads damaged files, one after the other: `python -m tests.fuzz.worker SEED FOLDER`.

In:   numbers of cases, one a line on stdin; good files in FOLDER, as KIND-NUMBER.
Out:  a line of JSON a case on stdout; what it runs when it dies is the last number it was given.
Not here: who watches it (__main__).
"""

from __future__ import annotations

import faulthandler
import json
import random
import sys
import traceback
import warnings
from pathlib import Path

from tests.fuzz.mutate import mutate
from tests.fuzz.targets import DOCUMENTED, SHARES, TARGETS, TEXTS


def case(seed: int, number: int, seeds: dict[str, list[bytes]]) -> tuple[str, bytes, int]:
    """Return a case's kind, its file and the number of its option: always the same of the same seed and number."""
    rng = random.Random(f"{seed} {number}")
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    other = rng.choice(seeds[kind if rng.random() < 0.7 else rng.choice(list(seeds))])
    return kind, mutate(rng.choice(seeds[kind]), other, rng, kind in TEXTS), rng.randrange(8)


def memory() -> tuple[int, int]:
    """Return this process's memory in MB: the most so far, and now."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) >> 10, int(status["VmRSS"].split()[0]) >> 10


def run(kind: str, data: bytes, option: int) -> dict[str, object]:
    """Read one file; say how that ended, and the MB it took."""
    most_before, before = memory()
    result: dict[str, object] = {"kind": kind, "outcome": "success"}
    try:
        TARGETS[kind](data, option)
    except DOCUMENTED as error:
        result["outcome"] = type(error).__name__
    except BaseException:
        result |= {"outcome": "undocumented", "trace": traceback.format_exc()[-2000:]}
    most = memory()[0]
    return result | {"mb": max(0, most - before) if most > most_before else 0}


def main() -> None:
    """Serve."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    seed, folder = int(sys.argv[1]), Path(sys.argv[2])
    seeds = {kind: [file.read_bytes() for file in sorted(folder.glob(f"{kind}-*"))] for kind in SHARES}
    print(flush=True)  # ready
    for line in sys.stdin:
        print(json.dumps(run(*case(seed, int(line), seeds))), flush=True)


if __name__ == "__main__":
    main()
