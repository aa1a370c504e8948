"""NYU's labelled file (HDF5), and which of the 40 classes its own belong to.

In:   nyu_depth_v2_labeled.mat (MATLAB 7.3), a mapping of its classes to 40.
Out:  frames as arrays with rows first, cropped; the mapping as a table.
Not here: writing files (convert.py), the splits (data/id_lists.py).
Source: NYUDv2's documentation. MATLAB's arrays have their axes in reverse in HDF5.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np

from data.nyud.camera import CROP, FRAME
from data.whole import DataError

CLASSES = 40
FIRST_ID = 5001  # of the first frame
FIELDS = ("images", "depths", "labels", "names")
CACHE = 64 << 20  # bytes: a chunk of the file may hold rows of many frames
MAPPING_REMEDY = (
    "give --mapping FILE: Gupta's classMapping40.mat (mapClass: a number from 1 to 40 for each class of the file), or "
    "a text file with these numbers, one a line. The other way is the release's own archive, nyud.tar.gz, in which "
    "labels and HHA are ready: `python -m data get nyud`")


class Frame(NamedTuple):
    """One frame without its white border."""

    image: np.ndarray  # (425, 560, 3) uint8 RGB
    depth: np.ndarray  # (425, 560) float, metres, in-painted
    label: np.ndarray  # (425, 560) classes of the file, 0 is none


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open the labelled .mat and check its fields.

    Raises:
        DataError: it cannot be read as HDF5, or a field is missing or of another form.
    """
    import h5py  # only who converts needs it

    try:
        file = h5py.File(path, "r", rdcc_nbytes=CACHE)
    except FileNotFoundError:
        raise DataError(f"--mat '{path}' is not there; `python -m data get nyud-mat` fetches it") from None
    except OSError as error:
        raise DataError(f"'{path}' cannot be read as MATLAB 7.3 (HDF5): {error}; want nyu_depth_v2_labeled.mat, "
                        "2,972,037,809 bytes: fetch it again if yours is shorter") from error
    with file:
        _check_fields(path, file)
        yield file


def _check_fields(path: Path, file: Any) -> None:
    absent = [name for name in FIELDS if name not in file]
    if absent:
        raise DataError(f"'{path}' has no field {', '.join(absent)}; it has {', '.join(file) or 'none'}; want "
                        "nyu_depth_v2_labeled.mat")
    count = len(file["images"])
    size = FRAME[::-1]  # MATLAB's rows come last
    for name, want in (("images", (count, 3, *size)), ("depths", (count, *size)), ("labels", (count, *size))):
        if file[name].shape != want:
            raise DataError(f"'{path}': field {name} has shape {file[name].shape}, want {want} (frames, "
                            "columns, rows as HDF5 has them); want nyu_depth_v2_labeled.mat as it was published")


def read_frame(path: Path, file: Any, index: int) -> Frame:
    """Read one frame of the opened file; DataError where its bytes are broken."""
    try:
        image, depth, label = (file[name][index] for name in ("images", "depths", "labels"))
    except OSError as error:
        raise DataError(f"'{path}', frame {index + 1}: cannot be read ({error}); fetch the file again") from error
    return Frame(image.transpose(2, 1, 0)[CROP], depth.T[CROP], label.T[CROP])


def names_of(file: Any) -> list[str]:
    """Return the names of the file's classes, number 1 first."""
    return _cell(file, file["names"])


def read_mapping(path: Optional[Path], names: list[str]) -> np.ndarray:
    """Read which of the 40 classes each class of the labelled file belongs to.

    Args:
        path: a .mat with mapClass (and allClassName, which must then be `names`), or a text file with
            one number a line; None: none was given.
        names: classes of the labelled file.

    Returns:
        (1 + len(names),) uint8: entry k is the class 1 ... 40 of the file's class k; 0 stays 0, none.

    Raises:
        DataError: no mapping, or it is not one of this file's classes to 40.
    """
    if path is None:
        raise DataError(f"NYU's file has {len(names)} classes, the nets want {CLASSES}; {MAPPING_REMEDY}")
    try:
        values, theirs = _mapping_mat(path) if path.suffix == ".mat" else (_mapping_text(path), None)
    except FileNotFoundError:
        raise DataError(f"--mapping '{path}' is not there; {MAPPING_REMEDY}") from None
    if len(values) != len(names) or values.min() < 0 or values.max() > CLASSES:
        raise DataError(f"mapping '{path}': got {len(values)} numbers from {values.min()} to {values.max()}, want "
                        f"{len(names)}, one for each class of the labelled file, from 0 (none) to {CLASSES}")
    if theirs is not None and theirs != names:
        k = next((k for k, (a, b) in enumerate(zip(theirs, names)) if a != b), min(len(theirs), len(names)))
        raise DataError(f"mapping '{path}': its allClassName has other classes than the labelled file, first at number "
                        f"{k + 1} ({theirs[k:k + 1]} and {names[k:k + 1]}); the two files do not belong together")
    return np.concatenate(([0], values)).astype(np.uint8)


def _mapping_text(path: Path) -> np.ndarray:
    try:
        words = path.read_text(encoding="utf-8").split()
        values = np.array([int(word) for word in words], np.int64)
    except ValueError as error:  # bytes that are no text, too
        raise DataError(f"mapping '{path}': {error}; want one whole number a line") from error
    if not len(values):
        raise DataError(f"mapping '{path}' is empty; {MAPPING_REMEDY}")
    return values


def _mapping_mat(path: Path) -> tuple[np.ndarray, Optional[list[str]]]:
    """Read mapClass and, where it is there, allClassName, of MATLAB 7.3's form or an older one."""
    from scipy.io import loadmat

    wanted = ["mapClass", "allClassName"]
    try:
        if _is_hdf5(path):
            fields = _hdf5_variables(path, wanted)
        else:
            fields = loadmat(path, variable_names=wanted)
    except FileNotFoundError:
        raise
    except Exception as error:  # SciPy's reader raises nearly anything on a broken file
        raise DataError(f"mapping '{path}' cannot be read as a .mat file ({type(error).__name__}: {error}); "
                        "fetch it again") from error
    values = np.asarray(fields.get("mapClass", [])).ravel()
    if not values.size or values.dtype.kind not in "iuf" or (values != np.round(values)).any():
        raise DataError(f"mapping '{path}' has no field mapClass with whole numbers; {MAPPING_REMEDY}")
    found = fields.get("allClassName")
    theirs = None if found is None else [str(np.asarray(cell).ravel()[0]) for cell in np.asarray(found).ravel()]
    return values.astype(np.int64), theirs


def _is_hdf5(path: Path) -> bool:
    """Tell MATLAB 7.3's files: HDF5 behind 512 bytes of MATLAB's own, or from the first byte on."""
    with open(path, "rb") as file:
        head = file.read(16)
    return head.startswith((b"MATLAB 7.3", b"\x89HDF\r\n\x1a\n"))


def _hdf5_variables(path: Path, names: list[str]) -> dict[str, Any]:
    import h5py

    with h5py.File(path, "r") as file:
        return {name: _cell(file, file[name]) if file[name].dtype == object else file[name][()]
                for name in names if name in file}


def _cell(file: Any, cell: Any) -> list[str]:
    """Return the texts of a cell array, whose entries are references to arrays of character codes."""
    return ["".join(chr(code) for code in np.asarray(file[entry]).ravel()) for entry in np.asarray(cell).ravel()]
