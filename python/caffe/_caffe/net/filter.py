"""Leave out the layers whose include/exclude rules do not meet the net's state.

In:   NetParameter with its `state` (phase, level, stages) set.
Out:  a new NetParameter with the layers that remain.
Not here: setting the state (build.py).   Source: BVLC net.cpp, FilterNet and StateMeetsRule.
"""

from __future__ import annotations

from typing import Any

from .. import log
from ..errors import NetError
from ..files.proto_pool import MESSAGES


def filter_net(param: Any) -> Any:
    """Return a copy of `param` (NetParameter) that holds only the layers its state lets in."""
    filtered = MESSAGES["NetParameter"]()
    filtered.CopyFrom(param)
    del filtered.layer[:]
    state = param.state
    filtered.layer.extend(layer for layer in param.layer if _is_in(layer, state))
    return filtered


def _is_in(layer: Any, state: Any) -> bool:
    include, exclude = layer.include, layer.exclude
    if include and exclude:
        raise NetError(f"layer '{layer.name}': Specify either include rules or exclude rules; "
                       "not both.")
    if include:
        return any(state_meets_rule(state, rule, layer.name) for rule in include)
    return not exclude or not any(state_meets_rule(state, rule, layer.name) for rule in exclude)


def state_meets_rule(state: Any, rule: Any, layer_name: str = "") -> bool:
    """Return whether a NetState meets every condition that a NetStateRule gives; an empty rule is met.

    The first condition that is not met is logged with the layer's name.
    """
    unmet = _first_unmet(state, rule)
    if unmet is not None:
        log.info(f"The NetState {unmet[0]} specified by a rule in layer {layer_name}", unmet[1])
    return unmet is None


def _first_unmet(state: Any, rule: Any) -> tuple[str, str] | None:
    """Return Caffe's words for the first condition that is not met, and their place in Caffe's source."""
    if rule.HasField("phase") and rule.phase != state.phase:
        return f"phase ({state.phase}) differed from the phase ({rule.phase})", "net.cpp:294"
    if rule.HasField("min_level") and state.level < rule.min_level:
        # Caffe: it says "above", though the level is below.
        return f"level ({state.level}) is above the min_level ({rule.min_level})", "net.cpp:304"
    if rule.HasField("max_level") and state.level > rule.max_level:
        return f"level ({state.level}) is above the max_level ({rule.max_level})", "net.cpp:312"
    for stage in rule.stage:
        if stage not in state.stage:
            return f"did not contain stage '{stage}'", "net.cpp:330"
    for stage in rule.not_stage:
        if stage in state.stage:
            return f"contained a not_stage '{stage}'", "net.cpp:345"
    return None
