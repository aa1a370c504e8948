"""Weight files as arrays by key: NumPy's .npz and PyTorch's state dicts, read without running anything in them.

In:   paths; arrays by key.
Out:  the kind of a file, by its content; its arrays; new files, complete or not at all.
Not here: what keys mean (names.py, torchvision.py); caffemodels (caffemodel.py).
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ..errors import ProtoError
from ..files.caffemodel_writer import atomic_write

CAFFEMODEL, NPZ, PTH = "caffemodel", "npz", "state dict"
SUFFIXES = {".caffemodel": CAFFEMODEL, ".npz": NPZ, ".pth": PTH, ".pt": PTH}
_NESTED = ("state_dict", "model_state_dict", "model")  # where checkpoints keep a model's arrays
_SAVE_AGAIN = "; where it can be loaded, save its arrays alone: torch.save(model.state_dict(), FILE)"

Path = str | os.PathLike[str]
Arrays = dict[str, np.ndarray]


def kind_of(path: Path) -> str:
    """Return what kind of weights a file holds, by its first bytes: CAFFEMODEL, NPZ or PTH.

    Raises:
        ProtoError: the file cannot be opened, or is a zip archive of something else.
    """
    try:
        with open(path, "rb") as file:
            head = file.read(4)
    except OSError as error:
        raise ProtoError(f"Could not open file {os.fspath(path)} ({error.strerror or error})") from error
    if head[:1] == b"\x80":  # the pickles that torch.save wrote before it wrote zip archives
        return PTH
    return _kind_of_archive(path) if head == b"PK\x03\x04" else CAFFEMODEL


def _kind_of_archive(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise ProtoError(f"{os.fspath(path)}: a zip archive that is cut off or damaged ({error}); want an .npz or a "
                         "state dict; fetch or write it again") from error
    if any(name.endswith("data.pkl") for name in names):
        return PTH
    if names and all(name.endswith(".npy") for name in names):
        return NPZ
    raise ProtoError(f"{os.fspath(path)}: a zip archive of {', '.join(names[:3]) or 'nothing'}; want an .npz or a "
                     "state dict; unpack it if weights are in it")


def kind_to_write(path: Path) -> str:
    """Return what kind of file a name asks for, by its ending; ProtoError lists those known."""
    suffix = os.path.splitext(os.fspath(path))[1].lower()
    if suffix not in SUFFIXES:
        raise ProtoError(f"{os.fspath(path)}: got the ending '{suffix}', want one of {', '.join(SUFFIXES)}")
    return SUFFIXES[suffix]


def read_npz(path: Path) -> Arrays:
    """Read all arrays of an .npz; ProtoError if it is damaged or holds pickled objects."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except ValueError as error:  # NumPy's words for an array of objects
        raise ProtoError(f"{os.fspath(path)}: {error}; want arrays of numbers only, no pickled objects") from error
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise ProtoError(f"{os.fspath(path)}: damaged ({error}); want an .npz; fetch or write it again") from error


def read_state_dict(path: Path) -> Arrays:
    """Read the arrays of a PyTorch file, weights only: floating point numbers become float32.

    A checkpoint's `state_dict` (also model_state_dict, model) is found, the prefix `module.` of DataParallel removed.

    Raises:
        ProtoError: it is damaged, holds pickled objects, no arrays, or an array that is sparse or quantised.
    """
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001  torch raises nearly anything, depending on the file
        raise ProtoError(_unreadable(os.fspath(path), error)) from error
    for key in _NESTED:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
            break
    if not isinstance(found, Mapping) or not found or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise ProtoError(f"{os.fspath(path)}: got {_describe(found)}, want a state dict (arrays by name), or a "
                         f"checkpoint with one under {', '.join(_NESTED)}")
    parallel = all(str(key).startswith("module.") for key in found)
    return {str(key).removeprefix("module.") if parallel else str(key): _array(os.fspath(path), str(key), tensor)
            for key, tensor in found.items()}


def write_npz(path: Path, arrays: Arrays) -> None:
    """Write an .npz (not compressed)."""
    with atomic_write(path) as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def write_state_dict(path: Path, arrays: Arrays) -> None:
    """Write a state dict that torch.load(weights_only=True) reads."""
    with atomic_write(path) as file:
        torch.save({key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}, file)


def _array(path: str, key: str, tensor: torch.Tensor) -> np.ndarray:
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_complex():
        raise ProtoError(f"{path}: '{key}' is sparse, quantised or complex; want plain numbers; save it as such")
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).contiguous().numpy()


def _unreadable(path: str, error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if "weights_only" in str(error) or "Unsupported" in str(error):
        why = next((line.strip() for line in lines if "GLOBAL" in line or "Unsupported" in line), "")
        return (f"{path}: it holds pickled objects, which could run anything when loaded, so it is not read"
                f"{f' ({why[:160]})' if why else ''}{_SAVE_AGAIN}")
    return f"{path}: damaged, or no PyTorch file ({lines[0][:160] if lines else type(error).__name__}); fetch it again"


def _describe(found: Any) -> str:
    if isinstance(found, Mapping):
        other = [f"'{k}' ({type(v).__name__})" for k, v in found.items() if not isinstance(v, torch.Tensor)]
        return f"entries that are not arrays: {', '.join(other[:4])}" if other else "nothing"
    return f"one {type(found).__name__}"
