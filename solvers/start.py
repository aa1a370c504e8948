"""Where a training starts: initial weights by layer name, then the recipe's surgery.

In:   a net that is to be trained, its recipe, the caffemodels it starts from.
Out:  the net with its weights in place.
Not here: going on from a snapshot (solve), what each net starts from (recipes), the surgeries (surgery/).
Source: solve.py of each net of the FCN release.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

import surgery
from nets.loading import copy_from, few, open_net, refuse_not_finite
from solvers import SolveError
from solvers.recipes import Recipe, Transplant
from solvers.run_folder import sha256
from surgery.identity import identity_plus, layers_keeping_width


def begin(name: str, net: Any, row: Recipe, init: Optional[str]) -> None:
    """Give a net the weights that its training starts from.

    Args:
        name: of the net, for what is printed.
        net: changed in place.
        row: its recipe.
        init: caffemodel to copy from by layer name; None: the recipe's transplants, or the net's fillers.

    Raises:
        SolveError, NetError: a caffemodel has none of the net's layers, or holds what is no number; the recipe names an
            unknown surgery.
    """
    if init is not None:
        copy_weights(name, net, init)
    else:
        for graft in row.transplants:
            graft_weights(name, net, graft)
    operate(net, row)


def origin(row: Recipe, init: Optional[str]) -> Dict[str, Any]:
    """Give what decides a training besides its solver, nets and `init`: surgery, and each transplant's weights."""
    decides: Dict[str, Any] = {"surgery": row.surgery}
    if row.transplants and init is None:
        decides["transplants"] = [[*graft, sha256(Path(graft.weights)) if Path(graft.weights).is_file() else None]
                                  for graft in row.transplants]
    return decides


def graft_weights(name: str, net: Any, graft: Transplant) -> None:
    """Transplant the weights of another net, and fill a layer that has one channel more than there."""
    source = open_net(f"models/{graft.net}/deploy.prototxt", graft.weights, graft.net)
    surgery.transplant(net, source, graft.suffix)
    if graft.widened:
        layer, new_layer = graft.widened
        print(surgery.widen(net, new_layer, source, layer))
    print(f"{name}: starts from {graft.weights}")


def copy_weights(name: str, net: Any, init: str) -> None:
    """Copy initial weights by layer name, as Caffe does, but say which layers they have nothing for."""
    kept = copy_from(net, init)
    if len(kept) == len(net.params):
        raise SolveError(f"net '{name}': initial weights '{init}' have none of its layers ({few(kept)}); give the "
                         "caffemodel of a net whose layers have the same names")
    refuse_not_finite(net, f"net '{name}': initial weights '{init}'")
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
