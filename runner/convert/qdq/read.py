"""Quantization-aware-trained model (QuantizeLinear / DequantizeLinear) -> float model and its quantized form, exactly.

    survey        what rounds each layer's input, and the integers of its weight and bias, before anything is changed
    materialize   dequantized constants become float initializers; BatchNormalization is folded; Gemm is untransposed
    convert       each layer's integers and scales, or the reason why it stays float
    bypass        float operators read the values before the pairs

The passes hand on one annotated graph; what became of every QuantizeLinear and DequantizeLinear is read off it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import onnx_ir as ir

from runner.convert.qdq.bypass import bypass
from runner.convert.qdq.convert import convert
from runner.convert.qdq.materialize import materialize
from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.convert.qdq.report import ConversionReport
from runner.convert.qdq.survey import survey
from runner.errors import ModelError
from runner.graph.layers import LayeredModel, find_layers
from runner.graph.limits import Limits
from runner.graph.other_quantizers import all_nodes, only_weights, refuse_other_quantizers
from runner.graph.random_operators import refuse_random
from runner.record import QuantizedLayers

# What onnxruntime's dynamic quantizer writes.
_DYNAMIC = ("DynamicQuantize", "ConvInteger", "MatMulInteger")


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
    limits: Limits,
    *,
    on_asymmetric_weight: Literal["requantize", "refuse"] = "requantize",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> QatModel:
    """Read a quantization-aware-trained model; the source is left as it is.

    Args:
        source: with QuantizeLinear / DequantizeLinear around float operators.
        limits: what the target holds in int8.
        on_asymmetric_weight: what to do with weights that no symmetric int8 can say: round the channels concerned again,
            or leave the layer float.
        progress: told how many layers and pairs are done, and how many there are.

    Raises:
        ModelError: the model has no such operators, holds those of another quantizer, or no layer can be taken over.
    """
    refuse_foreign(source)
    graph = survey(source)
    graph = materialize(graph, limits)
    graph = convert(graph, refuse_asymmetric=on_asymmetric_weight == "refuse", progress=progress)
    graph = bypass(graph, progress=progress)
    if limits.symmetric:
        _require_zero_points_of_zero(graph.form)
    return QatModel(graph.model, find_layers(graph.model, limits), graph.form, graph.report(), graph.coarse_outputs)


def _require_zero_points_of_zero(form: QuantizedLayers) -> None:
    """Raise a ModelError where an input that is rounded, and is no layer's, has another zero point; layers stay float then."""
    for key, tensor in form.tensors.items():
        zero_point = tensor.activation.zero_point
        if zero_point != 0:
            raise ModelError(
                f"model.path: the model rounds input '{key}' with zero point {zero_point} in int8, and the target takes 0 "
                "alone. Train it with symmetric activations, or set another target."
            )


def refuse_foreign(model: ir.Model) -> None:
    """Raise a ModelError unless the model is quantized by QuantizeLinear / DequantizeLinear alone."""
    nodes = all_nodes(model)
    refuse_other_quantizers(nodes)
    refuse_random(nodes)
    integer = next((node for node in nodes if node.op_type.startswith(_DYNAMIC)), None)
    if integer is not None and not any(is_quantize(node) for node in nodes):
        raise ModelError(
            f"model.path: node '{integer.name}' is a {integer.op_type}: the model computes on integers, with scales found "
            "as it runs, so there are none to take over. Give its float original to mode=acc_auto."
        )
    if not any(is_quantize(node) or is_dequantize(node) for node in nodes):
        weight = only_weights(nodes)
        if weight is not None:
            raise ModelError(
                f"model.path: {weight.op_type} '{weight.name}' holds a quantized weight, and no activation is quantized. "
                "Give the float model that it was made from, with mode=acc_auto."
            )
        raise ModelError(
            "model.path: the model has no QuantizeLinear/DequantizeLinear: it is no quantization-aware-trained model; "
            "use mode=acc_auto."
        )
