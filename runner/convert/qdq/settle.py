"""Note what a source says of its constants, then make them what a float model has: plain initializers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import onnx_ir as ir

from runner.convert.qdq.bias import bias_source
from runner.convert.qdq.bypass import take_over
from runner.convert.qdq.constant import Constants, QuantizedConstant
from runner.convert.qdq.layer import FoldedBatchNorm, LayerSource
from runner.convert.qdq.pattern import Pairs
from runner.convert.qdq.report import Role
from runner.graph.batchnorm import batchnorm_affine, fold_batchnorm
from runner.graph.constants import constant, free_of, integer_attribute, make_constant, value_names
from runner.graph.one_axis import spread_over_two_axes, spread_weight
from runner.graph.operators import layout_of, operator_of
from runner.graph.plain_gemm import untranspose_gemm_weight


@dataclass(frozen=True, slots=True, eq=False)
class ConstantUse:
    """A dequantized constant, the node that reads it, and its role there; None where that node is no layer."""

    constant: QuantizedConstant
    user: str
    role: Role | None


def is_layer(node: ir.Node) -> bool:
    """Return whether a node is of a type that a record can hold as a layer."""
    return operator_of(node) is not None


def layer_source(node: ir.Node, pairs: Pairs, constants: Constants) -> LayerSource:
    """Return what the graph says about a layer, before constants are settled."""
    pair, operator = pairs.nearest(node.inputs[0]), operator_of(node)
    if operator is not None and operator.unweighted is not None:
        return LayerSource(pair, None, None, operator.unweighted.ones(node))
    weight = held = _held(node.inputs[1], constants)
    if weight is not None and node.op_type == "Gemm" and integer_attribute(node, "transB", 0):
        weight = weight.moved(np.transpose)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    stored, plain = _held(value, constants), constant(value)
    bias = None
    if held is not None and (stored is not None or plain is not None):
        channels = layout_of(node).channels(held.integers.shape)
        values = plain if stored is None else stored.real
        # A shape that no layer takes is refused by find_layers; here it must only not break the survey.
        if values is not None and values.size in (1, channels):
            whole = None if stored is None or stored.off_grid is not None else stored
            bias = bias_source(values, whole, channels)
    return LayerSource(pair, weight, bias)


def constant_uses(graph: ir.Graph, constants: Constants) -> list[ConstantUse]:
    """Return every reading of a dequantized constant, in graph order."""
    roles: dict[int, Role] = {1: "weight", 2: "bias"}
    made = {node for stored in constants.values() for node in stored.nodes}
    uses = []
    for node in graph:
        # What moves or scales a constant passes it on; what counts is who reads it then.
        passes_on = node in made or any(output in constants for output in node.outputs)
        for index, value in enumerate(() if passes_on else node.inputs):
            if value is not None and value in constants:
                role = roles.get(index) if is_layer(node) else None
                uses.append(ConstantUse(constants[value], node.name or "", role))
    return uses


def settle_constants(graph: ir.Graph, constants: Constants) -> None:
    """Make dequantized constants float initializers under the names their readers know; each layer gets its own."""
    taken = value_names(graph)
    for node in list(graph):
        for index, value in enumerate(node.inputs if is_layer(node) else ()):
            # One of its own, so that a weight that two layers share can be quantized in both.
            if value is not None and value in constants and index > 0:
                own = _settled(graph, value.name or f"{node.name}.constant", constants[value], taken)
                node.replace_input_with(index, own)
    for output, stored in constants.items():
        producer = output.producer()
        assert producer is not None  # a DequantizeLinear, or what reads one
        read = [usage.node for usage in output.uses()]
        # Who makes another such constant of it needs no value of it.
        wanted = output.is_graph_output() or any(not any(o in constants for o in node.outputs) for node in read)
        if wanted:
            name = output.name or f"{producer.name}.constant"
            take_over(graph, output, _settled(graph, name, stored, taken), producer)


def _held(value: ir.Value | None, constants: Constants) -> QuantizedConstant | None:
    return None if value is None else constants.get(value)


def _settled(graph: ir.Graph, name: str, stored: QuantizedConstant, taken: set[str | None]) -> ir.Value:
    """Add a constant's real values to a graph and return them."""
    value = make_constant(free_of(taken, name), stored.real)
    taken.add(value.name)
    graph.register_initializer(value)
    return value


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
