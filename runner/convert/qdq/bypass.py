"""Fourth pass: float operators read the values before the pairs, and of these no more than their saturation is left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from onnx_ir.passes import common as passes

from runner.convert.qdq.activations.detour import bypass_output, bypass_pair
from runner.convert.qdq.activations.readings import read_pairs
from runner.convert.qdq.annotated_graph import AnnotatedGraph
from runner.convert.qdq.refusals import refuse_bodies
from runner.graph.constants import Names


def bypass(graph: AnnotatedGraph, *, progress: Callable[[int, int], None]) -> AnnotatedGraph:
    """Return the graph without QuantizeLinear and DequantizeLinear, all of which are annotated.

    Raises:
        ModelError: some stand inside the body of an If, Loop or Scan.
    """
    model = graph.model
    # Who reads a pair can only be seen while all of them stand.
    readings = read_pairs(graph)
    names = Names.of(model.graph)
    for place, reading in enumerate(readings, start=len(graph.found.layers) + 1):
        progress(place, graph.steps)
        bypass_pair(model, reading.pair, limit=reading.limit, names=names)
    annotations = [annotation for reading in readings for annotation in reading.annotations(graph.users)]
    annotations += [told for node in graph.nodes if (told := bypass_output(model.graph, node)) is not None]
    passes.RemoveUnusedNodesPass()(model)
    refuse_bodies(model)
    if not any(node.domain == "com.microsoft" for node in model.graph.all_nodes()):
        model.opset_imports.pop("com.microsoft", None)
    return replace(graph, annotations=(*graph.annotations, *annotations))
