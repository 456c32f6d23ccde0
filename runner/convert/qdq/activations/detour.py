"""Take activation QuantizeLinear / DequantizeLinear out of a graph, leaving what they computed besides rounding.

Besides rounding, a pair saturates. Quantizers rely on it: a Relu in front of a range that starts at 0 is often left out
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
from runner.convert.qdq.activations.pairs import Pair, Pairs, rescaling
from runner.graph.builder import Builder
from runner.graph.constants import Names, constant, float_attribute

Limit = Literal["none", "Relu", "Clip"]

_CLIP_INPUTS_OPSET = 11  # before it, the limits are attributes
# Operators whose values lie in a range of their own.
_RANGES: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("Relu", "Exp", "Abs"), (0.0, np.inf)),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "Softmax"), (0.0, 1.0)),
    **dict.fromkeys(("Tanh", "Sin", "Cos"), (-1.0, 1.0)),
}
# Operators whose values stay between those of their input and 0.
_STAYS_WITHIN = ("GlobalAveragePool", "AveragePool", "GlobalMaxPool", "ReduceMean", "Dropout")


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


def bypass(graph: ir.Graph, pair: Pair, *, opset: int, limit: Limit, names: Names) -> None:
    """Let the readers of a pair read the value before it; names of graph outputs stay.

    Args:
        graph: changed in place. The pair's nodes stay, unread.
        pair: any, accepted or not.
        opset: of the default domain.
        limit: how the limits of its codes are kept.
        names: the graph's, added to.
    """
    node, name = pair.dequantize, pair.dequantize.name or ""
    build = Builder()
    value = node.inputs[0] if pair.quantize is None else pair.quantize.inputs[0]
    assert value is not None  # both operators need their first input
    if pair.quantize is None:
        value = _dequantized(build, value, node, name)
    scaling = rescaling(pair)
    if scaling is not None:
        value = build.op(
            "Mul", [value, _number(build, f"{name}.factor", scaling[0])], f"{name}.rescale", ir.DataType.FLOAT
        )
        value = build.op("Add", [value, _number(build, f"{name}.shift", scaling[1])], f"{name}.move", ir.DataType.FLOAT)
    if limit == "Clip":
        value = _clipped(build, value, pair.limits, f"{name}.clip", opset)
    elif limit == "Relu":
        value = build.op("Relu", [value], f"{name}.relu", ir.DataType.FLOAT)
    build.register(graph, names)
    graph.insert_before(node, build.nodes)
    take_over(graph, node.outputs[0], value, node)


def take_over(graph: ir.Graph, old: ir.Value, new: ir.Value, before: ir.Node) -> None:
    """Let ``new`` serve every use of ``old``; a graph output keeps its name, by an Identity where ``new`` needs its own."""
    if old.is_graph_output():
        if new.is_graph_input() or new.is_graph_output() or new.is_initializer():
            build = Builder()
            new = build.op("Identity", [new], f"{before.name}.identity", ir.DataType.FLOAT)
            build.register(graph)
            graph.insert_before(before, build.nodes)
        name = old.name
        # A lone QuantizeLinear's output was of integers; its input is what the output becomes.
        new.type = new.type or ir.TensorType(ir.DataType.FLOAT)
        new.shape = old.shape if new.shape is None else new.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        old.name = None
        new.name = name
        return
    old.replace_all_uses_with(new)


def _dequantized(build: Builder, codes: ir.Value, node: ir.Node, name: str) -> ir.Value:
    """Return ``(float(codes) - zero_point) * scale``: a DequantizeLinear of integers that the model is given."""
    value = build.cast(codes, ir.DataType.FLOAT, f"{name}.cast")
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        zero_point = constant(node.inputs[2])
        operand = (
            node.inputs[2] if zero_point is None else build.constant(f"{name}.zero", zero_point.astype(np.float32))
        )
        if zero_point is None:
            operand = build.cast(operand, ir.DataType.FLOAT, f"{name}.zero_cast")
        value = build.op("Sub", [value, operand], f"{name}.centred", ir.DataType.FLOAT)
    return build.op("Mul", [value, node.inputs[1]], f"{name}.real", ir.DataType.FLOAT)


def _clipped(build: Builder, value: ir.Value, limits: tuple[float, float], name: str, opset: int) -> ir.Value:
    low, high = limits
    if opset < _CLIP_INPUTS_OPSET:
        return build.op("Clip", [value], name, ir.DataType.FLOAT, {"min": low, "max": high})
    bounds = [_number(build, f"{name}.min", low), _number(build, f"{name}.max", high)]
    return build.op("Clip", [value, *bounds], name, ir.DataType.FLOAT)


def _number(build: Builder, name: str, number: float) -> ir.Value:
    return build.constant(name, np.asarray(number, np.float32))


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
