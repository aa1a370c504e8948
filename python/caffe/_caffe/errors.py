"""Errors of the engine: where genuine Caffe ends the process, this one raises.

Out:  CaffeError and its kinds; each message says who, got, want, remedy, in Caffe's words where it has any.
Not here: errors of user code, which pass through unchanged.
"""

from __future__ import annotations


# DEVIATION D2: raised where Caffe's CHECKs end the process.
class CaffeError(RuntimeError):
    """Base of all errors the engine raises."""


class ProtoError(CaffeError):
    """A prototxt, caffemodel, solverstate or binaryproto that cannot be read or written."""


class NetError(CaffeError):
    """A net that cannot be built, filled with weights or run."""


class LayerError(NetError):
    """A layer that cannot be set up, shaped or run."""


class OutOfMemory(NetError, MemoryError):
    """A net or a blob that needs more memory than there is; raised before allocating it where possible."""


class SolverError(CaffeError):
    """A solver that cannot be built, run, saved or restored."""


# What reading a file may raise, however damaged or hostile it is: the fuzz (tests/fuzz) accepts nothing else.
BAD_INPUT = (CaffeError, OSError)
