"""The machinery behind `import caffe`, in place of BVLC's _caffe.so; private.

Out:  the names that scripts import from `caffe._caffe`, found when they are first asked for.
Not here: definitions.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

# How long a thread spins for the others before it gives up its core. By default about a millisecond or two: then one
# busy neighbour on two cores made a training step of 0.07 s take up to 3.4 s. Two processes of two threads each on two
# cores, the same work alone and beside the other: 73 and 590 ms with 10,000 turns, 74 and 195 with 1,500, 112 and 146
# with 500. It is read once, when torch loads its OpenMP, so it is set here, where nothing has imported torch yet.
os.environ.setdefault("GOMP_SPINCOUNT", "1500")

_HOMES = {
    "common": ("set_device", "set_mode_cpu", "set_mode_gpu", "set_multiprocess", "set_random_seed",
               "set_solver_count", "set_solver_rank", "solver_count", "solver_rank"),
    "log": ("init_log",),
    "solvers.parallel": ("NCCL", "has_nccl"),
    "timer": ("Timer",),
    "blob": ("Blob", "BlobVec"),
    "layer": ("Layer",),
    "layer_factory": ("layer_type_list",),
    "net.net": ("Net",),
    "solvers.solver": ("Solver",),
    "solvers.sgd_solver": ("SGDSolver",),
    "solvers.update_rules": ("AdaDeltaSolver", "AdaGradSolver", "AdamSolver", "NesterovSolver", "RMSPropSolver"),
    "solvers.factory": ("get_solver",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}
_MESSAGES = ("LayerParameter", "SolverParameter")
# Boost's list types; here they are Python's own
_LISTS = ("BoolVec", "DtypeVec", "IntVec", "LayerVec", "NetVec", "RawBlobVec", "StringVec")

__all__ = [*_HOME, *_MESSAGES, *_LISTS]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    if name in _MESSAGES:
        return getattr(importlib.import_module("caffe.proto.caffe_pb2"), name)
    if name in _LISTS:
        return list
    raise AttributeError(f"module 'caffe._caffe' has no attribute '{name}'")
