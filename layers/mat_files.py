"""Read labels from MATLAB files, or say which file is wrong and what would be right.

In:   a path, the variable and perhaps the field of it.
Out:  (H, W) whole numbers as the file has them; labels counted from 0, with 255 for void.
Not here: which files (the data sets' layers), label images (image_files.py).
Source: the FCN release's data layers; the checks are ours.
"""

from __future__ import annotations

import os

import numpy as np
from image_files import IGNORE
from param_str import DataLayerError


def read_mat(path: str, variable: str, field: str = "") -> np.ndarray:
    """Read a matrix of whole numbers, or the field of a struct that is one.

    Raises:
        DataLayerError: missing, broken, without the variable or field, or of another kind.
    """
    import scipy.io  # here, so that labels in PNG need no SciPy

    what = f"{variable}.{field}" if field else variable
    if not os.path.exists(path):
        raise DataLayerError(f"label '{path}' is missing, though its id is in the list; bring the file, or take the "
                             f"id out")
    try:
        found = scipy.io.loadmat(path, variable_names=[variable]).get(variable)
    except Exception as error:  # SciPy's reader raises nearly anything on a broken file
        raise DataLayerError(f"label '{path}' cannot be read ({type(error).__name__}: {error}); it wants a .mat file "
                             f"(version 7 or before) with {what}; fetch it again") from error
    if found is not None and field:
        found = found[field].flat[0] if field in (found.dtype.names or ()) and found.size else None
    if found is None:
        has = ", ".join(name for name, _, _ in scipy.io.whosmat(path)) or "nothing"
        raise DataLayerError(f"label '{path}' has no {what}, it holds {has}; fetch the data set's own label files")
    return _whole_numbers(np.asarray(found), path, what)


def _whole_numbers(label: np.ndarray, path: str, what: str) -> np.ndarray:
    whole = label.ndim == 2 and label.size > 0 and label.dtype.kind in "uif"
    if whole and label.dtype.kind == "f":
        whole = bool((np.isfinite(label) & (label == np.trunc(label))).all())
    if not whole:
        raise DataLayerError(f"label '{path}' has {what} of shape {label.shape} and type {label.dtype}; it wants H x W "
                             f"whole numbers; fetch it again")
    return label.astype(np.int64) if label.dtype.kind == "f" else label


def from_one(label: np.ndarray, classes: int, path: str) -> np.ndarray:
    """Count classes from 0: 1 ... classes become 0 ... classes - 1, and 0, which is void, becomes 255 (uint8's wrap).

    Raises:
        DataLayerError: another value.
    """
    low, high = int(label.min()), int(label.max())
    if low < 0 or high > classes:
        raise DataLayerError(f"label '{path}' has the value {low if low < 0 else high}; it wants 1 to {classes}, or 0 "
                             f"for void; correct the label")
    assert IGNORE == np.iinfo(np.uint8).max
    return label.astype(np.uint8) - np.uint8(1)
