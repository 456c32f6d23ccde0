"""Second pass: what a source stores as integers becomes what a float model has, and what stands beside it is folded in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import onnx_ir as ir

from runner.convert.qdq.activations.pairs import carried_on
from runner.convert.qdq.annotated_graph import (
    AnnotatedGraph,
    Constants,
    FoldedBatchNorm,
    LayerSource,
    QuantizedConstant,
)
from runner.convert.qdq.nodes import is_layer
from runner.convert.qdq.replacing import replace_value
from runner.graph.batchnorm import batchnorm_affine, fold_batchnorm
from runner.graph.constants import free_of, make_constant, value_names
from runner.graph.finite_weights import require_finite_weights
from runner.graph.layers import find_layers
from runner.graph.limits import Limits
from runner.graph.one_axis import spread_over_two_axes, spread_weight
from runner.graph.plain_gemm import untranspose_gemm_weight


def materialize(graph: AnnotatedGraph, limits: Limits) -> AnnotatedGraph:
    """Return the graph with float initializers, BatchNormalization folded, Gemm untransposed, and the layers of it.

    Args:
        graph: surveyed.
        limits: what the target holds in int8.

    Raises:
        ModelError: a weight that is to be quantized is not finite.
    """
    model = graph.model
    _store_constants(model.graph, graph.constants)
    sources = _fold(model, graph.sources, limits)
    pairs = carried_on(graph.pairs, model.graph, graph.constants)
    found = find_layers(model, limits)
    weighted = [name for name, layer in sources.items() if layer.weight is not None]
    require_finite_weights(model, weighted, can_skip=False)
    return replace(graph, pairs=pairs, sources=sources, found=found)


def _store_constants(graph: ir.Graph, constants: Constants) -> None:
    """Make dequantized constants float initializers under the names their readers know; each layer gets its own."""
    taken = value_names(graph)
    for node in list(graph):
        for index, value in enumerate(node.inputs if is_layer(node) else ()):
            # One of its own, so that a weight that two layers share can be quantized in both.
            if value is not None and value in constants and index > 0:
                own = _stored(graph, value.name or f"{node.name}.constant", constants[value], taken)
                node.replace_input_with(index, own)
    for output, constant in constants.items():
        producer = output.producer()
        assert producer is not None  # a DequantizeLinear, or what reads one
        read = [usage.node for usage in output.uses()]
        # Who makes another such constant of it needs no value of it.
        wanted = output.is_graph_output() or any(not any(o in constants for o in node.outputs) for node in read)
        if wanted:
            name = output.name or f"{producer.name}.constant"
            replace_value(graph, output, _stored(graph, name, constant, taken), producer)


def _stored(graph: ir.Graph, name: str, constant: QuantizedConstant, taken: set[str | None]) -> ir.Value:
    """Add a constant's real values to a graph and return them."""
    value = make_constant(free_of(taken, name), constant.real)
    taken.add(value.name)
    graph.register_initializer(value)
    return value


def _fold(model: ir.Model, sources: Mapping[str, LayerSource], limits: Limits) -> dict[str, LayerSource]:
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
    for name in spread_over_two_axes(model, limits):
        folded[name] = _spread(folded[name])
    return folded


def _spread(source: LayerSource) -> LayerSource:
    """Return a layer over one axis as the layer over two that it was made."""
    weight = None if source.weight is None else source.weight.moved(spread_weight)
    return replace(source, weight=weight, window=None if source.window is None else spread_weight(source.window))
