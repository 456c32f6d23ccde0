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

from runner.convert.qdq.account import accounts
from runner.convert.qdq.bypass import bypass
from runner.convert.qdq.convert import convert
from runner.convert.qdq.foreign import refuse_foreign
from runner.convert.qdq.materialize import materialize
from runner.convert.qdq.report import ConversionReport
from runner.convert.qdq.survey import survey
from runner.graph.layers import FoundLayers, find_layers
from runner.record import QuantizedLayers

Progress = Callable[[int, int], None]


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
    found: FoundLayers
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
    graph = survey(source)
    graph = materialize(graph)
    graph = convert(graph, refuse_asymmetric=on_asymmetric_weight == "refuse", progress=progress)
    graph = bypass(graph, progress=progress)
    report = ConversionReport(graph.conversions, accounts(graph.nodes, graph.annotations))
    return QatModel(graph.model, find_layers(graph.model), graph.form, report, graph.coarse_outputs)
