"""Leave out the layers whose include/exclude rules do not meet the net's state.

In:   NetParameter with its `state` (phase, level, stages) set.
Out:  a new NetParameter with the layers that remain.
Not here: setting the state (net_init.py).   Source: BVLC net.cpp, FilterNet and StateMeetsRule.
"""

from __future__ import annotations

from typing import Any

from .errors import NetError
from .proto_pool import MESSAGES


def filter_net(param: Any) -> Any:
    """Return a copy of `param` (NetParameter) that holds only the layers its state lets in."""
    filtered = MESSAGES["NetParameter"]()
    filtered.CopyFrom(param)
    del filtered.layer[:]
    filtered.layer.extend(layer for layer in param.layer if _is_in(layer, param.state))
    return filtered


def _is_in(layer: Any, state: Any) -> bool:
    if layer.include and layer.exclude:
        raise NetError(f"layer '{layer.name}': Specify either include rules or exclude rules; "
                       "not both.")
    if layer.include:
        return any(state_meets_rule(state, rule) for rule in layer.include)
    return not any(state_meets_rule(state, rule) for rule in layer.exclude)


def state_meets_rule(state: Any, rule: Any) -> bool:
    """Whether a NetState meets every condition that a NetStateRule gives; an empty rule is met."""
    stages = set(state.stage)
    return not (
        (rule.HasField("phase") and rule.phase != state.phase)
        or (rule.HasField("min_level") and state.level < rule.min_level)
        or (rule.HasField("max_level") and state.level > rule.max_level)
        or not stages.issuperset(rule.stage)
        or not stages.isdisjoint(rule.not_stage))
