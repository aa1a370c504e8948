"""`python -m solvers [NAME ...] --out models [--check]`: recipes to solver.prototxt files.

In:   names of nets, default all.
Out:  <out>/<net>/solver.prototxt; with --check nothing, but a list of those that are not fresh.
Not here: training (`python -m solvers.solve`).
"""

from __future__ import annotations

import sys

import startup

startup.ensure_environment()

import argparse  # noqa: E402
from pathlib import Path  # noqa: E402
from typing import List, Optional  # noqa: E402

from nets.prototxt import is_fresh, write_prototxt  # noqa: E402
from solvers.recipes import RECIPES, solver_param  # noqa: E402


def main(argv: Optional[List[str]] = None) -> int:
    """Write or check solver prototxts; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m solvers", description="Write solver.prototxt files.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="nets (default: all with a recipe)")
    parser.add_argument("--out", default="models", help="folder of the nets (default: models)")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is not fresh")
    args = parser.parse_args(argv)
    stale = []
    for name in args.names or RECIPES:
        path = Path(args.out) / name / "solver.prototxt"
        if not args.check:
            write_prototxt(solver_param(name), path)
        elif not is_fresh(solver_param(name), path):
            stale.append(str(path))
    if stale:
        print(f"not fresh: {', '.join(stale)}; run `python -m solvers`", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(startup.run(main))
