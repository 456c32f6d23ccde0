"""Which nodes can be quantized, and for the others why not."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.constants import constant, float_attribute, integer_attribute

# Operators that the Ascend deploy format can hold in int8 as layers.
LAYER_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool")
_POINTLESS = ("GlobalAveragePool", "LSTM", "GRU", "RNN")


@dataclass(frozen=True, slots=True)
class Layer:
    """A quantizable node, by names; the graph itself stays where it is.

    Attributes:
        name: of the node.
        op_type: Conv, Gemm or MatMul.
        input: name of the activation it reads.
        weight: name of its weight initializer.
        bias: name of its bias initializer, or None.
        channel_axis: of the output channels, in the weight.
        output_axis: of the output channels, in the output.
        channels: number of output channels.
        per_channel: whether the deploy format takes one weight scale per channel (convolutions) or one in all.
    """

    name: str
    op_type: str
    input: str
    weight: str
    bias: str | None
    channel_axis: int
    output_axis: int
    channels: int
    per_channel: bool


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A node that looks like a layer but stays float, and why."""

    name: str
    op_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class FoundLayers:
    """What ``find_layers`` found, in graph order."""

    layers: tuple[Layer, ...]
    left_alone: tuple[LeftAlone, ...]

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


def find_layers(model: ir.Model) -> FoundLayers:
    """Return the layers of a prepared model and the nodes left alone, in graph order.

    Raises:
        ModelError: a weight or bias of a quantizable layer holds a value that is not finite.
    """
    layers: list[Layer] = []
    left: list[LeftAlone] = []
    for node in model.graph:
        if node.domain != "" or node.op_type not in LAYER_TYPES + _POINTLESS:
            continue
        reason = _refusal(node)
        if reason is not None:
            left.append(LeftAlone(node.name or "", node.op_type, reason))
            continue
        _check_finite(node)
        layers.append(_layer(node))
    return FoundLayers(tuple(layers), tuple(left))


def require_layers(found: FoundLayers) -> None:
    """Raise a ModelError that lists the reasons when nothing can be quantized."""
    if found.layers:
        return
    listed = "; ".join(f"{item.name} ({item.op_type}): {item.reason}" for item in found.left_alone[:5])
    raise ModelError(
        "model.path: no layer can be quantized; expected a Conv, Gemm or MatMul with constant float32 weights. "
        + (f"Left alone: {listed}." if listed else "The model has no such node.")
    )


def _refusal(node: ir.Node) -> str | None:
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return f"{node.op_type} is not quantized"
    weight, value = constant(node.inputs[1]), node.inputs[1]
    if weight is None or value is None:
        return "the weight is computed by the graph, not a constant"
    if weight.dtype != np.float32:
        return f"the weight is {weight.dtype}, not float32"
    if len(value.uses()) > 1:
        return "the weight is shared with other nodes: " + ", ".join(_other_users(value, node))
    if constant(node.inputs[0]) is not None:
        return "the data input is a constant"
    checks = {"Conv": _conv_refusal, "Gemm": _gemm_refusal, "MatMul": _matmul_refusal}
    return checks[node.op_type](node, weight.ndim)


def _conv_refusal(node: ir.Node, rank: int) -> str | None:
    if rank != 4:
        return f"a convolution over {rank - 2} axes is not quantized; only 2-D"
    if len(node.inputs) > 2 and node.inputs[2] is not None and constant(node.inputs[2]) is None:
        return "the bias is computed by the graph"
    return None


def _gemm_refusal(node: ir.Node, rank: int) -> str | None:
    if integer_attribute(node, "transA", 0):
        return "transA is 1"
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    if float_attribute(node, "alpha", 1.0) != 1.0 or (has_bias and float_attribute(node, "beta", 1.0) != 1.0):
        return "alpha or beta is not 1"
    if has_bias:
        bias = constant(node.inputs[2])
        if bias is None:
            return "the bias is computed by the graph"
        weight = constant(node.inputs[1])
        columns = 0 if weight is None else weight.shape[1]
        if bias.size not in (1, columns) or (bias.ndim == 2 and bias.shape[0] != 1):
            return f"the bias has shape {list(bias.shape)}, which is no vector over the {columns} outputs"
    return None


def _matmul_refusal(node: ir.Node, rank: int) -> str | None:
    return None if rank == 2 else f"the weight has {rank} axes, not 2"


def _check_finite(node: ir.Node) -> None:
    for value in node.inputs[1:]:
        array = constant(value)
        if array is not None and value is not None and not np.all(np.isfinite(np.asarray(array, np.float64))):
            bad = int(np.sum(~np.isfinite(np.asarray(array, np.float64))))
            raise ModelError(
                f"model.path: layer '{node.name}' has {bad} value(s) that are NaN or infinite in '{value.name}'; "
                "expected finite weights. Export the model again."
            )


def _layer(node: ir.Node) -> Layer:
    data, weight = node.inputs[0], node.inputs[1]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant(weight)
    assert data is not None and weight is not None and array is not None  # checked by _refusal
    is_conv = node.op_type == "Conv"
    channel_axis = 0 if is_conv else 1
    return Layer(
        name=node.name or "",
        op_type=node.op_type,
        input=data.name or "",
        weight=weight.name or "",
        bias=None if bias is None else bias.name,
        channel_axis=channel_axis,
        output_axis=-1 if node.op_type == "MatMul" else 1,
        channels=array.shape[channel_axis],
        per_channel=is_conv,
    )


def _other_users(value: ir.Value, node: ir.Node) -> list[str]:
    return sorted({str(user.name) for user in value.consumers() if user is not node})[:3] or ["itself"]
