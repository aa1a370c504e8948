"""What a training needs from elsewhere: `python -m solvers.needs NAME` says all that is missing at once.

In:   a net's name; the weights it starts from, the places its data layers read.
Out:  one message: which file, from where, to which place; nothing where all is there.
Not here: fetching or making any of it.
"""

from __future__ import annotations

import sys

import startup

if __name__ == "__main__":
    startup.ensure_environment()
    startup.quiet_caffe()

import argparse
from pathlib import Path
from typing import List, Optional, Sequence

from data import sets
from nets.zoo import inputs
from solvers import SolveError
from solvers.recipes import RECIPES, recipe, solver_param, weights_of
from solvers.run_folder import RunFolder
from surgery.base_nets import BASE_NETS, BaseNet


def require(name: str, sources: Sequence[str], places: Sequence[str]) -> None:
    """Check that what a training reads is there.

    Args:
        name: a net with a recipe.
        sources: caffemodels it starts from.
        places: folders and lists of the data layers, from the project's root.

    Raises:
        SolveError: names each thing that is missing, where it comes from, and to which place it goes.
    """
    absent = [_origin(name, source) for source in sources if not Path(source).is_file()]
    absent += _absent_data(name, places)
    if absent:
        raise SolveError(f"net '{name}' cannot be trained in {Path.cwd()}:\n" + ";\n".join(absent))


def _absent_data(name: str, places: Sequence[str]) -> List[str]:
    """Say what is not there of a net's data set, of the part that lies in these places."""
    kinds = [kind for _, kind in inputs(name)]
    absent = [need for need in sets.missing(recipe(name).dataset, kinds=kinds)
              if any(need.place.startswith(place) for place in places)]
    return [sets.describe(absent)] if absent else []


def _origin(name: str, init: str) -> str:
    """Say where initial weights come from."""
    base = _base_net(init)
    if base is not None and not Path(base.weights).is_file():
        fetch = f"get it from {base.origin} and put it there (`make weights-{Path(base.weights).stem}` does)"
        how = fetch if base.sha1 else base.origin
        return f"missing {base.weights} ({how}), of which `make {name}` makes {init}"
    makers = [other for other in RECIPES if weights_of(other) == init]
    how = f"`make {makers[0]}` trains it" if makers else f"`make {name}` makes or asks for it"
    return f"missing {init} (the initial weights: {how}; --init FILE takes others)"


def _can_be_made(init: str) -> bool:
    """Tell whether the classifier is there that these weights are the cast of."""
    base = _base_net(init)
    return base is not None and Path(base.weights).is_file()


def _base_net(init: str) -> Optional[BaseNet]:
    return next((base for base in BASE_NETS.values() if base.out == init), None)


def main(argv: Optional[List[str]] = None) -> int:
    """Check what the named net needs and cannot be made of what is here; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m solvers.needs", description="Say what a training lacks.")
    parser.add_argument("name", metavar="NAME", help="a net with a recipe")
    name = parser.parse_args(argv).name
    sources = [source for source in recipe(name).sources if not _can_be_made(source)]
    folder = RunFolder(Path("models") / name, solver_param(name), {}, None, {})
    try:
        require(name, sources, folder.data_places())
    except SolveError as error:  # its lines are easier to read than startup.run's one
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(startup.run(main))
