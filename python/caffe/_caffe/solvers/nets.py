"""The nets of a solver: one to train, any number to test.

In:   a SolverParameter.
Out:  the train net and the test nets, built in Caffe's order (it decides which gets which random
      numbers), with their NetState and the `weights` loaded.
Not here: reading the solver's prototxt (proto_text), running (solver).
Source: BVLC solver.cpp, InitTrainNet and InitTestNets.
"""

from __future__ import annotations

from typing import Any

from .. import common, log
from ..errors import SolverError
from ..files.proto_pool import MESSAGES
from ..files.proto_text import read_net_param_from_text
from ..files.upgrade_proto import upgrade_net
from ..net.net import Net

_TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


def build_train_net(param: Any) -> Net:
    """Build the net that a solver trains.

    Raises:
        SolverError: not exactly one field names it.
        NetError or ProtoError: the net cannot be read or built.
    """
    given = [field for field in _TRAIN_FIELDS if param.HasField(field)]
    if not given:
        raise SolverError("SolverParameter must specify a train net using one of these fields: "
                          + ", ".join(_TRAIN_FIELDS))
    if len(given) > 1:
        raise SolverError("SolverParameter must not contain more than one of these fields specifying "
                          f"a train_net: {', '.join(_TRAIN_FIELDS)}; got {', '.join(given)}")
    field = given[0]
    where = "" if field.endswith("_param") else f" file: {getattr(param, field)}"
    how = "from" if where else "specified in"
    log.info(f"Creating training net {how} {field}{where}", "solver.cpp:102")
    net_param = _read(param, field)
    net = _build(net_param, common.TRAIN, param.train_state)
    _load_weights(net, param)
    return net


def build_test_nets(param: Any) -> list[Net]:
    """Build the nets that a solver tests, in the order of test_iter.

    Raises:
        SolverError: the counts of test nets, test_iter and test_state do not fit.
        NetError or ProtoError: a net cannot be read or built.
    """
    sources = _test_sources(param)
    nets = []
    for i, (net_param, source) in enumerate(sources):
        log.info(f"Creating test net (#{i}) specified by {source}", "solver.cpp:190")
        net = _build(net_param, common.TEST, param.test_state[i] if param.test_state else None)
        net.debug_info = param.debug_info
        _load_weights(net, param)
        nets.append(net)
    return nets


def _test_sources(param: Any) -> list[tuple[Any, str]]:
    """Return (upgraded NetParameter, where it comes from) of each test net."""
    generic = "net_param" if param.HasField("net_param") else "net" if param.HasField("net") else ""
    own = len(param.test_net_param) + len(param.test_net)
    count = len(param.test_iter)
    if (count < own) if generic else (count != own):
        raise SolverError(f"test_iter must be specified for each test network.: got {count} test_iter "
                          f"for {own} test_net and test_net_param")
    if param.test_state and len(param.test_state) != count:
        raise SolverError("test_state must be unspecified or specified once per test net.: got "
                          f"{len(param.test_state)} for {count} test nets (one per test_iter)")
    if count and param.test_interval <= 0:
        raise SolverError(f"solver: got test_interval {param.test_interval} with {count} test nets, want "
                          "test_interval > 0; add it or remove test_iter")
    if any(n < 1 for n in param.test_iter):
        raise SolverError(f"solver: got test_iter {list(param.test_iter)}, want at least 1 each")
    sources = [(upgrade_net(p, "test_net_param"), "test_net_param") for p in param.test_net_param]
    sources += [(read_net_param_from_text(f), f"test_net file: {f}") for f in param.test_net]
    for _ in range(count - own):
        name = f"net file: {param.net}" if generic == "net" else generic
        sources.append((_read(param, generic), name))
    return sources


def _read(param: Any, field: str) -> Any:
    if field.endswith("_param"):
        return upgrade_net(getattr(param, field), field)
    return read_net_param_from_text(getattr(param, field))


def _build(net_param: Any, phase: int, state: Any) -> Net:
    """Build with the solver's phase, then what the net's own state says, then what the solver's says."""
    merged = MESSAGES["NetState"](phase=phase)
    merged.MergeFrom(net_param.state)
    if state is not None:
        merged.MergeFrom(state)
    net_param.state.CopyFrom(merged)
    return Net.from_param(net_param, merged.phase, merged.level)


def _load_weights(net: Net, param: Any) -> None:
    """Copy the caffemodels of `weights`, each a comma-separated list, in order."""
    for names in param.weights:
        for name in names.split(","):
            log.info(f"Finetuning from {name.strip()}", "solver.cpp:35")
            net.copy_from(name.strip())
