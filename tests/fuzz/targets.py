"""What reads the damaged files: each kind by the calls with which users read it.

In:   the bytes of a file, a number that chooses among options; the present folder is one for temporary files.
Out:  nothing, or an exception, which must be one of DOCUMENTED.   Not here: processes (worker), damage (mutate).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import lmdb
import numpy as np
from google.protobuf.message import DecodeError

import caffe
from caffe._caffe.errors import BAD_INPUT
from caffe.proto import caffe_pb2

DOCUMENTED = BAD_INPUT
# caffe.io's functions on arrays and messages say ValueError; protobuf's own reader, which scripts call, DecodeError.
OF_ARRAYS = (*BAD_INPUT, ValueError, DecodeError)
FEW = 200_000  # values in a net that is also run
DATA = """layer { name: "data" type: "Data" top: "data" top: "label" %s
  data_param { source: "%s" backend: LMDB batch_size: 1 } }"""
TRANSFORMS = ("", "transform_param { crop_size: 5 mirror: true mean_value: 3 }",
              "transform_param { force_color: true }", "transform_param { force_gray: true scale: 0.1 }")
INFOGAIN = """layer { name: "d" type: "DummyData" top: "d" top: "l" dummy_data_param { shape { dim: 2 dim: 3 }
  shape { dim: 2 } } }
layer { name: "loss" type: "InfogainLoss" bottom: "d" bottom: "l" top: "loss"
  infogain_loss_param { source: "file" } }"""
MEAN = 'transform_param { mean_file: "file" }'
HDF5 = """layer { name: "h" type: "HDF5Data" top: "data" top: "label"
  hdf5_data_param { source: "%s" batch_size: 3 } }"""


def net(data: bytes, option: int) -> None:
    """Build, and run both ways what is small."""
    Path("file").write_bytes(data)
    built = caffe.Net("file", option % 2)
    if sum(blob.count for blob in built._blobs) + sum(b.count for bs in built.params.values() for b in bs) < FEW:
        built.forward()
        built.backward()


def solver(data: bytes, option: int) -> None:
    """Build, and run a step of what asks for few."""
    Path("file").write_bytes(data)
    built = caffe.get_solver("file")
    param = built.param
    if param.iter_size * max([1, *param.test_iter]) < 4:
        built.step(1)


def caffemodel(data: bytes, option: int) -> None:
    """Copy weights into a net."""
    Path("file").write_bytes(data)
    _net().copy_from("file")


def solverstate(data: bytes, option: int, name: str = "file") -> None:
    """Restore a solver."""
    Path(name).write_bytes(data)
    _solver().restore(name)


def solverstate_h5(data: bytes, option: int) -> None:
    """Restore a solver from HDF5, which the name says."""
    solverstate(data, option, "file.h5")


def binaryproto(data: bytes, option: int) -> None:
    """Read a mean, and a matrix of InfogainLoss."""
    with suppress(*OF_ARRAYS):
        caffe.io.blobproto_to_array(caffe_pb2.BlobProto.FromString(data))
    Path("file").write_bytes(data)
    record = caffe.io.array_to_datum(np.zeros((1, 3, 3), np.uint8)).SerializeToString()
    with _database(record) as folder:
        Path("reads.prototxt").write_text(DATA % (MEAN, folder) if option % 2 else INFOGAIN)
        caffe.Net("reads.prototxt", caffe.TEST).forward()


def datum(data: bytes, option: int) -> None:
    """Read a record of an LMDB, by a layer and by caffe.io."""
    with suppress(*OF_ARRAYS):
        caffe.io.datum_to_array(caffe_pb2.Datum.FromString(data))
    with _database(data) as folder:
        Path("reads.prototxt").write_text(DATA % (TRANSFORMS[option % 4], folder))
        caffe.Net("reads.prototxt", option // 4 % 2).forward()


def hdf5_list(data: bytes, option: int) -> None:
    """Read rows of the files of a list."""
    Path("file").write_bytes(data)
    Path("reads.prototxt").write_text(HDF5 % "file")
    caffe.Net("reads.prototxt", caffe.TEST).forward()


def hdf5_data(data: bytes, option: int) -> None:
    """Read rows of one file."""
    Path("file.h5").write_bytes(data)
    Path("list").write_text("file.h5")
    Path("reads.prototxt").write_text(HDF5 % "list")
    caffe.Net("reads.prototxt", caffe.TEST).forward()


def image(data: bytes, option: int) -> None:
    """Read by caffe.io, and as the encoded image of a Datum."""
    Path("file").write_bytes(data)
    with suppress(*BAD_INPUT):
        caffe.io.datum_to_array(caffe_pb2.Datum(data=data, encoded=True))
    caffe.io.load_image("file", color=bool(option % 2))


TARGETS = {"net": net, "solver": solver, "caffemodel": caffemodel, "solverstate": solverstate,
           "caffemodel.h5": caffemodel, "solverstate.h5": solverstate_h5, "binaryproto": binaryproto, "datum": datum,
           "hdf5 list": hdf5_list, "hdf5 data": hdf5_data, "image": image}
# Of 100 mutations so many are of this kind.
SHARES = {"net": 30, "solver": 10, "caffemodel": 14, "solverstate": 8, "caffemodel.h5": 4, "solverstate.h5": 4,
          "binaryproto": 8, "datum": 8, "hdf5 list": 3, "hdf5 data": 3, "image": 8}
TEXTS = ("net", "solver", "hdf5 list")

_made: dict[str, object] = {}


def _net() -> caffe.Net:
    if "net" not in _made:
        _made["net"] = caffe.Net("net.prototxt", caffe.TEST)
    return _made["net"]


def _solver() -> caffe.SGDSolver:
    if "solver" not in _made:
        _made["solver"] = caffe.SGDSolver("solver.prototxt")
    return _made["solver"]


@contextmanager
def _database(record: bytes) -> Iterator[str]:
    """Make an LMDB of one record, in a folder of its own: a net that lives on keeps the former one open."""
    folder = tempfile.mkdtemp(dir=".")
    try:
        with lmdb.open(folder, map_size=1 << 20 | len(record) * 4, sync=False, metasync=False) as env:
            with env.begin(write=True) as write:
                write.put(b"00000000", record)
        yield folder
    finally:
        shutil.rmtree(folder)
