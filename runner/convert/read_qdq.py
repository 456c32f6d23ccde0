"""Quantization-aware-trained model (QuantizeLinear / DequantizeLinear) -> float model and its quantized form, exactly.

survey     what rounds each layer's input, and the integers of its weight and bias, before anything is changed
settle     dequantized constants become float initializers; BatchNormalization is folded; Gemm is untransposed
convert    each layer's integers and scales, or the reason why it stays float
bypass     the float operators read the values before the remaining pairs; every node is accounted for
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.qdq_account import Ledger, readers, source_nodes
from runner.convert.qdq_bias import bias_source
from runner.convert.qdq_bypass import bypass, starts_at_zero, take_over
from runner.convert.qdq_layer import FoldedBatchNorm, LayerSource, convert_layer
from runner.convert.qdq_normalise import normalise, refuse_foreign
from runner.convert.qdq_pattern import (
    Pair,
    QuantizedConstant,
    code_clip,
    find_pairs,
    is_dequantize,
    is_quantize,
    nearest_pair,
    quantized_constant,
)
from runner.convert.qdq_report import ConversionReport, LayerConversion, Role
from runner.errors import ModelError
from runner.graph.batchnorm import batchnorm_affine, fold_batchnorm
from runner.graph.constants import add_initializer, constant, integer_attribute
from runner.graph.layers import FoundLayers, find_layers
from runner.graph.prepare import untranspose_gemm_weight
from runner.record import QuantizedForm, QuantizedLayer, TensorRecord

# The version of this stage's meaning: raise it when the same source would give another form.
VERSION = 1

_LAYER_TYPES = ("Conv", "Gemm", "MatMul")
_LISTED_REASONS = 5


@dataclass(frozen=True, slots=True, eq=False)
class QatModel:
    """What a QAT source says, in the terms of both writers.

    Attributes:
        graph: the float model at the source's opset, without QuantizeLinear and DequantizeLinear. Weights hold
            ``fl32((q - zero_point) * scale)`` of the source.
        found: its layers.
        form: the integers and scales of those that are quantized, and the tensors rounded on their way into an Add.
        report: what became of every layer and every QuantizeLinear and DequantizeLinear.
    """

    graph: ir.Model
    found: FoundLayers
    form: QuantizedForm
    report: ConversionReport


def read_qdq(source: ir.Model, *, on_asymmetric_weight: Literal["requantize", "refuse"] = "requantize") -> QatModel:
    """Read a quantization-aware-trained model; the source is left as it is.

    Args:
        source: with QuantizeLinear / DequantizeLinear around float operators.
        on_asymmetric_weight: what to do with weights that no symmetric int8 can say: round the channels concerned again,
            or leave the layer float.

    Raises:
        ModelError: the model has no such operators, holds those of another quantizer, or no layer can be taken over.
    """
    refuse_foreign(source)
    model = normalise(source)
    graph = model.graph
    nodes = source_nodes(graph)
    pairs = find_pairs(graph)
    _refuse_integer_operators(nodes)
    sources = {node.name or "": _layer_source(node, pairs) for node in graph if _is_layer(node)}
    constants = _constant_users(graph)
    _settle_constants(graph)
    sources = _fold(model, sources)
    found = find_layers(model)
    layers, conversions = _convert_layers(found, sources, refuse_asymmetric=on_asymmetric_weight == "refuse")
    tensors = _rounded_adds(graph, pairs)
    if not layers:
        raise ModelError(_nothing_converted(conversions, found))
    floats = {c.name: c.reason or "" for c in conversions if c.status == "float"}
    ledger = Ledger()
    _account_constants(ledger, constants, floats)
    _drop_pairs(model, pairs, (layers, tensors), floats, ledger)
    _drop_lone_outputs(graph, nodes, pairs, ledger)
    passes.RemoveUnusedNodesPass()(model)
    _refuse_remaining(model)
    if not any(node.domain == "com.microsoft" for node in model.graph.all_nodes()):
        model.opset_imports.pop("com.microsoft", None)
    form = QuantizedForm(layers, tensors)
    return QatModel(model, find_layers(model), form, ConversionReport(conversions, ledger.accounts(nodes)))


def _is_layer(node: ir.Node) -> bool:
    return node.op_type in _LAYER_TYPES and node.domain == ""


def _layer_source(node: ir.Node, pairs: dict[ir.Node, Pair]) -> LayerSource:
    """Return what the graph says about a layer, before constants are settled."""
    weight = quantized_constant(node.inputs[1])
    if weight is not None and node.op_type == "Gemm" and integer_attribute(node, "transB", 0):
        weight = weight.moved(np.transpose)
    value = node.inputs[2] if len(node.inputs) > 2 else None
    stored, plain = quantized_constant(value), constant(value)
    bias = None
    if weight is not None and (stored is not None or plain is not None):
        channels = weight.integers.shape[0 if node.op_type == "Conv" else -1]
        values = plain if stored is None else stored.real
        # A shape that no layer takes is refused by find_layers; here it must only not break the survey.
        if values is not None and values.size in (1, channels):
            bias = bias_source(values, stored, channels)
    return LayerSource(nearest_pair(node.inputs[0], pairs), weight, bias, integer_attribute(node, "group", 1))


def _constant_users(graph: ir.Graph) -> list[tuple[QuantizedConstant, str, Role | None]]:
    """Return each dequantized constant that a node reads, with that node's name and the constant's role there."""
    roles: dict[int, Role] = {1: "weight", 2: "bias"}
    users: list[tuple[QuantizedConstant, str, Role | None]] = []
    for node in graph:
        # A Transpose or Reshape of a constant passes it on; what counts is who reads it then.
        passes_on = is_quantize(node) or any(quantized_constant(output) is not None for output in node.outputs)
        for index, value in enumerate(() if passes_on else node.inputs):
            stored = quantized_constant(value)
            if stored is not None:
                users.append((stored, node.name or "", roles.get(index) if _is_layer(node) else None))
    return users


def _settle_constants(graph: ir.Graph) -> None:
    """Make dequantized constants float initializers under the names their readers know; each layer gets its own."""
    for node in list(graph):
        for index, value in enumerate(node.inputs if _is_layer(node) else ()):
            stored = quantized_constant(value)
            # One of its own, so that a weight that two layers share can be quantized in both.
            if value is not None and stored is not None and index > 0:
                node.replace_input_with(index, add_initializer(graph, value.name or f"{node.name}.constant", stored.real))
    for node in list(graph):
        output = node.outputs[0] if node.outputs else None
        stored = quantized_constant(output) if is_dequantize(node) else None
        if stored is not None and output is not None and (output.uses() or output.is_graph_output()):
            take_over(graph, output, add_initializer(graph, output.name or f"{node.name}.constant", stored.real), node)


def _fold(model: ir.Model, sources: Mapping[str, LayerSource]) -> dict[str, LayerSource]:
    """Fold BatchNormalization and untranspose Gemm; return the sources with what was folded into each."""
    affines = {}
    for node in model.graph:
        conv = (
            node.inputs[0].producer() if node.op_type == "BatchNormalization" and node.inputs[0] is not None else None
        )
        affine = batchnorm_affine(node) if conv is not None else None
        if conv is not None and affine is not None:
            affines[node.name or ""] = (conv.name or "", affine)
    folded = dict(sources)
    for name in fold_batchnorm(model):
        conv_name, affine = affines[name]
        folded[conv_name] = replace(folded[conv_name], batchnorm=FoldedBatchNorm(name, affine))
    for node in model.graph:
        if node.op_type == "Gemm":
            untranspose_gemm_weight(model.graph, node)
    return folded


def _convert_layers(
    found: FoundLayers, sources: Mapping[str, LayerSource], *, refuse_asymmetric: bool
) -> tuple[dict[str, QuantizedLayer], tuple[LayerConversion, ...]]:
    layers, conversions = {}, []
    for layer in found.layers:
        quantized, conversion = convert_layer(layer, sources[layer.name], refuse_asymmetric=refuse_asymmetric)
        conversions.append(conversion)
        if quantized is not None:
            layers[layer.name] = quantized
    for item in found.left_alone:
        if item.name in sources and sources[item.name].weight is not None:
            conversions.append(LayerConversion(item.name, item.op_type, "float", reason=item.reason))
    return layers, tuple(conversions)


def _rounded_adds(graph: ir.Graph, pairs: Mapping[ir.Node, Pair]) -> dict[str, TensorRecord]:
    """Return an entry for each input of an Add that comes straight from an accepted pair."""
    tensors = {}
    for node in graph:
        for index, value in enumerate(node.inputs if node.op_type == "Add" and node.domain == "" else ()):
            producer = None if value is None else value.producer()
            pair = None if producer is None else pairs.get(producer)
            if pair is not None and pair.params is not None:
                tensors[f"{node.name}:{index}"] = TensorRecord(pair.params)
    return tensors


def _account_constants(
    ledger: Ledger, constants: list[tuple[QuantizedConstant, str, Role | None]], floats: Mapping[str, str]
) -> None:
    for stored, user, role in constants:
        if role is None:
            ledger.noted(stored.nodes, f"a constant of '{user}'; its real value is kept")
        elif user in floats:
            ledger.noted(stored.nodes, f"{role} of '{user}', which stays float: {floats[user]}; its real value is kept")
        else:
            ledger.used(stored.nodes, "layer", role, user)


def _drop_pairs(
    model: ir.Model,
    pairs: dict[ir.Node, Pair],
    quantized: tuple[Mapping[str, QuantizedLayer], Mapping[str, TensorRecord]],
    floats: Mapping[str, str],
    ledger: Ledger,
) -> None:
    """Bypass every pair, and note for each who took its scale and who reads the value unrounded."""
    layers, tensors = quantized
    places = {(node, index): _key(node, index) for node in model.graph for index in range(len(node.inputs))}
    places = {p: key for p, key in places.items() if key in tensors or (p[1] == 0 and p[0].name in layers)}
    surveyed = []
    for pair in pairs.values():
        who = readers(pair, pairs, places, floats)
        clip = pair.narrowed or (who.unlimited and starts_at_zero(pair, pairs))
        surveyed.append((pair, who, clip))
    for pair, who, clip in surveyed:
        nodes = (pair.quantize, pair.dequantize)
        for user in who.taken if pair.params is not None else ():
            ledger.used(nodes, "layer" if user in layers else "tensor", "activation", user)
        notes = [f"not accepted: {pair.refusal}"] if pair.refusal is not None else []
        notes += [f"applied behind {', '.join(who.behind)}"] if who.behind else []
        notes += [f"also {reason}" if who.taken else reason for reason in who.left]
        notes += [f"its limits {pair.limits[0]:.6g} .. {pair.limits[1]:.6g} are kept as a Clip"] if clip else []
        for note in notes:
            ledger.noted(nodes, note)
        bypass(model.graph, pair, opset=model.opset_imports[""], clip=clip)


def _key(node: ir.Node, index: int) -> str:
    return node.name or "" if _is_layer(node) else f"{node.name}:{index}"


def _drop_lone_outputs(graph: ir.Graph, nodes: list[ir.Node], pairs: Mapping[ir.Node, Pair], ledger: Ledger) -> None:
    """Let model outputs that were integers be the float values that were quantized."""
    for node in nodes:
        if is_quantize(node) and node.outputs[0].is_graph_output() and node.inputs[0] is not None:
            name = node.outputs[0].name or ""
            ledger.used([node], "output", None, name)
            ledger.noted(
                [node], f"the model output '{name}' is given in float, unrounded: the writers cannot end in int8"
            )
            take_over(graph, node.outputs[0], node.inputs[0], node)


def _refuse_integer_operators(nodes: list[ir.Node]) -> None:
    """Raise a ModelError when quantized codes go anywhere but into a DequantizeLinear or a model output."""
    for node in nodes:
        for usage in node.outputs[0].uses() if is_quantize(node) else ():
            reader = usage.node
            clips = code_clip(reader) is not None and all(is_dequantize(u.node) for u in reader.outputs[0].uses())
            if not is_dequantize(reader) and not clips:
                raise ModelError(
                    f"model.path: QuantizeLinear '{node.name}' feeds {reader.op_type} '{reader.name}'; expected a "
                    "DequantizeLinear: the model computes on integers. Export it as QDQ, float operators between pairs."
                )


def _refuse_remaining(model: ir.Model) -> None:
    for node in model.graph.all_nodes():
        if is_quantize(node) or is_dequantize(node):
            raise ModelError(
                f"model.path: {node.op_type} '{node.name}' stands inside the body of an If, Loop or Scan; expected it in the "
                "main graph. Export the model without control flow."
            )


def _nothing_converted(conversions: tuple[LayerConversion, ...], found: FoundLayers) -> str:
    reasons = [f"{c.name} ({c.op_type}): {c.reason}" for c in conversions]
    reasons += [
        f"{i.name} ({i.op_type}): {i.reason}" for i in found.left_alone if i.name not in {c.name for c in conversions}
    ]
    listed = "; ".join(reasons[:_LISTED_REASONS]) or "the model has no Conv, Gemm or MatMul"
    return f"model.path: no layer of the quantization-aware-trained model can be taken over: {listed}."
