"""Which nodes can be quantized, and for the others why not."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from runner.errors import ModelError
from runner.graph.batchnorm_before import why_not_folded
from runner.graph.constants import (
    Array,
    bodies,
    constant,
    float_attribute,
    integer_attribute,
    integer_attributes,
    string_attribute,
)
from runner.graph.tensors import TensorInput
from runner.graph.weight_layout import output_channels

# Operators that the Ascend deploy format can hold in int8 as layers.
LAYER_TYPES = ("Conv", "ConvTranspose", "Gemm", "MatMul", "AveragePool")
_OVER_TWO_AXES_ONLY = ("ConvTranspose", "AveragePool")
_LARGEST_BATCH_NDIM = 3
_POINTLESS = ("GlobalAveragePool", "LSTM", "GRU", "RNN", "Einsum")
_INSIDE = "it stands inside the body of {}"
_CONSTANT_FIRST = (
    "the first input is a constant; only a constant second one is a weight. W @ x would take a Transpose of the data before "
    "the layer and one behind; export it as x @ W where that is wanted"
)
_CUTS = (
    "its strides are longer than its window, so that its auto_pad would cut the image instead of padding it, and ONNX does "
    "not say where. Export it with pads"
)
# Places that SAME may cut off, and yet a window starts where the image does, in onnxruntime as everywhere.
_HARMLESS_CUT = {"Conv": 2, "AveragePool": 1}
# What onnxruntime's optimizer makes of layers, by its domain; in two of them it writes the standard operators anew.
_WRITTEN_BY_ONNXRUNTIME = {
    "com.microsoft": (
        *("FusedConv", "FusedGemm", "FusedMatMul", "FusedMatMulActivation", "TransposeMatMul", "NhwcFusedConv"),
        *("Attention", "PackedAttention"),
    ),
    "com.microsoft.nchwc": (*LAYER_TYPES, "GlobalAveragePool"),
    "com.ms.internal.nhwc": (*LAYER_TYPES, "GlobalAveragePool"),
}
_BEFORE_ONNXRUNTIME = (
    "{domain}.{op_type} is no operator of ONNX but one that onnxruntime's optimizer writes; give the model as it was before "
    "it"
)
_VARIABLES = "both inputs are computed: a product of two variables is not quantized"


@dataclass(frozen=True, slots=True)
class Layer:
    """A quantizable node, by names; the graph itself stays where it is.

    Attributes:
        name: of the node.
        op_type: Conv, ConvTranspose, Gemm, MatMul or AveragePool.
        input: name of the activation it reads.
        weight: name of its weight initializer; None for AveragePool.
        bias: name of its bias initializer, or None.
        channel_axis: of the output channels, in the weight (for ConvTranspose those of one group).
        output_axis: of the output channels, in the output.
        channels: number of output channels; 1 for AveragePool, which treats all alike.
        per_channel: whether the deploy format takes one weight scale per channel (convolutions) or one in all.
        group: of a convolution; 1 elsewhere.
        spatial: number of axes behind the channels in its input and output; 0 for Gemm and MatMul.
        symmetric: whether the deploy format takes only zero point 0 for its input (convolutions over three axes).
    """

    name: str
    op_type: str
    input: str
    weight: str | None
    bias: str | None
    channel_axis: int
    output_axis: int
    channels: int
    per_channel: bool
    group: int = 1
    spatial: int = 0
    symmetric: bool = False


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A node that looks like a layer but stays float, and why."""

    name: str
    op_type: str
    reason: str


@dataclass(frozen=True, slots=True)
class FoundLayers:
    """What ``find_layers`` found, in graph order.

    Attributes:
        tensors: inputs of nodes that are no layers, to be rounded; not found but asked for.
    """

    layers: tuple[Layer, ...]
    left_alone: tuple[LeftAlone, ...]
    tensors: tuple[TensorInput, ...] = ()

    def __getitem__(self, name: str) -> Layer:
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise KeyError(name)


def find_layers(model: ir.Model) -> FoundLayers:
    """Return the layers of a prepared model and the nodes left alone, in graph order."""
    layers: list[Layer] = []
    left: list[LeftAlone] = []
    for node in model.graph:
        left += _inside(node)
        if node.op_type == "BatchNormalization" and node.domain == "":
            reason = why_not_folded(node)
            left.append(LeftAlone(node.name or "", node.op_type, f"it is not folded: {reason}"))
        if _by_onnxruntime(node):
            left.append(LeftAlone(node.name or "", node.op_type, _reason_of_domain(node)))
        if node.domain != "" or node.op_type not in LAYER_TYPES + _POINTLESS:
            continue
        reason = _left_reason(node)
        if reason is not None:
            left.append(LeftAlone(node.name or "", node.op_type, reason))
            continue
        layers.append(_layer(node))
    return FoundLayers(tuple(layers), tuple(left))


def why_not_spread(node: ir.Node) -> str | None:
    """Return why a node is no layer over one axis that can be made one over two; None where it is.

    The deploy format has a convolution over one axis, but neither a transposed one nor an average.
    """
    if node.op_type not in _OVER_TWO_AXES_ONLY:
        return f"{node.op_type} is not spread"
    reason = _refusal(node)
    return reason if reason is not None or _axes(node) == 1 else "it is over two axes already"


def require_layers(found: FoundLayers) -> None:
    """Raise a ModelError that lists the reasons when nothing can be quantized."""
    if found.layers:
        return
    listed = "; ".join(f"{item.name} ({item.op_type}): {item.reason}" for item in found.left_alone[:5])
    inside = any(item.reason.startswith(_INSIDE.format("If")) for item in found.left_alone)
    way_out = " Where an input decides which body runs, fix it: dataset.constants={INPUT: VALUE}." if inside else ""
    raise ModelError(
        "model.path: no layer can be quantized; expected a Conv, ConvTranspose, Gemm or MatMul with constant float32 "
        "weights, or an AveragePool. "
        + (f"Left alone: {listed}." if listed else "The model has no such node.")
        + way_out
    )


def _inside(node: ir.Node) -> list[LeftAlone]:
    """Return the candidates in the bodies of an If, Loop or Scan, at any depth."""
    return [
        LeftAlone(inner.name or "", inner.op_type, f"{_INSIDE.format(node.op_type)} '{node.name}'")
        for attribute in node.attributes.values()
        for body in bodies(attribute)
        for inner in body.all_nodes()
        if (inner.domain == "" and inner.op_type in LAYER_TYPES) or _by_onnxruntime(inner)
    ]


def _by_onnxruntime(node: ir.Node) -> bool:
    return node.op_type in _WRITTEN_BY_ONNXRUNTIME.get(node.domain, ())


def _reason_of_domain(node: ir.Node) -> str:
    return _BEFORE_ONNXRUNTIME.format(domain=node.domain, op_type=node.op_type)


def _left_reason(node: ir.Node) -> str | None:
    if node.op_type not in LAYER_TYPES:
        return f"{node.op_type} is not quantized"
    reason = _refusal(node)
    if reason is None and node.op_type in _OVER_TWO_AXES_ONLY and _axes(node) == 1:
        return "it goes over one axis, where the deploy format goes over two"
    return reason


def _refusal(node: ir.Node) -> str | None:
    if constant(node.inputs[0]) is not None:
        return _CONSTANT_FIRST if node.op_type == "MatMul" else "the data input is a constant"
    if node.op_type == "AveragePool":
        return _pool_refusal(node)
    weight, value = constant(node.inputs[1]), node.inputs[1]
    if weight is None or value is None:
        return _VARIABLES if node.op_type == "MatMul" else "the weight is computed by the graph, not a constant"
    if weight.dtype != np.float32:
        return f"the weight is {weight.dtype}, not float32"
    if not weight.size:
        return _nothing_of(node, weight)
    if len(value.uses()) > 1:
        return "the weight is shared with other nodes: " + ", ".join(_other_users(value, node))
    checks: Mapping[str, Callable[[ir.Node, Array], str | None]] = {
        "Conv": _conv_refusal,
        "ConvTranspose": _transposed_refusal,
        "Gemm": _gemm_refusal,
        "MatMul": _matmul_refusal,
    }
    return checks[node.op_type](node, weight)


def _nothing_of(node: ir.Node, weight: Array) -> str:
    """Return what a layer lacks whose weight has no values."""
    group = integer_attribute(node, "group", 1)
    transposed = node.op_type == "Gemm" and integer_attribute(node, "transB", 0)
    outputs = weight.shape[0] if transposed else output_channels(weight.shape, node.op_type, group)
    shape = f"its weight has shape {list(weight.shape)}"
    no_matrix = node.op_type == "MatMul" and 0 in weight.shape[:-2]
    return f"it has no outputs: {shape}" if not outputs or no_matrix else f"it sums nothing: {shape}"


def same_cuts(node: ir.Node, kernel: Sequence[int]) -> bool:
    """Return whether ``auto_pad`` SAME may cut places off the beginning of the image of a Conv or AveragePool.

    Strides that are longer than the window leave places over, as many as the difference at most. The first of them come off
    the end, where no window looks.
    """
    if not string_attribute(node, "auto_pad", "NOTSET").startswith("SAME"):
        return False
    axes = len(kernel)
    strides, dilations = (integer_attributes(node, key, [1] * axes) for key in ("strides", "dilations"))
    sizes = _sizes(node.inputs[0])[2:]
    for axis, (stride, dilation, places) in enumerate(zip(strides, dilations, kernel, strict=True)):
        left_over = stride - dilation * (places - 1) - 1
        size = sizes[axis] if axis < len(sizes) else None
        if isinstance(size, int):
            left_over += size - -(-size // stride) * stride
        if left_over > _HARMLESS_CUT[node.op_type]:
            return True
    return False


def _axes(node: ir.Node) -> int:
    """Return how many axes a convolution or average goes over."""
    weight = None if node.op_type == "AveragePool" else constant(node.inputs[1])
    return len(integer_attributes(node, "kernel_shape", [])) if weight is None else weight.ndim - 2


def _sizes(value: ir.Value | None) -> Sequence[int | ir.SymbolicDim]:
    """Return the sizes of a value, () where not even their number is known."""
    return () if value is None or value.shape is None else value.shape.dims


def _conv_refusal(node: ir.Node, weight: Array) -> str | None:
    axes = weight.ndim - 2
    if axes not in (1, 2, 3):
        return f"a convolution over {axes} axes is not quantized; only over 1, 2 or 3"
    if axes == 3 and integer_attributes(node, "dilations", [1, 1, 1])[0] != 1:
        return "a convolution over 3 axes is quantized only with a dilation of 1 along the first"
    if same_cuts(node, weight.shape[2:]):
        return _CUTS
    return _bias_refusal(node)


def _transposed_refusal(node: ir.Node, weight: Array) -> str | None:
    axes = weight.ndim - 2
    if axes not in (1, 2):
        return f"a transposed convolution over {axes} axes is not quantized; only over 1 or 2"
    if any(dilation != 1 for dilation in integer_attributes(node, "dilations", [1] * axes)):
        return "a transposed convolution is quantized only with dilations of 1"
    sizes, wanted = _sizes(node.inputs[0])[2:], integer_attributes(node, "output_shape", [])[-axes:]
    if any(isinstance(size, int) and size > made for size, made in zip(sizes, wanted, strict=False)):
        # onnx's shape inference gives such an output two axes only, and whatever follows it is refused.
        return f"its output_shape {wanted} is smaller than its input, and onnxruntime takes no operator behind such an output"
    return _bias_refusal(node)


def _bias_refusal(node: ir.Node) -> str | None:
    if len(node.inputs) > 2 and node.inputs[2] is not None and constant(node.inputs[2]) is None:
        return "the bias is computed by the graph"
    return None


def _pool_refusal(node: ir.Node) -> str | None:
    kernel = integer_attributes(node, "kernel_shape", [])
    axes = len(kernel)
    if axes not in (1, 2):
        return f"an average over {axes} axes is not quantized; only over 1 or 2"
    strides, dilations = (integer_attributes(node, key, [1] * axes) for key in ("strides", "dilations"))
    if any(dilation != 1 for dilation in dilations):
        return "an average with dilations is not quantized: the opsets that the deploy format knows have none"
    if same_cuts(node, kernel):
        return _CUTS
    ends = integer_attributes(node, "pads", [0] * 2 * axes)[axes:]
    beyond = any(s + end > places for s, end, places in zip(strides, ends, kernel, strict=True))
    if integer_attribute(node, "ceil_mode", 0) and beyond:
        # ONNX drops such a window, and onnxruntime's shape inference does not.
        return "with its ceil_mode a window could lie in the padding alone"
    return None


def _gemm_refusal(node: ir.Node, weight: Array) -> str | None:
    if integer_attribute(node, "transA", 0):
        return "transA is 1"
    has_bias = len(node.inputs) > 2 and node.inputs[2] is not None
    if float_attribute(node, "alpha", 1.0) != 1.0 or (has_bias and float_attribute(node, "beta", 1.0) != 1.0):
        return "alpha or beta is not 1"
    if has_bias:
        bias = constant(node.inputs[2])
        if bias is None:
            return "the bias is computed by the graph"
        columns = weight.shape[0 if integer_attribute(node, "transB", 0) else 1]
        if bias.size not in (1, columns) or (bias.ndim == 2 and bias.shape[0] != 1):
            return f"the bias has shape {list(bias.shape)}, which is no vector over the {columns} outputs"
    return None


def _matmul_refusal(node: ir.Node, weight: Array) -> str | None:
    if weight.ndim == 1:
        return "the weight is a vector: a product with one output has nothing to gain"
    # A batch of matrices has one scale in all, like a single one.
    if weight.ndim > _LARGEST_BATCH_NDIM:
        return f"the weight has {weight.ndim} axes, not 2 or 3"
    if weight.ndim == _LARGEST_BATCH_NDIM and len(_sizes(node.inputs[0])) == 1:
        return "a vector times a batch of matrices is not quantized"
    return None


def _layer(node: ir.Node) -> Layer:
    data = node.inputs[0]
    assert data is not None  # checked by _refusal
    name, read = node.name or "", data.name or ""
    if node.op_type == "AveragePool":
        return Layer(name, "AveragePool", read, None, None, 0, 1, channels=1, per_channel=False, spatial=2)
    weight = node.inputs[1]
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    array = constant(weight)
    assert weight is not None and array is not None  # checked by _refusal
    convolution = node.op_type in ("Conv", "ConvTranspose")
    spatial = array.ndim - 2 if convolution else 0
    group = integer_attribute(node, "group", 1) if convolution else 1
    return Layer(
        name=name,
        op_type=node.op_type,
        input=read,
        weight=weight.name or "",
        bias=None if bias is None else bias.name,
        channel_axis={"Conv": 0, "MatMul": array.ndim - 1}.get(node.op_type, 1),
        output_axis=-1 if node.op_type == "MatMul" else 1,
        channels=output_channels(array.shape, node.op_type, group),
        per_channel=convolution,
        group=group,
        spatial=spatial,
        symmetric=spatial == 3,
    )


def _other_users(value: ir.Value, node: ir.Node) -> list[str]:
    return sorted({str(user.name) for user in value.consumers() if user is not node})[:3] or ["itself"]
