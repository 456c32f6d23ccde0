"""Models that cannot be read at all, and what their user is told."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import onnx_ir as ir

from runner.convert.qdq.annotated_graph import AnnotatedGraph
from runner.convert.qdq.constants.constant import Constants
from runner.convert.qdq.nodes import code_clip, is_dequantize, is_quantize
from runner.convert.qdq.report import LayerConversion
from runner.errors import ModelError
from runner.graph.layers import LAYER_TYPES
from runner.graph.other_quantizers import all_nodes, only_weights, refuse_other_quantizers
from runner.graph.random_operators import refuse_random

# What onnxruntime's dynamic quantizer writes.
_DYNAMIC = ("DynamicQuantize", "ConvInteger", "MatMulInteger")
_LISTED_REASONS = 5


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


def refuse_integer_operators(nodes: Iterable[ir.Node], constants: Constants) -> None:
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


def refuse_unconverted(graph: AnnotatedGraph, layers: Collection[str], conversions: Sequence[LayerConversion]) -> None:
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


def refuse_bodies(model: ir.Model) -> None:
    """Raise a ModelError where a QuantizeLinear or DequantizeLinear is left: in a body, which the passes do not enter."""
    for node in model.graph.all_nodes():
        if is_quantize(node) or is_dequantize(node):
            raise ModelError(
                f"model.path: {node.op_type} '{node.name}' stands inside the body of an If, Loop or Scan; expected it in the "
                "main graph. Export the model without control flow."
            )
