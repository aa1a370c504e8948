"""The two forms of Net's constructor: today's, and the legacy Net(network_file, weights, phase).

In:   positional and keyword arguments.
Out:  network_file, phase, level, stages, weights; a readable TypeError.
Not here: what is done with them (net). Source: BVLC _caffe.cpp.
"""

from __future__ import annotations

import inspect
import operator
import os
import warnings
from typing import Any

from .. import common
from ..paths import path_of

_NEW = inspect.Signature([
    inspect.Parameter("network_file", inspect.Parameter.POSITIONAL_OR_KEYWORD),
    inspect.Parameter("phase", inspect.Parameter.POSITIONAL_OR_KEYWORD),
    inspect.Parameter("level", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=0),
    inspect.Parameter("stages", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None),
    inspect.Parameter("weights", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)])


def constructor_arguments(args: tuple, kwargs: dict) -> tuple[str, int, int, list[str], str | None]:
    """Return network_file, phase, level, stages and weights from either form of the arguments.

    Raises:
        TypeError: other arguments; the message names the right call.
    """
    if len(args) == 3 and not kwargs and isinstance(args[1], (str, os.PathLike)):
        warnings.warn("Net('net.prototxt', 'weights', phase) is deprecated; write Net('net.prototxt', phase, "
                      "weights='weights')", DeprecationWarning, stacklevel=4)
        args, kwargs = (args[0], args[2]), {"weights": args[1]}
    try:
        given = _NEW.bind(*args, **kwargs)
    except TypeError as problem:
        raise TypeError(f"Net: {problem}; want Net(network_file, phase, level=0, stages=None, weights=None)") from None
    given.apply_defaults()
    network_file, phase, level, stages, weights = given.args
    if phase not in (common.TRAIN, common.TEST) or isinstance(phase, (bool, str)):
        hint = "; weights come after it: weights='file'" if isinstance(phase, (str, os.PathLike)) else ""
        raise TypeError(f"Net: got phase {phase!r}, want caffe.TRAIN ({common.TRAIN}) or caffe.TEST "
                        f"({common.TEST}){hint}")
    path = path_of("Net", network_file, "a prototxt")
    weights = None if weights is None else path_of("Net", weights, "a caffemodel as weights")
    return path, int(phase), _level(level), _stages(stages), weights


def _level(level: Any) -> int:
    try:
        return operator.index(level)
    except TypeError:
        hint = f"; for weights write Net('net.prototxt', caffe.TEST, weights={os.fspath(level)!r})" if isinstance(
            level, (str, os.PathLike)) else ""
        raise TypeError(f"Net: got level {level!r}, want an integer{hint}") from None


def _stages(stages: Any) -> list[str]:
    if isinstance(stages, str):
        raise TypeError(f"Net: got stages {stages!r}, want a list of names: [{stages!r}]")
    given = list(stages or [])
    if not all(isinstance(stage, str) for stage in given):
        raise TypeError(f"Net: got stages {given!r}, want a list of names")
    return given
