"""Snapshots of a solver: a caffemodel and a solverstate, written and read back.

In:   a solver's net, history, iteration, step and snapshot prefix.
Out:  <prefix>_iter_<n>.caffemodel[.h5], then <prefix>_iter_<n>.solverstate[.h5], each replaced at once; both
      restored only once everything in the state has been found to fit.
Not here: bytes (caffemodel, caffemodel_writer, hdf5_files), when to snapshot (solver).
Source: BVLC solver.cpp and solvers/sgd_solver.cpp, Snapshot and Restore.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

from .. import log
from ..blob import Blob
from ..errors import CaffeError, SolverError
from ..files import hdf5_files
from ..files.caffemodel import BlobArray, SolverStateData, read_solver_state
from ..files.caffemodel_writer import write_solver_state
from ..net.net import Net


def check_snapshot_place(param: Any) -> None:
    """Refuse a prefix nothing can be written to.

    Raises:
        SolverError: before any iteration runs.
    """
    if not param.HasField("snapshot_prefix"):
        raise SolverError("In solver params, snapshot is specified but snapshot_prefix is not")
    probe = f"{param.snapshot_prefix}_iter_0.{os.getpid()}.tempfile"
    try:
        with open(probe, "wb"):
            pass
    except (OSError, ValueError) as error:  # ValueError: a zero byte
        folder = os.path.dirname(param.snapshot_prefix) or "."
        remedy = f": mkdir -p '{folder}'" if isinstance(error, FileNotFoundError) else ", or choose another prefix"
        raise SolverError(f"Cannot write to snapshot prefix '{param.snapshot_prefix}' "
                          f"({getattr(error, 'strerror', error)}). "
                          "Make sure that the directory exists and is writeable"
                          f"{remedy}") from error
    finally:
        with contextlib.suppress(OSError, ValueError):
            os.unlink(probe)


def save(param: Any, net: Net, history: list[Blob], iteration: int, step: int) -> None:
    """Write both files of a snapshot; the state comes last, so a state always finds its weights."""
    stem, values = f"{param.snapshot_prefix}_iter_{iteration}", [blob.data for blob in history]
    if param.snapshot_format == param.HDF5:
        model, state = f"{stem}.caffemodel.h5", f"{stem}.solverstate.h5"
        log.info(f"Snapshotting to HDF5 file {model}", "solver.cpp:473")
        net.save_hdf5(model, param.snapshot_diff)
        log.info(f"Snapshotting solver state to HDF5 file {state}", "sgd_solver.cpp:296")
        hdf5_files.write_solver_state(state, iteration, model, values, step)
        return
    model = f"{stem}.caffemodel"
    log.info(f"Snapshotting to binary proto file {model}", "solver.cpp:464")
    net.save(model, param.snapshot_diff)
    state = f"{stem}.solverstate"
    log.info(f"Snapshotting solver state to binary proto file {state}", "sgd_solver.cpp:284")
    write_solver_state(state, iteration, model, values, step)


def load(path: str, net: Net, history: list[Blob]) -> SolverStateData:
    """Restore weights and history of a snapshot, and return what else it holds.

    Raises:
        SolverError: the state does not fit this net or solver, or its weights are missing.
        ProtoError: a file is missing, empty, cut off or something else.
        NetError: the weights do not fit this net.
    """
    # Caffe: the name tells the format. solver.cpp, Restore
    state = hdf5_files.read_solver_state(path) if path.endswith(".h5") else read_solver_state(path)
    if len(state.history) != len(history):
        raise SolverError(f"Incorrect length of history blobs.: {path} has {len(state.history)}, this "
                          f"solver's net wants {len(history)}; was it saved with another net or solver type?")
    for i, (blob, saved) in enumerate(zip(history, state.history, strict=True)):
        if not _fits(saved, blob):
            raise SolverError(f"{path}: history blob {i} has shape {saved.shape}, this solver's net wants "
                              f"{blob.shape}; was it saved with another net?")
    if state.learned_net:
        _load_weights(path, state.learned_net, net)
    log.info("SGDSolver: restoring history", "sgd_solver.cpp:326")
    for blob, saved in zip(history, state.history, strict=True):
        blob.data.reshape(-1)[...] = saved.data.reshape(-1)
    return state


def _load_weights(path: str, learned_net: str, net: Net) -> None:
    if not os.path.isfile(learned_net):
        raise SolverError(f"{path}: its weights {learned_net} are missing (looked for from {os.getcwd()}); run "
                          "from the folder where it was saved, or put the caffemodel there")
    try:
        net.copy_from(learned_net)
    except CaffeError as error:
        raise SolverError(f"{path}: its weights cannot be restored: {error}") from error


def _fits(saved: BlobArray, blob: Blob) -> bool:
    if saved.legacy:
        shape = blob.shape
        return len(shape) <= 4 and (1,) * (4 - len(shape)) + shape == tuple(saved.shape)
    return tuple(saved.shape) == blob.shape
