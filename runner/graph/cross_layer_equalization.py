"""Cross-layer equalization: make the channels between two convolutions equally large, so that one scale serves them all.

A convolution's output channel c is multiplied by ``2 ** k[c]``, and what the next convolution multiplies it by is divided by
as much (Nagel et al., Data-free quantization through weight equalization and bias correction, 2019). Relu lets a positive
factor through. Clip(0, high) would not: its end is scaled with the channel, as ``Relu -> Min(high * 2 ** k)``. Powers of two
make it exact in float32 too: every product and every sum keeps its bits but for the exponent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from runner.graph.batchnorm import sole_convolution
from runner.graph.builder import Builder
from runner.graph.constants import constant, integer_attribute, replace_constant, replace_node
from runner.graph.operators import layout_of

# The version of this stage's meaning: raise it when the same exponents would give another model.
VERSION = 1
_BROADCASTING_MIN = 8

Exponents = Mapping[str, Sequence[int]]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two convolutions whose channels between them may be scaled, by names.

    Attributes:
        first: makes the channels; a Conv or ConvTranspose.
        second: the only one that reads them; a Conv.
        tensor: what the second one reads, shape [N, channels, ...].
        channels: number of them.
    """

    first: str
    second: str
    tensor: str
    channels: int


def find_pairs(model: ir.Model) -> tuple[Pair, ...]:
    """Return the pairs in graph order.

    Between the two stands nothing, a Relu or a Clip from 0. A tensor that something else reads too, or that the model gives
    as an output, is not scaled: a residual connection's other branch would have to be scaled with it.
    """
    pairs = []
    # Before opset 8 Min takes operands of one shape only.
    clips = model.opset_imports.get("", 0) >= _BROADCASTING_MIN
    for second in model.graph:
        found = _before(second)
        if found is None or (found[1] is not None and found[1].op_type == "Clip" and not clips):
            continue
        tensor = second.inputs[0]
        assert tensor is not None  # there is a layer before it
        pairs.append(Pair(found[0].name or "", second.name or "", tensor.name or "", _inputs(second)))
    return tuple(pairs)


def equalized(model: ir.Model, exponents: Exponents) -> ir.Model:
    """Return a copy whose channels are scaled; it computes the same.

    Args:
        model: a prepared float model.
        exponents: of the factors of each channel, by the first layer's name; a layer that is left out stays.

    Raises:
        ValueError: no pair has a first layer of that name, or the pair has another number of channels.
    """
    copy = model.clone()
    graph = copy.graph
    pairs = {pair.first: pair for pair in find_pairs(copy)}
    nodes = {node.name: node for node in graph}
    for name, powers in exponents.items():
        pair = pairs.get(name)
        if pair is None or len(powers) != pair.channels:
            raise ValueError(f"layer '{name}' has no {len(powers)} channels that only one convolution reads")
        factors = np.exp2(np.asarray(powers, np.float32))
        first, second = nodes[name], nodes[pair.second]
        _scale_outputs(graph, first, factors)
        _scale_inputs(graph, second, factors)
        reader = next(iter(first.outputs[0].consumers()))
        if reader.op_type == "Clip":
            _scale_end(graph, reader, factors)
    return copy


def channel_weight(model: ir.Model, pair: Pair) -> NDArray[np.float64]:
    """Return the second layer's weight, shape (groups, outputs of one, channels of one, kernel)."""
    second = _node(model, pair.second)
    weight = np.asarray(constant(second.inputs[1]), np.float64)
    outputs, inputs = weight.shape[:2]
    group = integer_attribute(second, "group", 1)
    return weight.reshape(group, outputs // group, inputs, -1)


def output_interval(model: ir.Model, pair: Pair) -> tuple[float, float]:
    """Return the ends that what stands between the two layers cuts values off at."""
    between = _node(model, pair.second).inputs[0]
    maker = None if between is None else between.producer()
    assert maker is not None  # of a pair
    if maker.op_type == "Relu":
        return 0.0, np.inf
    ends = _clip_ends(maker) if maker.op_type == "Clip" else None
    return (-np.inf, np.inf) if ends is None else (0.0, np.inf if ends[1] is None else ends[1])


def _node(model: ir.Model, name: str) -> ir.Node:
    return next(node for node in model.graph if node.name == name)


def _before(second: ir.Node) -> tuple[ir.Node, ir.Node | None] | None:
    """Return the convolution before a Conv and the activation between them; None where they are no pair."""
    if second.op_type != "Conv" or second.domain != "" or _float_weight(second) is None:
        return None
    value, activation = second.inputs[0], None
    maker = None if value is None else value.producer()
    if maker is not None and maker.domain == "" and (maker.op_type == "Relu" or _clips_from_zero(maker)):
        if len(maker.outputs[0].uses()) != 1 or maker.outputs[0].is_graph_output():
            return None
        value, activation = maker.inputs[0], maker
    first = sole_convolution(value)
    if first is None or _float_weight(first) is None:
        return None
    has_bias = len(first.inputs) > 2 and first.inputs[2] is not None
    return None if has_bias and constant(first.inputs[2]) is None else (first, activation)


def _float_weight(node: ir.Node) -> NDArray[np.float32] | None:
    weight = constant(node.inputs[1])
    return (
        None
        if weight is None or weight.dtype != np.float32 or not weight.size
        else weight.astype(np.float32, copy=False)
    )


def _inputs(conv: ir.Node) -> int:
    weight = constant(conv.inputs[1])
    assert weight is not None  # of a pair
    return int(weight.shape[1]) * integer_attribute(conv, "group", 1)


def _clip_ends(node: ir.Node) -> tuple[float | None, float | None] | None:
    """Return the ends of a Clip, None for one that is absent; None in all where one is computed."""
    ends: list[float | None] = []
    for index, attribute in ((1, "min"), (2, "max")):
        value = node.inputs[index] if len(node.inputs) > index else None
        if value is not None:
            array = constant(value)
            if array is None:
                return None
            ends.append(float(array.reshape(-1)[0]))
        else:
            held = node.attributes.get(attribute)  # before opset 11
            ends.append(None if held is None else held.as_float())
    return ends[0], ends[1]


def _clips_from_zero(node: ir.Node) -> bool:
    ends = _clip_ends(node) if node.op_type == "Clip" else None
    return ends is not None and ends[0] == 0


def _scale_outputs(graph: ir.Graph, conv: ir.Node, factors: NDArray[np.float32]) -> None:
    weight = _float_weight(conv)
    assert weight is not None  # of a pair
    layout = layout_of(conv)
    rows = layout.rows(weight)
    scaled = np.asarray(rows, np.float32) * factors.reshape(-1, *[1] * (rows.ndim - 1))
    replace_constant(graph, conv, 1, layout.stored(scaled, weight.shape))
    bias = constant(conv.inputs[2]) if len(conv.inputs) > 2 else None
    if bias is not None:
        replace_constant(graph, conv, 2, np.asarray(bias, np.float32) * factors)


def _scale_inputs(graph: ir.Graph, conv: ir.Node, factors: NDArray[np.float32]) -> None:
    weight = _float_weight(conv)
    assert weight is not None  # of a pair
    group = integer_attribute(conv, "group", 1)
    outputs, inputs = weight.shape[:2]
    per_row = np.repeat(factors.reshape(group, inputs), outputs // group, axis=0)
    replace_constant(graph, conv, 1, weight / per_row.reshape(outputs, inputs, *[1] * (weight.ndim - 2)))


def _scale_end(graph: ir.Graph, clip: ir.Node, factors: NDArray[np.float32]) -> None:
    """Put ``Relu -> Min`` in the place of ``Clip(0, high)``."""
    ends = _clip_ends(clip)
    assert ends is not None  # of a pair
    data = clip.inputs[0]
    conv = None if data is None else data.producer()
    weight = None if conv is None else constant(conv.inputs[1])
    assert weight is not None  # of a pair
    built = Builder()
    output = built.op("Relu", [data], f"{clip.name}.relu", ir.DataType.FLOAT)
    if ends[1] is not None:
        high = (np.float32(ends[1]) * factors).reshape(-1, *[1] * (weight.ndim - 2))
        output = built.op(
            "Min", [output, built.constant(f"{clip.name}.high", high)], clip.name or "", ir.DataType.FLOAT
        )
    built.register(graph, instead=clip)
    replace_node(graph, clip, built.nodes, output)
