"""Second pass: what a source stores as integers becomes what a float model has, and what stands beside it is folded in."""

from __future__ import annotations

from dataclasses import replace

from runner.convert.qdq.activations.pairs import carried_on
from runner.convert.qdq.annotated_graph import AnnotatedGraph
from runner.convert.qdq.constants.initializers import store_constants
from runner.convert.qdq.layers.folded import fold
from runner.graph.finite_weights import require_finite_weights
from runner.graph.layers import find_layers


def materialize(graph: AnnotatedGraph) -> AnnotatedGraph:
    """Return the graph with float initializers, BatchNormalization folded, Gemm untransposed, and the layers of it.

    Raises:
        ModelError: a weight that is to be quantized is not finite.
    """
    model = graph.model
    store_constants(model.graph, graph.constants)
    sources = fold(model, graph.sources)
    pairs = carried_on(graph.pairs, model.graph, graph.constants)
    found = find_layers(model)
    weighted = [name for name, layer in sources.items() if layer.weight is not None]
    require_finite_weights(model, weighted, can_skip=False)
    return replace(graph, pairs=pairs, sources=sources, found=found)
