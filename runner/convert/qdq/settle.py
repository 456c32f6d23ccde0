"""Note what a source says of its constants, then make them what a float model has: plain initializers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from runner.convert.averages import window_ones
from runner.convert.qdq.bias import bias_source
from runner.convert.qdq.bypass import take_over
from runner.convert.qdq.constant import QuantizedConstant, quantized_constant
from runner.convert.qdq.layer import FoldedBatchNorm, LayerSource
from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.convert.qdq.pattern import Pair, nearest_pair
from runner.convert.qdq.report import Role
from runner.graph.batchnorm import batchnorm_affine, fold_batchnorm
from runner.graph.constants import add_initializer, constant, integer_attribute
from runner.graph.layers import LAYER_TYPES
from runner.graph.one_axis import spread_over_two_axes, spread_weight
from runner.graph.plain_gemm import untranspose_gemm_weight
from runner.graph.weight_layout import output_channels


@dataclass(frozen=True, slots=True, eq=False)
class ConstantUse:
    """A dequantized constant, the node that reads it, and its role there; None where that node is no layer."""

    constant: QuantizedConstant
    user: str
    role: Role | None


def is_layer(node: ir.Node) -> bool:
    """Return whether a node is of a type that a record can hold as a layer."""
    return node.op_type in LAYER_TYPES and node.domain == ""


def layer_source(node: ir.Node, pairs: dict[ir.Node, Pair]) -> LayerSource:
    """Return what the graph says about a layer, before constants are settled."""
    pair = nearest_pair(node.inputs[0], pairs)
    if node.op_type == "AveragePool":
        return LayerSource(pair, None, None, window_ones(node))
    weight = quantized_constant(node.inputs[1])
    if weight is not None and node.op_type == "Gemm" and integer_attribute(node, "transB", 0):
        weight = weight.moved(np.transpose)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    stored, plain = quantized_constant(value), constant(value)
    bias = None
    if weight is not None and (stored is not None or plain is not None):
        channels = output_channels(weight.integers.shape, node.op_type, integer_attribute(node, "group", 1))
        values = plain if stored is None else stored.real
        # A shape that no layer takes is refused by find_layers; here it must only not break the survey.
        if values is not None and values.size in (1, channels):
            bias = bias_source(values, stored, channels)
    return LayerSource(pair, weight, bias)


def constant_uses(graph: ir.Graph) -> list[ConstantUse]:
    """Return every reading of a dequantized constant, in graph order."""
    roles: dict[int, Role] = {1: "weight", 2: "bias"}
    uses = []
    for node in graph:
        # A Transpose or Reshape of a constant passes it on; what counts is who reads it then.
        passes_on = is_quantize(node) or any(quantized_constant(output) is not None for output in node.outputs)
        for index, value in enumerate(() if passes_on else node.inputs):
            stored = quantized_constant(value)
            if stored is not None:
                uses.append(ConstantUse(stored, node.name or "", roles.get(index) if is_layer(node) else None))
    return uses


def settle_constants(graph: ir.Graph) -> None:
    """Make dequantized constants float initializers under the names their readers know; each layer gets its own."""
    for node in list(graph):
        for index, value in enumerate(node.inputs if is_layer(node) else ()):
            stored = quantized_constant(value)
            # One of its own, so that a weight that two layers share can be quantized in both.
            if value is not None and stored is not None and index > 0:
                name = value.name or f"{node.name}.constant"
                node.replace_input_with(index, add_initializer(graph, name, stored.real))
    for node in list(graph):
        output = node.outputs[0] if node.outputs else None
        stored = quantized_constant(output) if is_dequantize(node) else None
        if stored is not None and output is not None and (output.uses() or output.is_graph_output()):
            take_over(graph, output, add_initializer(graph, output.name or f"{node.name}.constant", stored.real), node)


def fold(model: ir.Model, sources: Mapping[str, LayerSource]) -> dict[str, LayerSource]:
    """Fold BatchNormalization, untranspose Gemm and spread layers over one axis; return the sources changed alike."""
    affines = {}
    for node in model.graph:
        if node.op_type != "BatchNormalization" or node.inputs[0] is None:
            continue
        conv, affine = node.inputs[0].producer(), batchnorm_affine(node)
        if conv is not None and affine is not None:
            affines[node.name or ""] = (conv.name or "", affine)
    folded = dict(sources)
    for name in fold_batchnorm(model):
        conv_name, affine = affines[name]
        folded[conv_name] = replace(folded[conv_name], batchnorm=FoldedBatchNorm(name, affine))
    for node in model.graph:
        if node.op_type == "Gemm":
            untranspose_gemm_weight(model.graph, node)
    for name in spread_over_two_axes(model):
        folded[name] = _spread(folded[name])
    return folded


def _spread(source: LayerSource) -> LayerSource:
    """Return a layer over one axis as the layer over two that it was made."""
    weight = None if source.weight is None else source.weight.moved(spread_weight)
    return replace(source, weight=weight, window=None if source.window is None else spread_weight(source.window))
