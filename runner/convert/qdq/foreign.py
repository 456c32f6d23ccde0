"""Models that cannot be read at all, and what their user is told."""

from __future__ import annotations

import onnx_ir as ir

from runner.convert.qdq.nodes import is_dequantize, is_quantize
from runner.errors import ModelError
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
