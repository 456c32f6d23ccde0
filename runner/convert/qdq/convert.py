"""Third pass: each layer's and tensor's integers and scales, or the reason why it stays float."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import onnx_ir as ir

from runner.convert.qdq.annotated_graph import AnnotatedGraph, Annotation, ConstantUse, Pairs
from runner.convert.qdq.layers.layer import convert_layer
from runner.convert.qdq.report import LayerConversion, NodeUse
from runner.errors import ModelError
from runner.graph.constants import Names
from runner.graph.layers import LAYER_TYPES
from runner.graph.other_quantizers import only_weights
from runner.record import QuantizedLayer, QuantizedLayers, TensorRecord
from runner.wording import say

_LISTED_REASONS = 5


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
    _refuse_unconverted(graph, layers, conversions)
    outputs = _rounded_outputs(graph.model.graph, graph.pairs)
    adds = _rounded_adds(graph.model.graph, graph.pairs)
    users: dict[str, NodeUse] = {**dict.fromkeys(adds, "tensor"), **dict.fromkeys(outputs, "output")}
    users |= dict.fromkeys(layers, "layer")
    form = QuantizedLayers(layers, {**adds, **outputs})
    converted = replace(graph, form=form, conversions=tuple(conversions), users=users)
    return replace(converted, annotations=_annotate_constants(graph.constant_uses, converted.floats))


def _rounded_adds(graph: ir.Graph, pairs: Pairs) -> dict[str, TensorRecord]:
    """Return an entry for each input of an Add that comes straight from an accepted pair."""
    tensors = {}
    for node in graph:
        for index, value in enumerate(node.inputs if node.op_type == "Add" and node.domain == "" else ()):
            entry = _straight_from_pair(value, pairs)
            if entry is not None:
                tensors[f"{node.name}:{index}"] = entry
    return tensors


def _rounded_outputs(graph: ir.Graph, pairs: Pairs) -> dict[str, TensorRecord]:
    """Return an entry for each model output that comes straight from an accepted pair; changes the graph.

    A tensor entry names a node and its input, so the output gets an Identity of its own, called ``<output>.output``.
    """
    tensors = {}
    names = Names.of(graph)
    for index, value in enumerate(graph.outputs):
        entry = _straight_from_pair(value, pairs)
        if entry is None:
            continue
        name = value.name
        output = ir.Value(name=name, type=value.type, shape=value.shape)
        graph.outputs[index] = output
        value.name = names.new_value(f"{name}.rounded")
        reader = names.new_node(f"{name}.output")
        graph.append(ir.node("Identity", [value], name=reader, outputs=[output]))
        tensors[f"{reader}:0"] = entry
    return tensors


def _straight_from_pair(value: ir.Value | None, pairs: Pairs) -> TensorRecord | None:
    producer = None if value is None else value.producer()
    pair = None if producer is None else pairs.of.get(producer)
    return None if pair is None or pair.params is None else TensorRecord(pair.params)


def _annotate_constants(uses: Iterable[ConstantUse], floats: Mapping[str, str]) -> tuple[Annotation, ...]:
    """Return what the nodes of each constant serve; ``floats`` says why layers stay float, by name."""
    return tuple(_annotation(use, floats.get(use.user)) for use in uses)


def _annotation(use: ConstantUse, why_float: str | None) -> Annotation:
    nodes = use.constant.nodes
    if use.role is None:
        return Annotation(nodes, say("a constant of '{user}'; its real value is kept", user=use.user))
    if why_float is not None:
        reason = say(
            "{role} of '{user}', which stays float: {why_float}; its real value is kept",
            role=use.role,
            user=use.user,
            why_float=why_float,
        )
        return Annotation(nodes, reason)
    return Annotation(nodes, use="layer", role=use.role, user=use.user)


def _refuse_unconverted(graph: AnnotatedGraph, layers: Collection[str], conversions: Sequence[LayerConversion]) -> None:
    """Raise a ModelError where no layer is converted, with the reasons."""
    if layers:
        return
    reasons = [f"{c.name} ({c.op_type}): {c.reason}" for c in conversions]
    told = {c.name for c in conversions}
    reasons += [f"{i.name} ({i.op_type}): {i.reason}" for i in graph.found.left_alone if i.name not in told]
    listed = "; ".join(reasons[:_LISTED_REASONS]) or f"the model has no {', '.join(LAYER_TYPES)}"
    instead = ""
    if only_weights(graph.nodes) is not None:
        instead = " Its weights alone are quantized; give the float model that it was made from, with mode=acc_auto."
    raise ModelError(
        f"model.path: no layer of the quantization-aware-trained model can be taken over: {listed}.{instead}"
    )
