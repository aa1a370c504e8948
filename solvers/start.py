"""Where a training starts: initial weights by layer name, then the recipe's surgery.

In:   a net that is to be trained, its recipe, the caffemodel it starts from.
Out:  the net with its weights in place.
Not here: going on from a snapshot (solve), what each net starts from (recipes), the surgeries (surgery/).
Source: solve.py of each net of the FCN release.
"""

from __future__ import annotations

from typing import Any, Optional

import numpy as np

import surgery
from solvers import SolveError
from solvers.recipes import Recipe
from surgery.identity import identity_plus, layers_keeping_width


def begin(name: str, net: Any, row: Recipe, init: Optional[str]) -> None:
    """Give a net the weights that its training starts from.

    Args:
        name: of the net, for what is printed.
        net: changed in place.
        row: its recipe.
        init: caffemodel to copy from by layer name; None where the net starts from its fillers.

    Raises:
        SolveError: the caffemodel has none of the net's layers, or the recipe names an unknown surgery.
    """
    if init is not None:
        copy_weights(name, net, init)
    operate(net, row)


def copy_weights(name: str, net: Any, init: str) -> None:
    """Copy initial weights by layer name, as Caffe does, but say which layers they have nothing for."""
    first = {layer: blobs[0].data.flat[0] for layer, blobs in net.params.items()}
    for layer in first:
        net.params[layer][0].data.flat[0] = np.nan  # Caffe does not tell what it copied: what stays is marked
    net.copy_from(init)
    kept = [layer for layer in first if np.isnan(net.params[layer][0].data.flat[0])]
    for layer in kept:
        net.params[layer][0].data.flat[0] = first[layer]
    if len(kept) == len(first):
        raise SolveError(f"net '{name}': initial weights '{init}' have none of its layers ({', '.join(kept[:4])}, "
                         "...); give the caffemodel of a net whose layers have the same names")
    print(f"{name}: starts from {init}; layers it does not have: {', '.join(kept) or 'none'}")


def operate(net: Any, row: Recipe) -> None:
    """Do the recipe's surgery."""
    for operation in row.surgery:
        if operation == "interp":
            surgery.interp(net, [layer for layer in net.params if "up" in layer])
        elif operation == "identity_plus":
            identity_plus(net, layers_keeping_width(net))
        else:
            raise SolveError(f"recipe: unknown surgery '{operation}'; known are interp, identity_plus")
