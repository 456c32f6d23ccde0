"""Third pass: each layer's and tensor's integers and scales, or the reason why it stays float."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from runner.convert.qdq.activations.tensors import rounded_adds, rounded_outputs
from runner.convert.qdq.annotated_graph import AnnotatedGraph
from runner.convert.qdq.constants.uses import annotate_constants
from runner.convert.qdq.layers.layer import convert_layer
from runner.convert.qdq.refusals import refuse_unconverted
from runner.convert.qdq.report import LayerConversion, NodeUse
from runner.record import QuantizedLayer, QuantizedLayers


def convert(graph: AnnotatedGraph, *, refuse_asymmetric: bool, progress: Callable[[int, int], None]) -> AnnotatedGraph:
    """Return the graph with what a record holds of its layers and tensors; its constants are annotated.

    Raises:
        ModelError: no layer can be taken over.
    """
    layers: dict[str, QuantizedLayer] = {}
    conversions: list[LayerConversion] = []
    for place, layer in enumerate(graph.found.layers):
        progress(place, graph.steps)
        quantized, conversion = convert_layer(layer, graph.sources[layer.name], refuse_asymmetric=refuse_asymmetric)
        conversions.append(conversion)
        if quantized is not None:
            layers[layer.name] = quantized
    for left in graph.found.left_alone:
        source = graph.sources.get(left.name)
        if source is not None and (source.weight or source.window) is not None:
            told = LayerConversion(left.name, left.op_type, "float", reason=left.reason)
            conversions.append(replace(told, looked_through=source.looked_through))
    refuse_unconverted(graph, layers, conversions)
    outputs = rounded_outputs(graph.model.graph, graph.pairs)
    adds = rounded_adds(graph.model.graph, graph.pairs)
    users: dict[str, NodeUse] = {**dict.fromkeys(adds, "tensor"), **dict.fromkeys(outputs, "output")}
    users |= dict.fromkeys(layers, "layer")
    form = QuantizedLayers(layers, {**adds, **outputs})
    converted = replace(graph, form=form, conversions=tuple(conversions), users=users)
    return replace(converted, annotations=annotate_constants(graph.constant_uses, converted.floats))
