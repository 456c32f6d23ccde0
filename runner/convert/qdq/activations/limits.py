"""What a pair computes besides rounding, which is left when it is taken out: it saturates, and it may scale anew.

Quantizers rely on saturation: a Relu in front of a range that starts at 0 is often left out
of the file, and 7-bit training clips codes to 0..127. Such limits are put back as operators on real values, which change no
code that a layer behind them computes:

    Clip   where somebody reads the value without saturating as tightly itself, unless what was before the pair lies within
           its range already (Relu6 in front of 0 .. 6); or where the codes are narrower than their type
    Relu   where the range starts at 0 and all readers quantize, and saturate, themselves; without it the
           float model would be another function
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx_ir as ir

from runner.convert.qdq.activations.commuting import moves_one
from runner.convert.qdq.annotated_graph import Pair, Pairs
from runner.convert.qdq.nodes import parameters
from runner.graph.constants import constant, float_attribute

Limit = Literal["none", "Relu", "Clip"]

# Operators whose values lie in a range of their own.
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("Relu", "Exp", "Abs"), (0.0, np.inf)),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "Softmax"), (0.0, 1.0)),
    **dict.fromkeys(("Tanh", "Sin", "Cos"), (-1.0, 1.0)),
}
# Operators whose values stay between those of their input and 0.
_STAYS_WITHIN = ("GlobalAveragePool", "AveragePool", "GlobalMaxPool", "ReduceMean", "Dropout")


def rescaling(pair: Pair) -> tuple[float, float] | None:
    """Return ``(factor, shift)`` of ``y = factor * x + shift`` that a pair computes besides rounding; None for neither.

    Only a pair whose two nodes disagree does.
    """
    if pair.quantize is None:
        return None
    first, second = parameters(pair.quantize), parameters(pair.dequantize)
    if first is None or second is None or not (first.per_tensor and second.per_tensor):
        return None
    before, after = float(first.scale.item()), float(second.scale.item())
    # A scale of 0 is refused elsewhere; here it must only not divide.
    factor = 1.0 if before in (after, 0.0) else after / before
    shift = (float(first.zero_point.item()) - float(second.zero_point.item())) * after
    return None if (factor, shift) == (1.0, 0.0) else (factor, shift)


def kept_limit(pair: Pair, pairs: Pairs, *, unlimited: bool) -> Limit:
    """Return how the saturation of a pair's codes is to be kept.

    Args:
        pair: in a graph that still has it.
        pairs: all of them.
        unlimited: somebody reads the value who does not saturate as tightly himself.
    """
    if pair.narrowed:
        return "Clip"
    if pair.quantize is None or pair.unreadable:
        return "none"  # codes from outside, or a range that cannot be read
    low, high = (-np.inf, np.inf) if rescaling(pair) is not None else _range_of(pair.quantize.inputs[0], pairs)
    if unlimited:
        # To half a step, which is rounding: a range trained behind Relu6 often ends just below 6.
        return "none" if pair.covers((low + pair.scale / 2, high - pair.scale / 2)) else "Clip"
    # A range that starts at 0 stands in for a Relu, unless the values do too.
    return "Relu" if pair.limits[0] == 0 and low < 0 else "none"


def _range_of(value: ir.Value | None, pairs: Pairs) -> tuple[float, float]:
    """Return limits of a value, 0 included where it may occur; infinite where nothing is known.

    Pairs are looked through, not counted: the saturation of one is kept only where its readers need it.
    """
    node = None if value is None else value.producer()
    while node is not None:
        if node.domain == "" and node.op_type in _RANGES:
            return _RANGES[node.op_type]
        if node.domain == "" and node.op_type == "Clip":
            return _clip_limit(node, 1, "min", -np.inf), _clip_limit(node, 2, "max", np.inf)
        if node in pairs.of:
            node = None if rescaling(pairs.of[node]) is not None else pairs.of[node].quantize
        elif not moves_one(node) and node.op_type not in _STAYS_WITHIN:
            break
        behind = None if node is None else node.inputs[0]
        node = None if behind is None else behind.producer()
    return -np.inf, np.inf


def _clip_limit(clip: ir.Node, index: int, attribute: str, default: float) -> float:
    value = clip.inputs[index] if len(clip.inputs) > index else None
    limit = constant(value)
    if value is not None and limit is None:
        return default  # computed by the graph
    return float_attribute(clip, attribute, default) if limit is None else float(limit.item())
