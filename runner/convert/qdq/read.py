"""Quantization-aware-trained model (QuantizeLinear / DequantizeLinear) -> float model and its quantized form, exactly.

    survey     what rounds each layer's input, and the integers of its weight and bias, before anything is changed
    settle     dequantized constants become float initializers; BatchNormalization is folded; Gemm is untransposed
    convert    each layer's integers and scales, or the reason why it stays float
    bypass     float operators read the values before the pairs

Every QuantizeLinear and DequantizeLinear is accounted for on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import onnx_ir as ir
from onnx_ir.passes import common as passes

from runner.convert.qdq.account import Ledger, readers, source_nodes
from runner.convert.qdq.bypass import bypass, kept_limit, take_over
from runner.convert.qdq.constant import Constants
from runner.convert.qdq.derived import quantized_constants
from runner.convert.qdq.layer import LayerSource, convert_layer
from runner.convert.qdq.nodes import code_clip, is_dequantize, is_quantize
from runner.convert.qdq.normalise import normalise, refuse_foreign
from runner.convert.qdq.pattern import Pairs, carried_on, find_pairs
from runner.convert.qdq.report import ConversionReport, LayerConversion, NodeUse, Role
from runner.convert.qdq.settle import (
    ConstantUse,
    constant_uses,
    fold,
    is_layer,
    layer_source,
    settle_constants,
)
from runner.errors import ModelError
from runner.graph.constants import Names
from runner.graph.finite_weights import require_finite_weights
from runner.graph.layers import LAYER_TYPES, LayeredModel, find_layers
from runner.graph.other_quantizers import only_weights
from runner.record import QuantizedLayer, QuantizedLayers, TensorRecord

# The version of this stage's meaning: raise it when the same source would give another form.
VERSION = 4

Progress = Callable[[int, int], None]

_LISTED_REASONS = 5
# From few values they make few: what comes out of them is as coarse as what goes in.
_VALUE_BY_VALUE = (
    "Softmax",
    "LogSoftmax",
    "Sigmoid",
    "HardSigmoid",
    "Tanh",
    "Cast",
    "Identity",
    "Reshape",
    "Flatten",
    "Squeeze",
)
_ROLE_NAMES: Mapping[Role, str] = {"activation": "input", "weight": "weight", "bias": "bias"}


def _silent(done: int, total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True, eq=False)
class QatModel:
    """What a QAT source says, in the terms of both writers.

    Attributes:
        graph: the float model at the source's opset, without QuantizeLinear and DequantizeLinear. Weights hold
            ``fl32((q - zero_point) * scale)`` of the source.
        found: its layers.
        form: the integers and scales of those that are quantized, and the tensors rounded on their way into an Add
            or out of the model.
        report: what became of every layer and every QuantizeLinear and DequantizeLinear.
        coarse_outputs: names of the source's outputs whose values are rounded to 8 bits, or follow from such one by one.
    """

    graph: ir.Model
    found: LayeredModel
    form: QuantizedLayers
    report: ConversionReport
    coarse_outputs: tuple[str, ...] = ()


def read_qdq(
    source: ir.Model,
    *,
    on_asymmetric_weight: Literal["requantize", "refuse"] = "requantize",
    progress: Progress = _silent,
) -> QatModel:
    """Read a quantization-aware-trained model; the source is left as it is.

    Args:
        source: with QuantizeLinear / DequantizeLinear around float operators.
        on_asymmetric_weight: what to do with weights that no symmetric int8 can say: round the channels concerned again,
            or leave the layer float.
        progress: told how many layers and pairs are done, and how many there are.

    Raises:
        ModelError: the model has no such operators, holds those of another quantizer, or no layer can be taken over.
    """
    refuse_foreign(source)
    model, idle = normalise(source)
    graph = model.graph
    nodes = source_nodes(graph)
    instead = _what_instead(nodes)
    known = quantized_constants(model)
    pairs = find_pairs(graph, known)
    _refuse_integer_operators(nodes, known)
    sources = {node.name or "": layer_source(node, pairs, known) for node in graph if is_layer(node)}
    coarse = _coarse_outputs(graph, pairs)
    constants = constant_uses(graph, known)
    settle_constants(graph, known)
    sources = fold(model, sources)
    pairs = carried_on(pairs, graph, known)
    found = find_layers(model)
    converted = [name for name, layer in sources.items() if layer.weight is not None]
    require_finite_weights(model, converted, can_skip=False)
    steps = len(found.layers) + len(pairs.of)
    layers, conversions = _convert_layers(
        found, sources, refuse_asymmetric=on_asymmetric_weight == "refuse", progress=lambda done: progress(done, steps)
    )
    conversions = _with_idle(conversions, sources, constants, idle)
    outputs = _rounded_outputs(graph, pairs)
    tensors = {**_rounded_adds(graph, pairs), **outputs}
    if not layers:
        raise ModelError(_nothing_converted(conversions, found) + instead)
    floats = {c.name: c.reason or "" for c in conversions if c.status == "float"}
    ledger = Ledger()
    _account_constants(ledger, constants, floats)
    uses: dict[str, NodeUse] = {**dict.fromkeys(tensors, "tensor"), **dict.fromkeys(outputs, "output")}
    users: dict[str, NodeUse] = {**uses, **dict.fromkeys(layers, "layer")}
    _drop_pairs(model, pairs, users, floats, ledger, lambda done: progress(len(found.layers) + done, steps))
    _drop_lone_outputs(graph, nodes, ledger)
    passes.RemoveUnusedNodesPass()(model)
    _refuse_remaining(model)
    if not any(node.domain == "com.microsoft" for node in model.graph.all_nodes()):
        model.opset_imports.pop("com.microsoft", None)
    form = QuantizedLayers(layers, tensors)
    report = ConversionReport(conversions, ledger.accounts(nodes))
    return QatModel(model, find_layers(model), form, report, coarse)


def _convert_layers(
    found: LayeredModel,
    sources: Mapping[str, LayerSource],
    *,
    refuse_asymmetric: bool,
    progress: Callable[[int], None],
) -> tuple[dict[str, QuantizedLayer], tuple[LayerConversion, ...]]:
    layers, conversions = {}, []
    for place, layer in enumerate(found.layers):
        progress(place)
        quantized, conversion = convert_layer(layer, sources[layer.name], refuse_asymmetric=refuse_asymmetric)
        conversions.append(conversion)
        if quantized is not None:
            layers[layer.name] = quantized
    for item in found.left_alone:
        if item.name in sources and (sources[item.name].weight or sources[item.name].window) is not None:
            conversions.append(LayerConversion(item.name, item.op_type, "float", reason=item.reason))
    return layers, tuple(conversions)


def _with_idle(
    conversions: Iterable[LayerConversion],
    sources: Mapping[str, LayerSource],
    constants: Iterable[ConstantUse],
    idle: Mapping[str, tuple[str, ...]],
) -> tuple[LayerConversion, ...]:
    """Return the layers, each with the Identity and Cast that stood beside the Q/DQ nodes of its input, weight and bias."""
    found: dict[str, dict[str, None]] = {}

    def note(layer: str, nodes: Iterable[ir.Node | None], role: Role) -> None:
        operators = (operator for node in nodes if node is not None for operator in idle.get(node.name or "", ()))
        found.setdefault(layer, {}).update((f"{operator} at its {_ROLE_NAMES[role]}", None) for operator in operators)

    for name, source in sources.items():
        note(name, () if source.pair is None else (source.pair.quantize, source.pair.dequantize), "activation")
    for use in constants:
        if use.role is not None:
            note(use.user, use.constant.nodes, use.role)
    return tuple(replace(layer, looked_through=tuple(found.get(layer.name, ()))) for layer in conversions)


def _rounded_adds(graph: ir.Graph, pairs: Pairs) -> dict[str, TensorRecord]:
    """Return an entry for each input of an Add that comes straight from an accepted pair."""
    tensors = {}
    for node in graph:
        for index, value in enumerate(node.inputs if node.op_type == "Add" and node.domain == "" else ()):
            producer = None if value is None else value.producer()
            pair = None if producer is None else pairs.of.get(producer)
            if pair is not None and pair.params is not None:
                tensors[f"{node.name}:{index}"] = TensorRecord(pair.params)
    return tensors


def _rounded_outputs(graph: ir.Graph, pairs: Pairs) -> dict[str, TensorRecord]:
    """Return an entry for each model output that comes straight from an accepted pair.

    A tensor entry names a node and its input, so the output gets an Identity of its own, called ``<output>.output``.
    """
    tensors = {}
    names = Names.of(graph)
    for index, value in enumerate(graph.outputs):
        producer = value.producer()
        pair = None if producer is None else pairs.of.get(producer)
        if pair is None or pair.params is None:
            continue
        name = value.name
        output = ir.Value(name=name, type=value.type, shape=value.shape)
        graph.outputs[index] = output
        value.name = names.new_value(f"{name}.rounded")
        reader = names.new_node(f"{name}.output")
        graph.append(ir.node("Identity", [value], name=reader, outputs=[output]))
        tensors[f"{reader}:0"] = TensorRecord(pair.params)
    return tensors


def _coarse_outputs(graph: ir.Graph, pairs: Pairs) -> tuple[str, ...]:
    """Return the outputs whose values are codes, come from a pair, or from the function of one value that stands behind it."""
    found = []
    for output in graph.outputs:
        value: ir.Value | None = output
        while value is not None and pairs.nearest(value) is None and not is_quantize(value.producer()):
            node = value.producer()
            value = node.inputs[0] if node is not None and node.op_type in _VALUE_BY_VALUE else None
        if value is not None:
            found.append(output.name or "")
    return tuple(found)


def _account_constants(ledger: Ledger, constants: Iterable[ConstantUse], floats: Mapping[str, str]) -> None:
    for use in constants:
        stored, user, role = use.constant.nodes, use.user, use.role
        if role is None:
            ledger.noted(stored, f"a constant of '{user}'; its real value is kept")
        elif user in floats:
            ledger.noted(stored, f"{role} of '{user}', which stays float: {floats[user]}; its real value is kept")
        else:
            ledger.used(stored, "layer", role, user)


def _drop_pairs(
    model: ir.Model,
    pairs: Pairs,
    uses: Mapping[str, NodeUse],
    floats: Mapping[str, str],
    ledger: Ledger,
    progress: Callable[[int], None],
) -> None:
    """Bypass every pair, and note for each who took its scale and who reads the value unrounded."""
    places = {(node, index): _key(node, index) for node in model.graph for index in range(len(node.inputs))}
    places = {p: key for p, key in places.items() if key in uses and (uses[key] != "layer" or p[1] == 0)}
    surveyed = []
    for pair in pairs.of.values():
        who = readers(pair, pairs, places, floats)
        surveyed.append((pair, who, kept_limit(pair, pairs, unlimited=who.unlimited)))
    names = Names.of(model.graph)
    for place, (pair, who, limit) in enumerate(surveyed, start=1):
        progress(place)
        nodes = (pair.quantize, pair.dequantize)
        for user in who.taken if pair.params is not None else ():
            ledger.used(nodes, uses[user], "activation", user)
        notes = [f"not accepted: {pair.refusal}"] if pair.refusal is not None else []
        notes += [f"applied behind {', '.join(who.behind)}"] if who.behind else []
        notes += [f"also {reason}" if who.taken else reason for reason in who.left]
        notes += (
            [f"its limits {pair.limits[0]:.6g} .. {pair.limits[1]:.6g} are kept as a {limit}"]
            if limit != "none"
            else []
        )
        notes += ["its saturation is not kept"] if who.unlimited and pair.unreadable else []
        for note in notes:
            ledger.noted(nodes, note)
        bypass(model.graph, pair, opset=model.opset_imports[""], limit=limit, names=names)


def _key(node: ir.Node, index: int) -> str:
    return node.name or "" if is_layer(node) else f"{node.name}:{index}"


def _drop_lone_outputs(graph: ir.Graph, nodes: list[ir.Node], ledger: Ledger) -> None:
    """Let model outputs that were integers be the float values that were quantized."""
    for node in nodes:
        if is_quantize(node) and node.outputs[0].is_graph_output() and node.inputs[0] is not None:
            name = node.outputs[0].name or ""
            ledger.used([node], "output", None, name)
            reason = f"the model output '{name}' is given in float, unrounded: the writers cannot end in int8"
            ledger.noted([node], reason)
            take_over(graph, node.outputs[0], node.inputs[0], node)


def _refuse_integer_operators(nodes: list[ir.Node], constants: Constants) -> None:
    """Raise a ModelError when quantized codes go anywhere but into a DequantizeLinear or a model output."""
    stored = {node for constant in constants.values() for node in constant.nodes}
    for node in nodes:
        for usage in node.outputs[0].uses() if is_quantize(node) and node not in stored else ():
            reader = usage.node
            clips = code_clip(reader) is not None and all(is_dequantize(u.node) for u in reader.outputs[0].uses())
            if not is_dequantize(reader) and not clips:
                raise ModelError(
                    f"model.path: QuantizeLinear '{node.name}' feeds {reader.op_type} '{reader.name}'; expected a "
                    "DequantizeLinear: the model computes on integers. Export it as QDQ, float operators between pairs "
                    "(onnxruntime: quantize_static with quant_format=QuantFormat.QDQ)."
                )


def _refuse_remaining(model: ir.Model) -> None:
    for node in model.graph.all_nodes():
        if is_quantize(node) or is_dequantize(node):
            raise ModelError(
                f"model.path: {node.op_type} '{node.name}' stands inside the body of an If, Loop or Scan; expected it in the "
                "main graph. Export the model without control flow."
            )


def _what_instead(nodes: list[ir.Node]) -> str:
    """Return what to give instead of a model whose weights alone are quantized; nothing to be said of others."""
    if only_weights(nodes) is None:
        return ""
    return " Its weights alone are quantized; give the float model that it was made from, with mode=acc_auto."


def _nothing_converted(conversions: tuple[LayerConversion, ...], found: LayeredModel) -> str:
    reasons = [f"{c.name} ({c.op_type}): {c.reason}" for c in conversions]
    reasons += [
        f"{i.name} ({i.op_type}): {i.reason}" for i in found.left_alone if i.name not in {c.name for c in conversions}
    ]
    listed = "; ".join(reasons[:_LISTED_REASONS]) or f"the model has no {', '.join(LAYER_TYPES)}"
    return f"model.path: no layer of the quantization-aware-trained model can be taken over: {listed}."
