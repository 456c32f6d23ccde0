"""Which nodes can be quantized, and for the others why not."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.batchnorm_before import why_not_folded
from runner.graph.constants import Array, bodies, constant
from runner.graph.decoding_constants import why_decoding
from runner.graph.limits import Limits
from runner.graph.operators import OPERATORS, operator_of
from runner.graph.operators.operator import Layer as Layer
from runner.graph.operators.operator import Operator
from runner.graph.tensors import TensorInput
from runner.wording import listed, say

LAYER_TYPES = tuple(OPERATORS)
_POINTLESS = ("GlobalAveragePool", "LSTM", "GRU", "RNN", "Einsum")
_INSIDE_IF = "it stands inside the body of If"
# What onnxruntime's optimizer makes of layers, by its domain; in two of them it writes the standard operators anew.
_WRITTEN_BY_ONNXRUNTIME = {
    "com.microsoft": (
        *("FusedConv", "FusedGemm", "FusedMatMul", "FusedMatMulActivation", "TransposeMatMul", "NhwcFusedConv"),
        *("Attention", "PackedAttention"),
    ),
    "com.microsoft.nchwc": (*LAYER_TYPES, "GlobalAveragePool"),
    "com.ms.internal.nhwc": (*LAYER_TYPES, "GlobalAveragePool"),
}


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A node that stays float although it looks like a layer, or could be one, and why."""

    name: str
    op_type: str
    reason: str


@dataclass(frozen=True, eq=False)
class LayeredModel:
    """A float model with its layers, and its nodes by name. The graph must stay as it is from the first look at a node on.

    Attributes:
        graph: the model.
        layers: those to quantize, in graph order.
        left_alone: nodes that look like layers but stay float.
        better_float: layers that stay float unless the user wants otherwise, and why.
        tensors: inputs of nodes that are no layers, to be rounded because the user asks for it.
    """

    graph: ir.Model
    layers: tuple[Layer, ...]
    left_alone: tuple[LeftAlone, ...] = ()
    tensors: tuple[TensorInput, ...] = ()
    better_float: tuple[LeftAlone, ...] = ()

    @cached_property
    def _nodes(self) -> dict[str | None, ir.Node]:
        return {node.name: node for node in self.graph.graph}

    @cached_property
    def _layers(self) -> dict[str, Layer]:
        return {layer.name: layer for layer in self.layers}

    def node(self, name: str) -> ir.Node:
        """Return the node of that name, whether it is a layer's or not."""
        return self._nodes[name]

    def layer(self, name: str) -> Layer:
        """Return the layer of that name."""
        return self._layers[name]

    def only(self, names: Container[str]) -> LayeredModel:
        """Return the model with those of its layers that are named, and no tensors."""
        return LayeredModel(self.graph, tuple(layer for layer in self.layers if layer.name in names), self.left_alone)

    def with_tensors(self, tensors: tuple[TensorInput, ...]) -> LayeredModel:
        """Return the model with these inputs of other nodes to be rounded."""
        return replace(self, tensors=tensors)

    def on(self, graph: ir.Model) -> LayeredModel:
        """Return another graph with the same layers: a copy, one at another opset, or a part of this one."""
        return replace(self, graph=graph)


def find_layers(model: ir.Model, limits: Limits) -> LayeredModel:
    """Return the layers of a prepared model that a target can hold, and the nodes left alone, in graph order."""
    layers: list[Layer] = []
    left: list[LeftAlone] = []
    better_float: list[LeftAlone] = []
    for node in model.graph:
        left += _inside(node)
        if node.op_type == "BatchNormalization" and node.domain == "":
            reason = why_not_folded(node)
            left.append(LeftAlone(node.name or "", node.op_type, say("it is not folded: {reason}", reason=reason)))
        if _by_onnxruntime(node):
            left.append(LeftAlone(node.name or "", node.op_type, _reason_of_domain(node)))
        operator = operator_of(node)
        if operator is not None:
            reason = _why_left(node, operator, limits)
        elif node.domain == "" and node.op_type in _POINTLESS:
            reason = say("{op_type} is not quantized", op_type=node.op_type)
        else:
            continue
        if operator is None or reason is not None:
            left.append(LeftAlone(node.name or "", node.op_type, reason or ""))
        else:
            layers.append(_layer(node, operator, limits))
            decoding = why_decoding(node)
            if decoding is not None:
                better_float.append(LeftAlone(node.name or "", node.op_type, decoding))
    return LayeredModel(model, tuple(layers), tuple(left), better_float=tuple(better_float))


def why_not_spread(node: ir.Node, limits: Limits) -> str | None:
    """Return why a node is no layer over one axis that can be made one over two; None where it is."""
    operator = operator_of(node)
    if operator is None or operator.op_type not in limits.over_two_axes:
        return f"{node.op_type} is not spread"
    reason = _refusal(node, operator, limits)
    return reason if reason is not None or operator.spatial(node) == 1 else "it is over two axes already"


def require_layers(model: LayeredModel) -> None:
    """Raise a ModelError that lists the reasons when nothing can be quantized."""
    if model.layers:
        return
    listed = "; ".join(f"{item.name} ({item.op_type}): {item.reason}" for item in model.left_alone[:5])
    inside = any(item.reason.startswith(_INSIDE_IF) for item in model.left_alone)
    way_out = " Where an input decides which body runs, fix it: dataset.constants={INPUT: VALUE}." if inside else ""
    raise ModelError(
        f"model.path: no layer can be quantized; expected a {_alternatives(weighted=True)} with constant float32 weights, or "
        f"an {_alternatives(weighted=False)}. "
        + (f"Left alone: {listed}." if listed else "The model has no such node.")
        + way_out
    )


def _inside(node: ir.Node) -> list[LeftAlone]:
    """Return the candidates in the bodies of an If, Loop or Scan, at any depth."""
    return [
        LeftAlone(
            inner.name or "",
            inner.op_type,
            say("it stands inside the body of {op_type} '{name}'", op_type=node.op_type, name=node.name),
        )
        for attribute in node.attributes.values()
        for body in bodies(attribute)
        for inner in body.all_nodes()
        if (inner.domain == "" and inner.op_type in LAYER_TYPES) or _by_onnxruntime(inner)
    ]


def _by_onnxruntime(node: ir.Node) -> bool:
    return node.op_type in _WRITTEN_BY_ONNXRUNTIME.get(node.domain, ())


def _reason_of_domain(node: ir.Node) -> str:
    return say(
        "{domain}.{op_type} is no operator of ONNX but one that onnxruntime's optimizer writes; give the model as it was "
        "before it",
        domain=node.domain,
        op_type=node.op_type,
    )


def _alternatives(*, weighted: bool) -> str:
    *most, last = (name for name, operator in OPERATORS.items() if (operator.unweighted is None) == weighted)
    return " or ".join([*([", ".join(most)] if most else []), last])


def _why_left(node: ir.Node, operator: Operator, limits: Limits) -> str | None:
    if operator.op_type not in limits.operators:
        return say("the target has no {op_type} in int8", op_type=operator.op_type)
    reason = _refusal(node, operator, limits)
    if reason is None and operator.op_type in limits.over_two_axes and operator.spatial(node) == 1:
        return say("it goes over one axis, where the deploy format goes over two")
    return reason


def _refusal(node: ir.Node, operator: Operator, limits: Limits) -> str | None:
    if constant(node.inputs[0]) is not None:
        return operator.constant_data
    return (None if operator.unweighted else _weight_refusal(node, operator)) or operator.why_not(node, limits)


def _weight_refusal(node: ir.Node, operator: Operator) -> str | None:
    weight, value = constant(node.inputs[1]), node.inputs[1]
    if weight is None or value is None:
        return operator.computed_weight
    if weight.dtype != np.float32:
        return say("the weight is {dtype}, not float32", dtype=weight.dtype)
    if not weight.size:
        return _nothing_of(node, operator, weight)
    if len(value.uses()) > 1:
        return say("the weight is shared with other nodes: {nodes}", nodes=listed(_other_users(value, node)))
    return None


def _nothing_of(node: ir.Node, operator: Operator, weight: Array) -> str:
    """Return what a layer lacks whose weight has no values."""
    layout = operator.layout(node)
    no_matrix = layout.is_batch and 0 in weight.shape[:-2]
    shape = list(weight.shape)
    if no_matrix or not layout.channels(weight.shape):
        return say("it has no outputs: its weight has shape {shape}", shape=shape)
    return say("it sums nothing: its weight has shape {shape}", shape=shape)


def _layer(node: ir.Node, operator: Operator, limits: Limits) -> Layer:
    data, layout, spatial = node.inputs[0], operator.layout(node), operator.spatial(node)
    weight = None if operator.unweighted else node.inputs[1]
    bias = node.inputs[2] if operator.bias == "input" and len(node.inputs) > 2 else None
    array = constant(weight)
    assert data is not None and (weight is None) == (array is None)  # checked by _refusal
    return Layer(
        name=node.name or "",
        operator=operator,
        input=data.name or "",
        weight=None if weight is None else weight.name or "",
        bias=None if bias is None else bias.name,
        layout=layout,
        channels=1 if array is None else layout.channels(array.shape),
        per_channel=operator.op_type in limits.per_channel and not layout.is_batch,
        spatial=spatial,
        symmetric=limits.symmetric or spatial in limits.symmetric_over,
        largest_code=limits.largest_code,
    )


def _other_users(value: ir.Value, node: ir.Node) -> list[str]:
    return sorted({str(user.name) for user in value.consumers() if user is not node})[:3] or ["itself"]
